"""Input made to cost much: deep, wide, nested or at a limit; and what is sealed can be read."""

from __future__ import annotations

import time

import pytest

from wire import cbor
from wire.chain import bundle, kinds, merkle, rest, slave
from wire.chain.keys import PrivateKey
from wire.errors import WireError

KEY = PrivateKey.derive("bounds")


def seal(body: list[bytes]) -> slave.SlaveBlock:
    return slave.seal(
        KEY, body, alliance=0, gateway=KEY.kid, height=1, previous=slave.START, urgency=0, time_s=1_750_000_000
    )


def test_a_block_of_many_tiny_messages_can_be_read_and_sent() -> None:
    """Each message of one byte takes two on the wire."""
    raw = seal([b"x"] * slave.BODY_MAX).encode()
    slave.decode(raw).check_body()
    assert kinds.SlaveBlock.decode(kinds.SlaveBlock(block=raw).encode()).block == raw


def test_a_block_over_its_size_is_refused_before_it_is_read() -> None:
    with pytest.raises(WireError) as refusal:
        slave.decode(cbor.encode([seal([]).signed, [b"x" * slave.BLOCK_MAX]]))
    assert refusal.value.reason == "too-big"


@pytest.mark.parametrize("content", [b"[" * 200_000, b'{"a":' * 200_000, b"\xff", b"", b"nan "])
def test_a_nodes_json_is_refused_whatever_it_is(content: bytes) -> None:
    with pytest.raises(WireError):
        rest.read_reply(200, "application/json", content)


@pytest.mark.parametrize("head", [b"\x9b", b"\xbb", b"\x5b", b"\x7b"])
def test_a_count_promises_nothing(head: bytes) -> None:
    """Refused before anything is set aside for it."""
    for count in (1 << 40, (1 << 64) - 1):
        with pytest.raises(WireError) as refusal:
            cbor.decode(head + count.to_bytes(8, "big"))
        assert refusal.value.reason == "truncated"


def test_the_cost_of_reading_grows_with_the_length_and_no_faster() -> None:
    def seconds(count: int) -> float:
        raw = cbor.encode({i: [] for i in range(count)})
        records = cbor.encode([0, 1, ""]) + b"\x82\x0a\x00" * count
        began = time.process_time()
        cbor.decode(raw)
        assert len(list(bundle.read(records))) == count + 1
        return time.process_time() - began

    few = min(seconds(10_000) for _ in range(3))
    assert min(seconds(80_000) for _ in range(3)) < 8 * few * 3


def test_a_proof_longer_than_any_tree_is_refused() -> None:
    for size in (1, 2, 1 << 64):
        with pytest.raises(WireError) as refusal:
            merkle.verify_inclusion(bytes(32), b"", 0, size, [bytes(32)] * 300)
        assert refusal.value.reason == "bad-proof"
