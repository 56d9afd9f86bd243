"""What is asked of a device on a Modbus line, and what its answers say. Pure: plans that somebody else carries out.

Owns: `Question`, `Order`, `Sample`, the plan for a part of the catalog, the reasons why a device gives no sample.
Refuses: an answer that says no number; a sample without power.
Invariant: a plan is a generator: it yields questions and orders, is sent words, and returns what it found; nothing of
an earlier answer is ever part of a later sample.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any, NamedTuple

from hardware.catalog import Block, Part
from hardware.catalog.part import NotANumber

FAULTS = {
    "silent": "no answer in time",
    "refused": "the device answers with an exception",
    "broken": "an answer that is none to this question",
    "down": "the line or the connection is not there",
    "no-number": "a register says that the device cannot measure",
    "no-model": "no SunSpec device, or none of the models that are needed",
    "stalled": "the device's own heartbeat stands still",
    "local": "the device is switched to local control",
}


class Fault(Exception):
    """No sample, or an order that was not taken; `reason` is one of FAULTS."""

    def __init__(self, reason: str, detail: str = "", code: int = 0) -> None:
        assert reason in FAULTS, reason
        super().__init__(f"{reason}: {detail or FAULTS[reason]}")
        self.reason = reason
        self.code = code  # of an exception


class Question(NamedTuple):
    function: int
    address: int
    size: int


class Order(NamedTuple):
    """Holding registers to be written."""

    address: int
    values: tuple[int, ...]


class Sample(NamedTuple):
    """One reading of a device; registers are None where it has none. `raw` are the registers behind it."""

    power_mw: int
    voltage_mv: Any
    current_ma: Any
    import_wh: int | None
    export_wh: int | None
    more: dict[int, int]  # as in a row: frequency, power factor, state of charge, temperature
    raw: bytes


Plan = Generator[Question | Order, Sequence[int], Sample]

_MORE = {"frequency_mhz": 1, "power_factor_milli": 2, "soc_permille": 3, "temperature_dc": 4}


def meter(part: Part, low_first: bool = False) -> Plan:
    """One sample of a catalog part. `low_first`: its values of two registers come with the low word first."""
    answers: dict[Block, Sequence[int]] = {}
    raw = b""
    for block in part.blocks:
        words = yield Question(block.function, block.address, block.count)
        raw += packed(words)
        answers[block] = _turned(part, block, words) if low_first else words
    try:
        found = part.decode(answers)
    except NotANumber as error:
        raise Fault("no-number", str(error)) from None
    return Sample(
        power_mw=number(found, "power_mw"),
        voltage_mv=found.get("voltage_mv", 0),
        current_ma=found.get("current_ma", 0),
        import_wh=_register(found, "import_wh"),
        export_wh=_register(found, "export_wh"),
        more={key: int(found[name]) for name, key in _MORE.items() if isinstance(found.get(name), int)},  # type: ignore[arg-type]
        raw=raw,
    )


def _turned(part: Part, block: Block, words: Sequence[int]) -> list[int]:
    turned = list(words)
    for register in part.registers:
        at = register.address - block.address
        if register.function == block.function and register.words == 2 and 0 <= at <= block.count - 2:
            turned[at], turned[at + 1] = turned[at + 1], turned[at]
    return turned


def number(found: dict[str, Any], name: str) -> int:
    value = found.get(name)
    if not isinstance(value, int):
        raise Fault("no-number", f"no {name}")
    return value


def _register(found: dict[str, Any], name: str) -> int | None:
    value = found.get(name)
    if value is None:
        return None
    total = sum(value) if isinstance(value, tuple) else int(value)
    if total < 0:
        raise Fault("no-number", f"{name} is below 0")
    return total


def packed(words: Sequence[int]) -> bytes:
    return b"".join(word.to_bytes(2, "big") for word in words)
