"""Where each device stands: no gap, no replay, no second history.

Owns: a device's position (next row, head), what is held because it came too early, and what a report, a coarse report
or a hello means for them. Pure.
Refuses: two different rows with one number, a report that overlaps the position, one under a key that a later one has
replaced, more held than HELD_MAX.
Invariant: the position moves only forward, only to where heads fit, and only over what is handed back for storing.
(docs/spec.md section 3; the rules for gaps, clones, coarse reports and takeover are protocol rules of sequence.)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from wire.report import Coarse, Report
from wire.rows import EVENT, EVENTS, HEAD_START, NONE
from wire.units import POWER_W_MAX, suspect_step, suspect_values

HELD_MAX = 32
START, TAKEOVER = EVENTS.index("start"), EVENTS.index("takeover")

Item = Report | Coarse
KnownHead = Callable[[int], bytes | None]  # the stored head before a row, where it is a report's border


@dataclass(slots=True)
class Position:
    """All rows before `next_seq` are durable. `registers` are the last stored ones, None where nothing is known;
    `time_s` is that of the last row, 0 where it had none; `key` the place of the key that signed last."""

    next_seq: int = 0
    head: bytes = HEAD_START
    registers: tuple[int, int] | None = None
    time_s: int = 0
    key: int = 0


class Taken(NamedTuple):
    """To be stored, in this order, before the position that comes with it is told to anyone."""

    item: Item
    raw: bytes
    suspect: int  # 0 or the first row's reason, an index into wire.units.SUSPECT


class Verdict(NamedTuple):
    """`taken` may hold several: what was held fits now. With nothing taken, `word` says why."""

    word: str  # taken, duplicate, held, clone, overlap, old-key, held-full
    taken: tuple[Taken, ...] = ()


_DUPLICATE, _CLONE, _OVERLAP, _OLD_KEY, _HELD, _FULL = (
    Verdict(word) for word in ("duplicate", "clone", "overlap", "old-key", "held", "held-full")
)


@dataclass(slots=True)
class Track:
    """One device's sequence."""

    position: Position = field(default_factory=Position)
    rating_w: int = 0  # 0: not known, the general limit counts
    held: dict[int, tuple[Item, bytes, int]] = field(default_factory=dict)

    def take(self, item: Item, raw: bytes, known_head: KnownHead, key: int = 0) -> Verdict:
        verdict = self._judge(item, key, known_head)
        if verdict is _HELD:
            if len(self.held) >= HELD_MAX and item.seq not in self.held:
                return _FULL
            self.held[item.seq] = (item, raw, key)
        if verdict is not None:
            return verdict
        first = self._advance(item, raw, key)
        return Verdict("taken", (first, *self._fitting(known_head)) if self.held else (first,))

    def _fitting(self, known_head: KnownHead) -> list[Taken]:
        """What was held and follows now; what turned out to be another history or a repeat is dropped."""
        taken = []
        while self.held:
            first = min(self.held)
            if first > self.position.next_seq:
                break
            item, raw, key = self.held.pop(first)
            if self._judge(item, key, known_head) is None:
                taken.append(self._advance(item, raw, key))
        return taken

    def _judge(self, item: Item, key: int, known_head: KnownHead) -> Verdict | None:
        """None for what follows the position."""
        here = self.position
        if item.seq == here.next_seq:
            if item.head != here.head:
                return _CLONE
            return _OLD_KEY if key < here.key else None
        if item.seq > here.next_seq:
            return _HELD
        if item.next_seq <= here.next_seq:
            stored = here.head if item.next_seq == here.next_seq else known_head(item.next_seq)
            return _CLONE if stored is not None and stored != item.next_head else _DUPLICATE
        if not isinstance(item, Coarse):
            return _OVERLAP
        stored = known_head(item.seq)
        if stored is not None and stored != item.head:
            return _CLONE
        return _OLD_KEY if key < here.key else None

    def _advance(self, item: Item, raw: bytes, key: int) -> Taken:
        before = self.position
        if isinstance(item, Report):
            suspect, registers, time_s = judge_rows(item, before.registers, before.time_s, self.rating_w)
        else:
            suspect, registers = 0, None if item.last is None else (item.last[0], item.last[1])
            time_s = 0 if item.quality == NONE else item.time_s
        self.position = Position(item.next_seq, item.next_head, registers, time_s, key)
        return Taken(item, raw, suspect)

    def gap(self) -> bool:
        """Whether something was left out before what is held: the next beat's position asks for it."""
        return bool(self.held)


def judge_rows(
    report: Report, registers: tuple[int, int] | None, time_s: int, rating_w: int
) -> tuple[int, tuple[int, int], int]:
    """The first reason to suspect a row, or 0; registers and time at the report's end.

    Within a report `dt` is the time since the row before. Its first row's counts from a base that may be another
    clock's, so there both rows' times decide; where one has none, or the device was off in between, only a fall counts.
    """
    suspect = 0
    rating_w = rating_w or POWER_W_MAX
    now_s = report.time_s
    placed = report.quality != NONE
    for number, row in enumerate(report.rows):
        now_s += row[0]
        event = row[7].get(0, (None,))[0] if row[6] & EVENT else None
        if suspect == 0:
            suspect = suspect_values(row)
            if suspect == 0 and registers is not None and event != TAKEOVER:
                dt = row[0]
                if event == START or (number == 0 and not (placed and time_s)):
                    dt = 0
                elif number == 0:
                    dt = max(now_s - time_s, 0)
                suspect = suspect_step(registers, row if dt == row[0] else [dt, *row[1:]], rating_w)
        registers = (row[1], row[2])
    assert registers is not None, "a report has at least one row"
    return suspect, registers, now_s if placed else 0


def position_at_hello(oldest_seq: int, next_seq: int, head: bytes) -> Position:
    """Where a device is taken over of which no chain knows anything: at its first row, or where it stands now."""
    return Position() if oldest_seq == 0 else Position(next_seq, head)
