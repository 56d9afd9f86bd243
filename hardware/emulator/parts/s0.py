"""The pulse output of a meter.

Owns: when a pulse is due and how long it lasts. Refuses: losing one: what came too fast for the standard's pause comes
later. Invariants: as many pulses as energy, whoever asks and how often.
"""

from hardware.catalog import load

from ..port import Terminal
from .gauge import Failure


class S0Pulse:
    """A PinSource: an open collector that pulls the board's input (pulled up) to 0 during a pulse."""

    def __init__(self, terminal: Terminal, pulses_per_kwh: int = 0, export: bool = False) -> None:
        pace = load("s0-pulse").pace
        self._terminal = terminal
        self._export = export
        self._pulse_wh = 1000 / (pulses_per_kwh or pace["pulses_per_kwh"])
        self._pulse_us = pace["pulse_ms"] * 1000
        self._pause_us = pace["pause_ms_min"] * 1000
        self._given: int | None = None  # pulses begun
        self._begun_us = -(1 << 62)
        self.failure = Failure.NONE

    def fail(self, failure: Failure, now_us: int) -> None:
        """Dead and frozen outputs give no pulse and make up for none; babbling and drifting do not apply."""
        if self.failure in (Failure.DEAD, Failure.FROZEN):
            self._given = self._due(now_us)
        self.failure = failure

    def _energy(self, now_us: int) -> tuple[float, float]:
        """Energy in pulses, and pulses a microsecond."""
        reading = self._terminal.at(now_us)
        energy_wh = reading.export_wh if self._export else reading.import_wh
        power_w = max(0.0, -reading.power_w if self._export else reading.power_w)
        return energy_wh / self._pulse_wh, power_w / self._pulse_wh / 3.6e9

    def _due(self, now_us: int) -> int:
        return int(self._energy(now_us)[0] + 1e-9)

    def _advance(self, now_us: int) -> None:
        if self._given is None:
            self._given = self._due(now_us)
        if self.failure in (Failure.DEAD, Failure.FROZEN):
            return
        if now_us >= self._begun_us + self._pulse_us + self._pause_us and self._due(now_us) > self._given:
            self._given += 1
            self._begun_us = now_us

    def level(self, now_us: int) -> int:
        self._advance(now_us)
        return int(not self._begun_us <= now_us < self._begun_us + self._pulse_us)

    def next_edge_us(self, now_us: int) -> int | None:
        self._advance(now_us)
        if now_us < self._begun_us + self._pulse_us:
            return self._begun_us + self._pulse_us
        if self.failure in (Failure.DEAD, Failure.FROZEN):
            return None
        assert self._given is not None
        ready_us = self._begun_us + self._pulse_us + self._pause_us
        energy, per_us = self._energy(now_us)
        left = self._given + 1 - energy
        if left <= 1e-9:
            return max(now_us + 1, ready_us)
        return max(now_us + 1 + int(left / per_us), ready_us) if per_us > 0 else None
