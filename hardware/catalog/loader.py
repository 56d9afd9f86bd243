"""Reads the register maps and refuses those with a mistake.

Owns: what a map may say. Refuses: unknown keys, doubled or overlapping registers, blocks the part could not answer.
Invariants: every refusal names file, line and cause; a map that loads is whole.
"""

import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, NoReturn

from .part import QUANTITIES, WORDS, Block, Chip, Part, Register

FOLDER = Path(__file__).parent
BUSES = ("modbus", "i2c", "pulse", "contact", "sunspec")

# key -> type; what is not optional must be there
_PART = {"title": str, "bus": str, "source": str, "phases": int, "baudrates": list, "addresses": list,
         "max_count": int, "registers": list, "blocks": list, "chip": list, "models": list, "pace": dict}
_PART_NEEDS = ("title", "bus", "source")
_REGISTER = {"name": str, "address": int, "kind": str, "function": int, "quantity": str, "phase": int, "times": int,
             "divide": int, "unit": str, "writable": bool, "default": int}
_REGISTER_NEEDS = ("name", "address", "kind")
_CHIP = {"name": str, "address": int, "bits": int, "signed": bool, "writable": bool, "default": int, "unit": str}
_CHIP_NEEDS = ("name", "address", "bits")


class CatalogError(Exception):
    """A register map with a mistake: where, and what."""

    def __init__(self, file: str, line: int, cause: str) -> None:
        super().__init__(f"{file}:{line}: {cause}")
        self.file = file
        self.line = line
        self.cause = cause


class _Text:
    """A file's text, to find the line that a mistake stands on."""

    def __init__(self, file: str, text: str) -> None:
        self.file = file
        self.lines = text.splitlines()

    def refuse(self, cause: str, *needles: str) -> NoReturn:
        """`needles` stand on the line to blame; without one, the last of them alone, or line 1."""
        for wanted in (needles, needles[:1]):
            for number, line in enumerate(self.lines, 1):
                if wanted and all(needle in line.split("#")[0] for needle in wanted):
                    raise CatalogError(self.file, number, cause)
        raise CatalogError(self.file, 1, cause)

    def table(self, table: Mapping[str, Any], known: Mapping[str, type], needs: tuple[str, ...], *where: str) -> None:
        for key, value in table.items():
            if key not in known:
                self.refuse(f"unknown key {key!r}", *where, key)
            if type(value) is not known[key]:
                self.refuse(f"{key} must be {known[key].__name__}, not {value!r}", *where, key)
        for key in needs:
            if key not in table:
                self.refuse(f"{where[0] if where else 'the part'} has no {key!r}", *where)


def parse(name: str, text: str, file: str = "") -> Part:
    """The part that `text` describes."""
    file = file or f"{name}.toml"
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        line = int(str(error).split("line ")[1].split(",")[0]) if "line " in str(error) else len(text.splitlines())
        raise CatalogError(file, line, str(error)) from error
    seen = _Text(file, text)
    seen.table(data, _PART, _PART_NEEDS)
    if data["bus"] not in BUSES:
        seen.refuse(f"bus must be one of {', '.join(BUSES)}", "bus")
    registers = tuple(_register(seen, entry, data.get("phases", 1)) for entry in data.pop("registers", ()))
    chip = tuple(_chip(seen, entry) for entry in data.pop("chip", ()))
    _no_overlap(seen, registers)
    blocks = tuple(_block(seen, entry, registers, data.get("max_count", 125)) for entry in data.pop("blocks", ()))
    for key, value in data.get("pace", {}).items():
        if type(value) is not int or value < 0:
            seen.refuse(f"pace.{key} must be a whole number, not {value!r}", key)
    for key in ("baudrates", "addresses", "models"):
        if key in data:
            data[key] = tuple(data[key])
    return Part(name=name, registers=registers, blocks=blocks, chip=chip, **data)


def _register(seen: _Text, entry: Mapping[str, Any], phases: int) -> Register:
    needle = f'"{entry.get("name", "")}"'
    seen.table(entry, _REGISTER, _REGISTER_NEEDS, needle)
    if entry["kind"] not in WORDS:
        seen.refuse(f"kind must be one of {', '.join(WORDS)}", needle, "kind")
    if not 0 <= entry["address"] <= 0x10000 - WORDS[entry["kind"]]:
        seen.refuse("address outside 0..0xFFFF", needle, "address")
    if entry.get("function", 4) not in (3, 4):
        seen.refuse("function must be 3 (holding) or 4 (input)", needle, "function")
    if entry.get("quantity", QUANTITIES[0]) not in QUANTITIES:
        seen.refuse(f"quantity must be one of {', '.join(QUANTITIES)}", needle, "quantity")
    if not 1 <= entry.get("phase", 1) <= phases:
        seen.refuse(f"phase must be 1..{phases}", needle, "phase")
    if entry.get("divide", 1) < 1 or entry.get("times", 1) == 0:
        seen.refuse("times must not be 0 and divide at least 1", needle)
    return Register(**entry)


def _chip(seen: _Text, entry: Mapping[str, Any]) -> Chip:
    needle = f'"{entry.get("name", "")}"'
    seen.table(entry, _CHIP, _CHIP_NEEDS, needle)
    if entry["bits"] not in (8, 16, 24, 32):
        seen.refuse("bits must be 8, 16, 24 or 32", needle, "bits")
    return Chip(**entry)


def _no_overlap(seen: _Text, registers: tuple[Register, ...]) -> None:
    taken: dict[tuple[int, int], str] = {}
    for register in registers:
        for address in range(register.address, register.address + register.words):
            other = taken.setdefault((register.function, address), register.name)
            if other != register.name:
                seen.refuse(f"{register.name} lies on {other} at {address:#06x}", f'"{register.name}"')


def _block(seen: _Text, entry: list[int], registers: tuple[Register, ...], max_count: int) -> Block:
    if type(entry) is not list or len(entry) != 3 or any(type(value) is not int for value in entry):
        seen.refuse("a block is [function, address, count]", "blocks")
    block = Block(*entry)
    if not 1 <= block.count <= max_count:
        seen.refuse(f"block at {block.address:#06x}: the part answers 1..{max_count} registers at once", "blocks")
    held = {
        address
        for register in registers
        if register.function == block.function
        for address in range(register.address, register.address + register.words)
    }
    missing = [a for a in range(block.address, block.address + block.count) if a not in held]
    if missing:
        seen.refuse(f"block at {block.address:#06x} asks for {missing[0]:#06x}, which the part has not", "blocks")
    return block


@cache
def load(name: str) -> Part:
    """The part of this name, from the catalog."""
    path = FOLDER / f"{name}.toml"
    if name not in names():
        raise CatalogError(path.name, 1, f"no such part; there are {', '.join(names())}")
    return parse(name, path.read_text(encoding="utf-8"))


def names() -> tuple[str, ...]:
    """Every part of the catalog."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.toml") if path.stem != "sunspec"))
