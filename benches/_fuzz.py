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

from wire import beat, cbor, command, enrol, envelope, report, topics
from wire.chain import bundle, main, slave, tx
from wire.errors import REASONS, WireError

SEEDS = Path(__file__).parents[1] / "tests" / "vectors"
DECODERS: tuple[Callable[[bytes], Any], ...] = (
    lambda raw: cbor.encode(cbor.decode(raw)),
    lambda raw: report.decode(raw).encode(),
    lambda raw: report.decode(raw, True).encode(),
    lambda raw: report.Coarse.decode(raw).encode(),
    lambda raw: report.State.decode(raw).encode(),
    lambda raw: beat.Hello.decode(raw).encode(),
    lambda raw: beat.Beat.decode(raw).encode(),
    lambda raw: beat.Configuration.decode(raw).encode(),
    lambda raw: beat.Guarded.decode(raw).encode(),
    lambda raw: command.Command.decode(raw).encode(),
    lambda raw: command.Receipt.decode(raw).encode(),
    lambda raw: enrol.Enrolment.decode(raw).encode(),
    lambda raw: enrol.Assignment.decode(raw).encode(),
    lambda raw: enrol.Entry.decode(raw).encode(),
    lambda raw: tx.Tx.decode(raw).encode(),
    lambda raw: slave.SlaveHeader.decode(raw).encode(),
    lambda raw: main.MainHeader.decode(raw).encode(),
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
    names = ("reports.json", "messages.json", "envelopes.json", "cbor.json")
    cases = [case for name in names for case in json.loads((SEEDS / name).read_text())]
    return [bytes.fromhex(case["input"]) for case in cases if case["input"]]


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
