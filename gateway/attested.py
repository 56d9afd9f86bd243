"""Rows and reports for a Modbus device that cannot sign: what the gateway read, under the gateway's own key.

Owns: samples → row → report; registers that never fall, whatever the device's counter does; the hash of what was read.
Pure.
Refuses: a sample older than the last one; making a row of nothing: a device that is silent has none, but for the one
that says so.
Invariants: energy is the device's own where it counts; where it does not, it is power times the time between two
samples that came one soon after the other. Registers go on from the last stored row, also after a restart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from gateway.meters import Sample
from wire import report, rows
from wire.rows import EVENT, EVENTS, NO_SENSOR

SEAL_ROWS = 10
SEAL_S = 600
SOON_MS = 10_000  # two samples further apart say nothing about the energy between them
WRAP_WH = 1 << 32  # where a 32-bit counter begins anew
MWMS_A_WH = 3_600_000_000
START, LOST, BACK = (EVENTS.index(name) for name in ("start", "sensor lost", "sensor back"))
RESTARTED = 4  # the gateway's own start is a soft reset of the device that it plays


@dataclass
class Counter:
    """One direction's register. `offset` is what our register has more than the device's counter."""

    register: int = 0
    offset: int = 0
    last: int | None = None  # None: nothing is known of the device's counter yet
    part_mwms: int = 0  # energy made from power that is no whole Wh yet

    def take(self, counted: int) -> None:
        """A counter that fell was exchanged or set back: ours goes on from where it was."""
        if self.last is None:
            self.offset = max(self.register - counted, 0)
        elif counted < self.last:
            wrapped = self.last - counted > WRAP_WH // 2
            self.offset = self.offset + WRAP_WH if wrapped else self.register - counted
        self.last = counted
        self.register = max(self.register, counted + self.offset)

    def integrate(self, power_mw: int, time_ms: int) -> None:
        self.part_mwms += max(power_mw, 0) * time_ms
        whole, self.part_mwms = divmod(self.part_mwms, MWMS_A_WH)
        self.register += whole


@dataclass
class Attester:
    """`id` is the device's, `gateway` ours. `seq` and `head` are where the device's rows go on."""

    id: bytes
    gateway: bytes
    boot: int
    seq: int
    head: bytes
    imported: Counter
    exported: Counter
    row_s: int = 60
    rows: list[bytes] = field(default_factory=list)
    flags: int = 0  # that every row carries: a station's safe state
    lost: bool = False
    _raw: Any = field(default_factory=sha256)
    _base_s: int | None = None  # base time of the report under way
    _row_s: int | None = None  # time of the last row
    _samples: list[Sample] = field(default_factory=list)
    _last: Sample | None = None
    _last_ms: int | None = None
    _last_power_mw: int = 0
    _sealed_s: int = 0
    _begun: bool = False

    def take(self, sample: Sample, now_ms: int) -> None:
        """A sample that was just read."""
        if self._last_ms is not None and now_ms <= self._last_ms:
            self._last_ms = now_ms  # the clock stepped back: the time between the two is not known
            return
        self._count(sample, now_ms)
        if len(self.rows) >= rows.ROWS_MAX:
            return  # the disk takes nothing: the registers go on, rows wait
        self._raw.update(sample.raw)
        self._samples.append(sample)
        self._last = sample
        now_s = now_ms // 1_000
        if not self._begun:
            self._begun = True
            self._row(now_s, START, RESTARTED)
        elif self.lost:
            self.lost = False
            self._row(now_s, BACK)
        elif self._row_s is None or now_s - self._row_s >= self.row_s or now_s < self._row_s:
            self._row(now_s)

    def silent(self, now_ms: int) -> None:
        """It does not answer any more: said once, with the registers as they were."""
        self._last_ms = None
        if self._begun and not self.lost:
            self.lost, self._last = True, None
            self._samples.clear()
            self._row(now_ms // 1_000, LOST)

    def event(self, code: int, value: int, now_ms: int) -> None:
        """Something happened: a row of its own."""
        if not self._samples and self._last is not None:
            self._samples.append(self._last)
        self._row(now_ms // 1_000, code, value)

    @property
    def next_seq(self) -> int:
        return self.seq + len(self.rows)

    def _count(self, sample: Sample, now_ms: int) -> None:
        before_ms, self._last_ms = self._last_ms, now_ms
        soon = before_ms is not None and now_ms - before_ms <= SOON_MS
        time_ms = now_ms - before_ms if soon and before_ms is not None else 0
        power_mw, self._last_power_mw = (self._last_power_mw + sample.power_mw) // 2, sample.power_mw
        for counter, counted, sign in (
            (self.imported, sample.import_wh, 1),
            (self.exported, sample.export_wh, -1),
        ):
            if counted is not None:
                counter.take(counted)
            else:
                counter.integrate(sign * power_mw, time_ms)

    def _row(self, now_s: int, event: int | None = None, value: int = 0) -> None:
        if len(self.rows) >= rows.ROWS_MAX:
            return
        if self._base_s is None:
            self._base_s = self._row_s if self._row_s is not None and self._row_s <= now_s else now_s
            self._sealed_s = now_s
        before_s = self._row_s if self.rows and self._row_s is not None else self._base_s
        flags = self.flags | (0 if event is None else EVENT) | (0 if self._samples else NO_SENSOR)
        more: dict[int, Any] = dict(self._samples[-1].more) if self._samples else {}
        if event is not None:
            more[0] = [event, value]
        self.rows.append(
            rows.encode_row(
                max(now_s - before_s, 0),
                self.imported.register,
                self.exported.register,
                mean([sample.power_mw for sample in self._samples], 1_000),
                phases([sample.voltage_mv for sample in self._samples]),
                phases([sample.current_ma for sample in self._samples]),
                flags,
                more or None,
            )
        )
        self._row_s = now_s
        self._samples.clear()

    def due(self, now_ms: int) -> bool:
        """Whether a report should be sealed: enough rows, enough time, or an event."""
        if not self.rows:
            return False
        last = report.decode_row(self.rows[-1])
        aged = not 0 <= now_ms // 1_000 - self._sealed_s < SEAL_S
        return len(self.rows) >= SEAL_ROWS or aged or bool(last[6] & EVENT)

    def payload(self, quality: int) -> bytes:
        """The report of the rows so far, to be signed and stored; `sealed` when that is done."""
        assert self.rows and self._base_s is not None
        head = (self.id, self.boot, self.seq, self.head, self._base_s, quality)
        return rows.encode(*head, self.rows, self.gateway, self._raw.digest())

    def sealed(self) -> None:
        """The report is on disk: rows go on behind it."""
        for row in self.rows:
            self.head = rows.advance(self.head, row)
        self.seq += len(self.rows)
        self.rows.clear()
        self._raw = sha256()
        self._base_s = None


def mean(values: Sequence[int], divide: int = 1) -> int:
    """Rounded half away from zero; 0 of nothing."""
    if not values:
        return 0
    total, count = sum(values), len(values) * divide
    rounded = (2 * abs(total) + count) // (2 * count)
    return rounded if total >= 0 else -rounded


def phases(values: Sequence[Any]) -> Any:
    """The mean of magnitudes: one number, or one for each of three phases."""
    three = [value for value in values if isinstance(value, (list, tuple)) and len(value) == 3]
    if three and len(three) == len(values):
        return [mean([abs(value[phase]) for value in three]) for phase in range(3)]
    return mean([abs(value if isinstance(value, int) else max(value)) for value in values])
