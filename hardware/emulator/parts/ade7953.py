"""ADE7953, channel A.

Owns: its scales, the energy counter that rolls over or restarts when read, the locked register.
Refuses: writes to the locked register without the key before; answers before it has started up.
Invariants: the counter moves with energy, import up and export down, at 206,900 counts a second at full scale.
"""

import math

from hardware.catalog import load
from hardware.catalog.part import Chip as Register

from ..port import Terminal
from .chip import Chip
from .gauge import Gauge, power_factor

_KEY = 0xAD
_CLEAR_WHEN_READ = 0x40


class Ade7953(Chip):
    """`full_mv`, `full_ma`: the mains voltage and current that the board's divider and shunt bring to full scale."""

    pointer_bytes = 2

    def __init__(self, terminal: Terminal, full_mv: int, full_ma: int, address: int = 0x38, seed: int = 0) -> None:
        self._full_v = full_mv / 1000
        self._full_a = full_ma / 1000
        self._open = False
        self._zero = 0.0  # counts when the counter last restarted
        self._power_us: int | None = None
        part = load("ade7953")
        pace = part.pace
        self._counts_per_wh = 3600 * pace["energy_rate_hz"] / (self._full_v * self._full_a)
        super().__init__(part, Gauge(terminal, 1_000, seed), address)

    def restart(self, now_us: int) -> None:
        super().restart(now_us)
        self._open = False
        self._power_us = now_us or None
        if now_us:
            self._zero = self._counts(now_us)

    def _counts(self, now_us: int) -> float:
        phase = self.gauge.at(now_us).phases[0]
        return (phase.import_wh - phase.export_wh) * self._counts_per_wh

    def _starting(self, now_us: int) -> bool:
        return self._power_us is not None and now_us < self._power_us + self.part.pace["startup_ms"] * 1000

    def write(self, data: bytes, now_us: int) -> bool:
        return not self._starting(now_us) and super().write(data, now_us)

    def read(self, count: int, now_us: int) -> bytes | None:
        return None if self._starting(now_us) else super().read(count, now_us)

    def value(self, register: Register, now_us: int) -> int:
        pace = self.part.pace
        reading = self.gauge.at(now_us)
        phase = reading.phases[0]
        if register.name == "aenergya":
            counts = math.floor(self._counts(now_us)) - math.floor(self._zero)
            if self.kept["lcycmode"] & _CLEAR_WHEN_READ:
                self._zero = self._counts(now_us)
            return (counts + 0x800000 & 0xFFFFFF) - 0x800000
        measured = {
            "vrms": phase.voltage_v / self._full_v * pace["full_scale_rms"],
            "irmsa": phase.current_a / self._full_a * pace["full_scale_rms"],
            "awatt": phase.power_w / (self._full_v * self._full_a) * pace["full_scale_watt"],
            "period": pace["period_clock_hz"] / reading.frequency_hz - 1,
            "pfa": math.copysign(
                32767 * power_factor(phase.power_w, phase.voltage_v, phase.current_a), phase.power_w
            ),
        }
        return round(measured.get(register.name, self.kept[register.name]))

    def written(self, register: Register, value: int, now_us: int) -> None:
        if register.name == "unlock":
            self._open = value == _KEY
            return
        if register.name == "reserved" and not self._open:
            return
        super().written(register, value, now_us)
        self._open = False
