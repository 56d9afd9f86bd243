"""Where each device stands: no gap, no replay, no second history.

Owns: a device's position (next row, head), what is held because it came too early, and what a report, a coarse report
or a hello means for them. Pure.
Refuses: two different rows with one number, a report that overlaps the position, more held than HELD_MAX.
Invariant: the position moves only forward, only to where heads fit, and only over what is handed back for storing.
(docs/spec.md section 3; the rules for gaps, clones, coarse reports and takeover are protocol rules of sequence.)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from wire.report import EVENT, EVENTS, HEAD_START, Coarse, Report
from wire.units import suspect_step, suspect_values

HELD_MAX = 32
TAKEOVER = EVENTS.index("takeover")

Item = Report | Coarse
KnownHead = Callable[[int], bytes | None]  # the stored head before a row, where it is a report's border


@dataclass
class Position:
    """All rows before `next_seq` are durable; `registers` are the last stored ones, None where nothing is known."""

    next_seq: int = 0
    head: bytes = HEAD_START
    registers: tuple[int, int] | None = None


@dataclass(frozen=True)
class Taken:
    """To be stored, in this order, before the position that comes with it is told to anyone."""

    item: Item
    raw: bytes
    suspect: int  # 0 or the first row's reason, an index into wire.units.SUSPECT


@dataclass(frozen=True)
class Verdict:
    """`taken` may hold several: what was held fits now. With nothing taken, `word` says why."""

    word: str  # taken, duplicate, held, clone, overlap, full
    taken: tuple[Taken, ...] = ()


@dataclass
class Track:
    """One device's sequence."""

    position: Position = field(default_factory=Position)
    rating_w: int = 0  # 0: not known, the general limit counts
    held: dict[int, tuple[Item, bytes]] = field(default_factory=dict)

    def take(self, item: Item, raw: bytes, known_head: KnownHead) -> Verdict:
        word = self._judge(item, known_head)
        if word == "held":
            if len(self.held) >= HELD_MAX and item.seq not in self.held:
                return Verdict("full")
            self.held[item.seq] = (item, raw)
            return Verdict("held")
        if word != "taken":
            return Verdict(word)
        taken = [self._advance(item, raw)]
        while self.held:
            first = min(self.held)
            if first > self.position.next_seq:
                break
            item, raw = self.held.pop(first)
            if self._judge(item, known_head) == "taken":
                taken.append(self._advance(item, raw))
        return Verdict("taken", tuple(taken))

    def _judge(self, item: Item, known_head: KnownHead) -> str:
        here = self.position
        if item.next_seq <= here.next_seq:
            stored = here.head if item.next_seq == here.next_seq else known_head(item.next_seq)
            return "clone" if stored is not None and stored != item.next_head else "duplicate"
        if item.seq > here.next_seq:
            return "held"
        if item.seq == here.next_seq:
            return "taken" if item.head == here.head else "clone"
        if not isinstance(item, Coarse):
            return "overlap"  # a sealed report is never repacked
        stored = known_head(item.seq)
        return "clone" if stored is not None and stored != item.head else "taken"

    def _advance(self, item: Item, raw: bytes) -> Taken:
        suspect = 0
        registers: tuple[int, int] | None = None
        if isinstance(item, Report):
            suspect, registers = judge_rows(item, self.position.registers, self.rating_w)
        elif item.last:
            registers = (item.last[0], item.last[1])
        self.position = Position(item.next_seq, item.next_head, registers)
        return Taken(item, raw, suspect)

    def gap(self) -> bool:
        """Whether something was left out before what is held: the next beat's position asks for it."""
        return bool(self.held)


def judge_rows(report: Report, registers: tuple[int, int] | None, rating_w: int) -> tuple[int, tuple[int, int]]:
    """The first reason to suspect a row, or 0, and the registers at the report's end."""
    suspect = 0
    for row in report.rows:
        reason = suspect_values(row)
        if registers is not None and not (row[6] & EVENT and row[7][0][0] == TAKEOVER):
            reason = reason or (suspect_step(registers, row, rating_w) if rating_w else suspect_step(registers, row))
        suspect = suspect or reason
        registers = (row[1], row[2])
    assert registers is not None, "a report has at least one row"
    return suspect, registers


def position_at_hello(oldest_seq: int, next_seq: int, head: bytes) -> Position:
    """Where a device is taken over of which no chain knows anything: at its first row, or where it stands now."""
    return Position() if oldest_seq == 0 else Position(next_seq, head)
