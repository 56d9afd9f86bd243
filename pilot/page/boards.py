"""What the boards last said, folded from the gateway's messages in their order.

Owns: each board's last row, the reading that today's energy counts from, events and alarms in rows.
Refuses: to show a reading that the gateway marked suspect: it is told as a notice and moves nothing.
Invariant: energy is a difference of two readings of a register, both of which can be shown.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from pilot.page import wording
from wire import envelope, report, units
from wire.command import OUTCOMES, REASONS, Receipt
from wire.report import Coarse, Report
from wire.rows import EVENTS, NO_SENSOR, NONE, SAFE
from wire.state import State

DAY_S = 86_400
NOTICES_KEPT = 60
WAY_S = 3


class Stored(NamedTuple):
    """A message as the gateway keeps it, its signature checked."""

    device: bytes
    kind: str
    at_ms: int  # when the gateway took it
    suspect: int
    raw: bytes


class Sample(NamedTuple):
    """A row."""

    seq: int
    at_s: int | None  # None: the board had no clock
    import_wh: int
    export_wh: int
    power_w: int
    voltage_mv: int
    flags: int
    soc_milli: int | None
    temperature_dc: int | None


class Notice(NamedTuple):
    """Something that happened."""

    at_s: int
    who: bytes | str
    words: str
    alarm: bool


@dataclass
class Board:
    last: Sample | None = None
    base: Sample | None = None  # today's energy is the last sample's registers less these
    span_s: int = 0  # that the last report covers
    safe_reason: str = ""
    state: State | None = None

    def fresh_s(self, speed: float) -> int:
        """Until this age a value is as new as this board makes them; the way here takes its time by any clock."""
        return int(WAY_S * max(speed, 1.0)) + 2 * self.span_s

    def today_wh(self) -> tuple[int, int] | None:
        """In, out."""
        if self.last is None or self.base is None:
            return None
        return self.last.import_wh - self.base.import_wh, self.last.export_wh - self.base.export_wh


@dataclass
class Boards:
    offset_min: int
    boards: dict[bytes, Board] = field(default_factory=dict)
    notices: deque[Notice] = field(default_factory=lambda: deque(maxlen=NOTICES_KEPT))
    receipts: dict[tuple[bytes, int], dict[int, str]] = field(default_factory=dict)  # (station, counter): part: words

    def take(self, stored: Stored) -> None:
        board = self.boards.setdefault(stored.device, Board())
        payload = envelope.split(stored.raw).payload
        if stored.suspect:
            words = f"sent a reading that cannot be right ({units.SUSPECT[stored.suspect]}): kept, and worth nothing"
            self._notice(stored, words, True)
        elif stored.kind in ("report", "attested"):
            self._report(board, report.decode(payload, attested=stored.kind == "attested"), stored)
        elif stored.kind == "coarse":
            merged = Coarse.decode(payload).merged
            self._notice(stored, f"gave up details of {wording.count(merged, 'report')} to make room", False)
        elif stored.kind == "state":
            board.state = State.decode(payload)
        elif stored.kind == "receipt":
            self._receipt(Receipt.decode(payload))

    def _notice(self, stored: Stored, words: str, alarm: bool) -> None:
        self.notices.append(Notice(stored.at_ms // 1_000, stored.device, words, alarm))

    def _report(self, board: Board, rows: Report, stored: Stored) -> None:
        time_s = rows.time_s
        for place, row in enumerate(rows.rows):
            time_s += row[0]
            sample = _sample(rows.seq + place, None if rows.quality == NONE else time_s, row)
            self._day(board, sample)
            board.last = sample
            if len(row) > 7 and 0 in row[7]:
                self._event(board, stored, sample, *row[7][0])
        board.span_s = sum(row[0] for row in rows.rows)

    def _day(self, board: Board, sample: Sample) -> None:
        """The last reading before midnight is where today begins, or the first one there is."""
        if board.base is None or board.last is None:
            board.base = sample
        elif sample.at_s is not None and board.last.at_s is not None:
            if self._date(sample.at_s) != self._date(board.last.at_s):
                board.base = board.last
        elif board.base.at_s is None and sample.at_s is not None:
            board.base = sample

    def _date(self, at_s: int) -> int:
        return (at_s + self.offset_min * 60) // DAY_S

    def _event(self, board: Board, stored: Stored, sample: Sample, code: int, value: int) -> None:
        name = EVENTS[code]
        words, alarm = wording.EVENTS.get(name, name), name in wording.ALARMS
        if name == "safe entered":
            why = REASONS[value] if value < len(REASONS.names) else ""
            board.safe_reason, alarm = wording.reason(why), why not in wording.STARTING
            words += f": {board.safe_reason}" if why else ""
        elif name == "safe left":
            board.safe_reason = ""
        elif name == "command":
            words += f" ({value})"
        at_s = sample.at_s if sample.at_s is not None else stored.at_ms // 1_000
        self.notices.append(Notice(at_s, stored.device, words, alarm))

    def _receipt(self, receipt: Receipt) -> None:
        why = wording.reason(REASONS[receipt.reason])
        words = OUTCOMES[receipt.outcome] + (f" ({why})" if why else "")
        self.receipts.setdefault((receipt.station, receipt.counter), {})[receipt.part] = words
        while len(self.receipts) > NOTICES_KEPT:
            del self.receipts[next(iter(self.receipts))]


def _sample(seq: int, at_s: int | None, row: list[Any]) -> Sample:
    voltage_mv = row[4] if isinstance(row[4], int) else sum(row[4]) // len(row[4])
    more = row[7] if len(row) > 7 else {}
    return Sample(seq, at_s, row[1], row[2], row[3], voltage_mv, row[6], more.get(3), more.get(4))


def sensorless(sample: Sample) -> bool:
    return bool(sample.flags & NO_SENSOR)


def safe(sample: Sample) -> bool:
    return bool(sample.flags & SAFE)
