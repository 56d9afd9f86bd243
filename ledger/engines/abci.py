"""ABCI 2.0 as CometBFT v0.38 speaks it over a socket: frames, requests and responses.

Owns: the numbers of messages and fields, and the answers that need no decision.
Refuses: a frame that is too long, a request we do not know; as WireError, after which CometBFT stops.
Invariant: pure: bytes in, values out; a response's number is its request's plus one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from ledger.app import Result, ValidatorUpdate
from wire.chain import protobuf as pb
from wire.errors import WireError

FRAME_MAX = 128 << 20  # a block of the largest size and what stands around it

REQUESTS = {
    1: "echo",
    2: "flush",
    3: "info",
    5: "init_chain",
    6: "query",
    8: "check_tx",
    11: "commit",
    12: "list_snapshots",
    13: "offer_snapshot",
    14: "load_snapshot_chunk",
    15: "apply_snapshot_chunk",
    16: "prepare_proposal",
    17: "process_proposal",
    18: "extend_vote",
    19: "verify_vote_extension",
    20: "finalize_block",
}
NUMBERS = {name: number for number, name in REQUESTS.items()}
EXCEPTION = 1

RECHECK = 1
ACCEPT, REJECT = 1, 2  # of a proposal
SNAPSHOT_ACCEPT, SNAPSHOT_REJECT, SNAPSHOT_REJECT_FORMAT = 1, 3, 4
CHUNK_ACCEPT, CHUNK_RETRY, CHUNK_REJECT_SNAPSHOT = 1, 3, 5


class Request(NamedTuple):
    name: str
    body: bytes

    @property
    def fields(self) -> pb.Reader:
        return pb.Reader(self.body)


class Frames:
    """Cuts a stream into messages: a length as varint, then so many bytes."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[bytes]:
        self._buffer += data
        pos = 0
        while True:
            try:
                size, start = pb.read_varint(self._buffer, pos)
            except IndexError:
                break
            if size > FRAME_MAX:
                raise WireError("too-big", f"a frame of {size} bytes")
            if len(self._buffer) - start < size:
                break
            pos = start + size
            yield bytes(self._buffer[start:pos])
        del self._buffer[:pos]


def read_request(frame: bytes) -> Request:
    found = list(pb.fields(frame))
    if len(found) != 1 or found[0][0] not in REQUESTS or not isinstance(found[0][1], bytes):
        raise WireError("bad-type", f"no request of ABCI 2.0: {frame[:16].hex()}")
    number, body = found[0]
    assert isinstance(body, bytes)
    return Request(REQUESTS[number], body)


def request(name: str, body: bytes = b"") -> bytes:
    return pb.delimited(pb.message(NUMBERS[name], body))


def response(name: str, body: bytes = b"") -> bytes:
    return pb.delimited(pb.message(NUMBERS[name] + 1, body))


def exception(text: str) -> bytes:
    return pb.delimited(pb.message(EXCEPTION, pb.data(1, text.encode())))


# ---------------------------------------------------------------- bodies of responses


def info(version: str, height: int, app_hash: bytes) -> bytes:
    return pb.data(2, version.encode()) + pb.number(3, 1) + pb.number(4, height) + pb.data(5, app_hash)


def init_chain(app_hash: bytes) -> bytes:
    return pb.data(3, app_hash)


def check_tx(result: Result) -> bytes:
    return pb.number(1, result.code) + pb.data(3, result.reason.encode())


def query(key: bytes, value: bytes | None, height: int) -> bytes:
    return pb.number(1, value is None) + pb.data(6, key) + pb.data(7, value or b"") + pb.number(9, height)


def transactions(txs: Iterable[bytes]) -> bytes:
    return b"".join(pb.message(1, tx) for tx in txs)


def verdict(accepted: bool) -> bytes:
    return pb.number(1, ACCEPT if accepted else REJECT)


def tx_size(tx: bytes) -> int:
    """What a transaction counts against `max_tx_bytes`."""
    return len(pb.message(1, tx))


def finalize_block(results: Sequence[Result], updates: Sequence[ValidatorUpdate], app_hash: bytes) -> bytes:
    """Code and reason are under `last_results_hash`, the detail is for people. Events stay in our own store."""
    return (
        b"".join(
            pb.message(2, pb.number(1, r.code) + pb.data(2, r.reason.encode()) + pb.data(3, r.detail.encode()))
            for r in results
        )
        + b"".join(
            pb.message(3, pb.message(1, pb.data(1, update.key)) + pb.number(2, update.power)) for update in updates
        )
        + pb.data(5, app_hash)
    )


class Snapshot(NamedTuple):
    height: int
    format: int
    chunks: int
    hash: bytes
    metadata: bytes

    def encode(self) -> bytes:
        return (
            pb.number(1, self.height)
            + pb.number(2, self.format)
            + pb.number(3, self.chunks)
            + pb.data(4, self.hash)
            + pb.data(5, self.metadata)
        )

    @classmethod
    def read(cls, m: pb.Reader) -> Snapshot:
        return cls(m.number(1), m.number(2), m.number(3), m.data(4), m.data(5))


def snapshots(found: Iterable[Snapshot]) -> bytes:
    return b"".join(pb.message(1, snapshot.encode()) for snapshot in found)


def outcome(result: int) -> bytes:
    """Of OfferSnapshot and ApplySnapshotChunk."""
    return pb.number(1, result)


def refetch(number: int, sender: bytes) -> bytes:
    """This chunk again, and from another sender."""
    return pb.number(1, CHUNK_RETRY) + pb.data(2, pb.varint(number)) + pb.data(3, sender)


def chunk(data: bytes) -> bytes:
    return pb.data(1, data)
