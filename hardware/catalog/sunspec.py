"""The SunSpec models: where each point of a model lies, how it is scaled, what a missing one looks like.

Owns: words to values and back, for hosts. Refuses: asking anybody; knowing which device has which model.
Invariants: a point that the device does not implement is None, never a number; scale factors come from the same block.
"""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from pathlib import Path

FILE = Path(__file__).parent / "sunspec.toml"

# kind -> registers, is it signed, and what stands there when the point is not implemented
_KINDS = {
    "u16": (1, False, 0xFFFF), "s16": (1, True, 0x8000), "u32": (2, False, 0xFFFFFFFF), "s32": (2, True, 0x80000000),
    "acc32": (2, False, None), "acc64": (4, False, None), "enum16": (1, False, 0xFFFF), "bits16": (1, False, 0xFFFF),
    "bits32": (2, False, 0xFFFFFFFF), "sf": (1, True, 0x8000), "pad": (1, False, 0x8000),
}  # fmt: skip

Value = Fraction | str | None


@dataclass(frozen=True, slots=True)
class Point:
    """`at` counts registers from the model's ID (0) and L (1), as the specification's tables do."""

    name: str
    kind: str
    at: int
    words: int
    scale: str | None
    writable: bool


@dataclass(frozen=True, slots=True)
class Model:
    id: int
    title: str
    points: tuple[Point, ...]

    @property
    def length(self) -> int:
        """What L says: registers behind ID and L."""
        return self.points[-1].at + self.points[-1].words - 2

    def point(self, name: str) -> Point:
        return next(p for p in self.points if p.name == name)

    def values(self, words: Sequence[int]) -> dict[str, Value]:
        """Every point of a whole block, ID and L included; a shorter block of an older device gives fewer."""
        raw = {p.name: _number(p, words) for p in self.points if p.at + p.words <= len(words)}
        return {p.name: _scaled(p, raw) for p in self.points if p.name in raw}

    def image(self, values: Mapping[str, int | str | None]) -> list[int]:
        """The block of a device that holds these raw (unscaled) values and implements nothing else."""
        words = [self.id, self.length]
        for point in self.points:
            words += _encoded(point, values.get(point.name))
        return words


def _number(point: Point, words: Sequence[int]) -> int | str | None:
    part = words[point.at : point.at + point.words]
    if point.kind.startswith("text"):
        text = b"".join(word.to_bytes(2, "big") for word in part).split(b"\0")[0]
        return text.decode("ascii", "replace").rstrip() or None
    number = 0
    for word in part:
        number = number << 16 | word
    _, signed, missing = _KINDS[point.kind]
    if number == missing:
        return None
    return number - (1 << 16 * point.words) if signed and number >> (16 * point.words - 1) else number


def _scaled(point: Point, raw: Mapping[str, int | str | None]) -> Value:
    number = raw[point.name]
    if number is None or isinstance(number, str):
        return number
    if point.scale is None:
        return Fraction(number)
    scale = raw.get(point.scale)
    # a value whose scale factor is missing or absurd is no value
    return Fraction(number) * Fraction(10) ** scale if isinstance(scale, int) and -10 <= scale <= 10 else None


def _encoded(point: Point, value: int | str | None) -> list[int]:
    if point.kind.startswith("text"):
        data = (value if isinstance(value, str) else "").encode("ascii").ljust(2 * point.words, b"\0")
        return [int.from_bytes(data[at : at + 2], "big") for at in range(0, 2 * point.words, 2)]
    missing = _KINDS[point.kind][2]
    number = value if isinstance(value, int) else (missing or 0)
    return [(number >> shift) & 0xFFFF for shift in range(16 * (point.words - 1), -1, -16)]


@cache
def models() -> Mapping[int, Model]:
    """Every model of the catalog by its id."""
    data = tomllib.loads(FILE.read_text(encoding="utf-8"))
    return {entry["id"]: Model(entry["id"], entry["title"], _points(entry["points"])) for entry in data["model"]}


def _points(texts: Sequence[str]) -> tuple[Point, ...]:
    points = []
    at = 2
    for text in texts:
        name, kind, *rest = text.split()
        words = int(kind[5:]) if kind.startswith("text:") else _KINDS[kind][0]
        scale = next((word for word in rest if word != "rw"), None)
        points.append(Point(name, kind, at, words, scale, "rw" in rest))
        at += words
    return tuple(points)
