"""Random input for every decoder: noise, damaged messages, and valid CBOR of the wrong shape.

Owns: the inputs and what may come out of a decoder.
Invariant: a seed and a count give the same inputs on every machine.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

from wire import cbor, command, enrol, envelope, hello, ids, report, settings, state, topics
from wire.chain import bundle, header, kinds, main, proof, slave, tx
from wire.errors import REASONS, WireError
from wire.fields import Message

SEEDS = Path(__file__).parents[1] / "tests" / "vectors"
MESSAGES: tuple[type[Message], ...] = (
    report.Coarse, state.State, hello.Hello, hello.Beat, settings.Configuration, settings.Guarded, command.Command,
    command.Receipt, enrol.Enrolment, enrol.Assignment, enrol.Entry, tx.Tx, kinds.AccountEnrolment, slave.SlaveHeader,
    main.MainHeader, *kinds.KINDS,
)  # fmt: skip
DECODERS: tuple[Callable[[bytes], Any], ...] = (
    *(lambda raw, message=message: message.decode(raw).encode() for message in MESSAGES),
    lambda raw: cbor.encode(cbor.decode(raw)),
    lambda raw: report.decode(raw).encode(),
    lambda raw: report.decode(raw, True).encode(),
    lambda raw: cbor.encode(report.decode_row(raw)),
    lambda raw: proof.decode(raw).encode(),
    lambda raw: header.Header.decode(raw).encode(),
    lambda raw: header.Commit.decode(raw).encode(),
    lambda raw: header.Validator.decode(raw).encode(),
    lambda raw: ids.id_text(ids.id_bytes(raw.decode("latin-1"))).encode("latin-1"),
    lambda raw: slave.decode(raw).encode(),
    lambda raw: main.decode(raw).encode(),
    lambda raw: (tx.open(raw), raw)[1],
    lambda raw: (envelope.split(raw), raw)[1],
    lambda raw: (envelope.unwrap_mac(raw), raw)[1],
    lambda raw: (list(bundle.read(raw)), raw)[1],
    lambda raw: (topics.split(raw.decode("latin-1")), raw)[1],
)


def run(source: random.Random, count: int, progress: Callable[[int], None] = lambda done: None) -> list[str]:
    """Feeds `count` inputs to decoders drawn at random; what went wrong, in words (empty: nothing)."""
    messages = _messages()
    wrong = []
    for number in range(count):
        raw = _input(source, messages)
        decoder = source.randrange(len(DECODERS))
        try:
            again = DECODERS[decoder](raw)
        except WireError as refusal:
            if refusal.reason not in REASONS:
                wrong.append(f"decoder {decoder}, {raw.hex()}: unknown reason {refusal.reason}")
        except Exception as error:  # the one place where anything may come: it is what is looked for
            wrong.append(f"decoder {decoder}, {raw.hex()}: {error!r}")
        else:
            if again != raw:
                wrong.append(f"decoder {decoder}, {raw.hex()}: taken, but encodes to {again.hex()}")
        if number % 10_000 == 0:
            progress(number)
    return wrong


def _messages() -> list[bytes]:
    names = ("reports.json", "messages.json", "envelopes.json", "cbor.json", "blocks.json")
    cases = [case for name in names for case in json.loads((SEEDS / name).read_text())]
    return [bytes.fromhex(case["input"]) for case in cases if case["input"]] + _protobufs()


def _protobufs() -> list[bytes]:
    part = header.BlockID(bytes(32), 1, bytes(range(32)))
    hashes = [bytes((i,)) * 32 for i in range(9)]
    names = ("transaction-1", 5, 1_750_000_000_123_456_789, part)
    of_block = header.Header._make((*names, *hashes, header.BLOCK_PROTOCOL, 0))
    vote = header.CommitSig(header.COMMIT, bytes(20), 1_750_000_000_000_000_001, bytes(64))
    commit = header.Commit(5, 0, part, (vote, header.CommitSig(header.ABSENT)))
    return [each.encode() for each in (of_block, commit, header.Validator(bytes(32), 10))] * 20


def _input(source: random.Random, messages: list[bytes]) -> bytes:
    way = source.randrange(4)
    if way == 0:
        return source.randbytes(source.randrange(1, 80))
    if way == 1:
        return cbor.encode(_value(source, 4))
    raw = bytearray(source.choice(messages))
    for _ in range(source.randrange(1, 4)):
        place = source.randrange(len(raw))
        change = source.randrange(4)
        if change == 0:
            raw[place] = source.randrange(256)
        elif change == 1:
            raw[place:place] = source.randbytes(source.randrange(1, 4))
        elif change == 2 and len(raw) > 1:
            del raw[place : place + source.randrange(1, 4)]
            if not raw:
                raw = bytearray(b"\xf6")
        else:
            other = source.choice(messages)
            raw[place:] = other[source.randrange(len(other)) :] or b"\0"
    return bytes(raw)


def _value(source: random.Random, depth: int) -> Any:
    kind = source.randrange(7 if depth else 5)
    if kind == 0:
        return source.randrange(24)
    if kind == 1:
        return source.randrange(-(1 << 64), 1 << 64)
    if kind == 2:
        return source.randbytes(source.choice((0, 8, 16, 32, 65)))
    if kind == 3:
        return "text"
    if kind == 4:
        return None
    if kind == 5:
        return [_value(source, depth - 1) for _ in range(source.randrange(9))]
    return {key: _value(source, depth - 1) for key in range(1, source.randrange(1, 12))}
