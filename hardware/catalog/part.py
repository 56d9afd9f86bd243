"""A part's register map and how to read its answers.

Owns: the words-to-quantities arithmetic for hosts. Refuses: asking anybody anything.
Invariants: integers out, rounded half away from zero; floats of the part are taken apart exactly, never added up.
"""

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

WORDS = {"u16": 1, "s16": 1, "u32": 2, "s32": 2, "u32-low-first": 2, "float32": 2}
"""Kinds of values and how many 16-bit registers each takes; words come high first unless the name says otherwise."""

QUANTITIES = (
    "voltage_mv", "current_ma", "power_mw", "import_wh", "export_wh", "frequency_mhz", "power_factor_milli",
    "soc_permille", "temperature_dc", "stored_wh",
)  # fmt: skip
"""What a sample is made of."""
MAGNITUDES = ("current_ma", "power_factor_milli")
"""Their direction is power's, whatever sign a part gives them."""


class NotANumber(ValueError):
    """A register whose float is no number (a part says so when it cannot measure)."""


def half_away(value: Fraction | int) -> int:
    rounded = (2 * abs(value.numerator) + value.denominator) // (2 * value.denominator)
    return rounded if value >= 0 else -rounded


@dataclass(frozen=True, slots=True)
class Register:
    """`times` / `divide` turn the raw value into the quantity. `function` 3 reads holding, 4 input registers."""

    name: str
    address: int
    kind: str
    function: int = 4
    quantity: str | None = None
    phase: int | None = None
    times: int = 1
    divide: int = 1
    unit: str = ""
    writable: bool = False
    default: int = 0

    @property
    def words(self) -> int:
        return WORDS[self.kind]

    def raw(self, words: Sequence[int]) -> Fraction:
        """The value as the part means it."""
        if self.kind == "float32":
            (value,) = struct.unpack(">f", struct.pack(">HH", *words))
            if value != value or value in (float("inf"), float("-inf")):
                raise NotANumber(self.name)
            return Fraction(value)
        ordered = words[::-1] if self.kind == "u32-low-first" else words
        number = 0
        for word in ordered:
            number = number << 16 | word
        if self.kind[0] == "s" and number >> (16 * self.words - 1):
            number -= 1 << (16 * self.words)
        return Fraction(number)

    def value(self, words: Sequence[int]) -> int:
        """The quantity."""
        return half_away(self.raw(words) * self.times / self.divide)

    def encode(self, value: float) -> tuple[int, ...]:
        """What a part that measures `value` (in the register's own unit) has in these registers."""
        if self.kind == "float32":
            high, low = struct.unpack(">HH", struct.pack(">f", value))
            return (high, low)
        number = half_away(value if isinstance(value, int) else Fraction(value)) & ((1 << (16 * self.words)) - 1)
        words = [(number >> shift) & 0xFFFF for shift in range(16 * (self.words - 1), -1, -16)]
        return tuple(words[::-1] if self.kind == "u32-low-first" else words)


@dataclass(frozen=True, slots=True)
class Block:
    """One question that the part answers whole."""

    function: int
    address: int
    count: int


@dataclass(frozen=True, slots=True)
class Chip:
    """A register of a part on I2C: its own address there, its width, its value after a reset."""

    name: str
    address: int
    bits: int
    signed: bool = False
    writable: bool = False
    default: int = 0
    unit: str = ""


@dataclass(frozen=True, slots=True)
class Part:
    """One part. `pace` holds its times in ms and other figures that are no registers; see the file's comments."""

    name: str
    title: str
    bus: str
    source: str
    phases: int = 1
    registers: tuple[Register, ...] = ()
    blocks: tuple[Block, ...] = ()
    chip: tuple[Chip, ...] = ()
    baudrates: tuple[int, ...] = ()
    addresses: tuple[int, int] = (1, 247)
    max_count: int = 125
    models: tuple[int, ...] = ()
    pace: Mapping[str, int] = field(default_factory=dict)

    def register(self, name: str) -> Register:
        return next(r for r in self.registers if r.name == name)

    def chip_register(self, name: str) -> Chip:
        return next(c for c in self.chip if c.name == name)

    def decode(self, answers: Mapping[Block, Sequence[int]]) -> dict[str, int | tuple[int, ...]]:
        """The quantities in the answers to some of the part's blocks; several phases make a tuple in their order."""
        phased: dict[str, dict[int, int]] = {}
        result: dict[str, int | tuple[int, ...]] = {}
        for block, words in answers.items():
            for register in self.registers:
                at = register.address - block.address
                if register.quantity is None or register.function != block.function or not 0 <= at < block.count:
                    continue
                value = register.value(words[at : at + register.words])
                value = abs(value) if register.quantity in MAGNITUDES else value
                if register.phase is None:
                    result[register.quantity] = value
                else:
                    phased.setdefault(register.quantity, {})[register.phase] = value
        for quantity, by_phase in phased.items():
            result[quantity] = tuple(by_phase[phase] for phase in sorted(by_phase))
        return result
