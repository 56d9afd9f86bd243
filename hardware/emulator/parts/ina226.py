"""INA226.

Owns: conversions at their own pace, the ready flag, settings. Refuses: voltages and currents beyond the chip's range
(they saturate, as on the chip). Invariants: a value stands until the next conversion ends.
"""

from hardware.catalog import load
from hardware.catalog.part import Chip as Register

from ..port import Terminal
from .chip import Chip
from .gauge import Failure, Gauge

_MEAN = (1, 4, 16, 64, 128, 256, 512, 1024)
_CONVERSION_US = (140, 204, 332, 588, 1100, 2116, 4156, 8244)
_READY = 0x0008
_RESET = 0x8000


class Ina226(Chip):
    def __init__(self, terminal: Terminal, shunt_uohm: int, address: int = 0x40, seed: int = 0) -> None:
        self._shunt_uohm = shunt_uohm
        self._since_us = 0  # when conversions began
        self._told = 0  # conversions that the ready flag was already read for
        self._latched: tuple[int, int, int] = (-1, 0, 0)  # conversion, bus, shunt
        super().__init__(load("ina226"), Gauge(terminal, 0, seed), address)

    def restart(self, now_us: int) -> None:
        super().restart(now_us)
        self._begin(now_us)

    def _begin(self, now_us: int) -> None:
        self._since_us, self._told, self._latched = now_us, 0, (-1, 0, 0)

    def _conversions(self, now_us: int) -> int:
        config = self.kept["config"]
        shunt = _CONVERSION_US[config >> 3 & 7] * (config & 1)
        bus = _CONVERSION_US[config >> 6 & 7] * (config >> 1 & 1)
        each_us = _MEAN[config >> 9 & 7] * (shunt + bus)
        if not each_us or self.failure is Failure.FROZEN:
            return self._told
        done = (now_us - self._since_us) // each_us
        return done if config & 4 else min(done, 1)  # triggered: one only

    def _latch(self, now_us: int) -> tuple[int, int, int]:
        conversion = self._conversions(now_us)
        if conversion and conversion != self._latched[0] and self.failure is not Failure.FROZEN:
            reading = self.gauge.at(now_us)
            phase = reading.phases[0]
            bus_uv = min(phase.voltage_v * 1e6, self.part.pace["bus_mv_max"] * 1e3)
            current_a = phase.power_w / phase.voltage_v if phase.voltage_v > 0.1 else 0.0
            limit_uv = self.part.pace["shunt_uv_max"]
            shunt_uv = max(-limit_uv, min(limit_uv, current_a * self._shunt_uohm))
            self._latched = conversion, round(bus_uv / 1250), max(-0x8000, min(0x7FFF, round(shunt_uv / 2.5)))
        return self._latched

    def value(self, register: Register, now_us: int) -> int:
        _, bus, shunt = self._latch(now_us)
        current = shunt * self.kept["calibration"] // 2048
        if register.name == "mask":
            ready = self._conversions(now_us) > self._told
            self._told = self._conversions(now_us)
            return self.kept["mask"] & ~_READY | (_READY if ready else 0)
        measured = {"bus": bus, "shunt": shunt, "current": current, "power": abs(current) * bus // 20_000}
        return measured.get(register.name, self.kept[register.name])

    def written(self, register: Register, value: int, now_us: int) -> None:
        if register.name == "config" and value & _RESET:
            self.restart(now_us)
            return
        super().written(register, value, now_us)
        if register.name == "config":
            self._begin(now_us)
