"""PZEM-004T v3 and v4.

Owns: its quirks: no direction, general address, reset command, silence without mains.
Refuses: what the module refuses. Invariants: energy counts whole watt-hours of both directions, up to 9,999.99 kWh.
"""

from collections.abc import Mapping

from hardware.catalog import Register, load

from ..port import Scheduled, Terminal
from .gauge import Gauge, power_factor
from .modbus import ILLEGAL_FUNCTION, ILLEGAL_VALUE, CatalogRegisters, MeterPart, Refused

GENERAL_ADDRESS = 0xF8
RESET_ENERGY = 0x42
STARTING_POWER_W = 0.4
STARTING_CURRENT_A = 0.02


class _Registers(CatalogRegisters):
    def __init__(self, version: int, gauge: Gauge, energy_wh: float) -> None:
        super().__init__(load(f"pzem004t-v{version}"))
        self._gauge = gauge
        self._before_wh = energy_wh  # counted before the emulator began
        self._reset_wh = 0.0

    def measured(self, now_us: int) -> Mapping[str, float]:
        reading = self._gauge.at(now_us)
        phase = reading.phases[0]
        current_a = phase.current_a if phase.current_a >= STARTING_CURRENT_A else 0.0
        power_w = abs(phase.power_w) if abs(phase.power_w) >= STARTING_POWER_W else 0.0
        shown = int(self._counted_wh(now_us) - self._reset_wh) % (self.part.pace["energy_wh_max"] + 10)
        return {
            "voltage": round(phase.voltage_v * 10),
            "current": round(current_a * 1000),
            "power": round(power_w * 10),
            "energy": shown,
            "frequency": round(reading.frequency_hz * 10),
            "power_factor": round(100 * power_factor(power_w, phase.voltage_v, current_a)) if current_a else 0,
            "alarm": 0xFFFF if power_w > self.settings["alarm_threshold"] else 0,
        }

    def has_mains(self, now_us: int) -> bool:
        return self._gauge.at(now_us).phases[0].voltage_v * 10 >= self.part.pace["voltage_dv_min"]

    def special(self, function: int, body: bytes, now_us: int) -> bytes:
        if function != RESET_ENERGY:
            raise Refused(ILLEGAL_FUNCTION)
        if body:
            raise Refused(ILLEGAL_VALUE)
        self._reset_wh = self._counted_wh(now_us)
        return bytes((RESET_ENERGY,))

    def _counted_wh(self, now_us: int) -> float:
        phase = self._gauge.at(now_us).phases[0]
        return self._before_wh + phase.import_wh + phase.export_wh


class Pzem004t(MeterPart):
    """`energy_wh`: what its register stood at when it was put in."""

    registers: _Registers

    def __init__(
        self, terminal: Terminal, address: int = 1, version: int = 3, energy_wh: float = 0.0, seed: int = 0
    ) -> None:
        part = load(f"pzem004t-v{version}")
        gauge = Gauge(terminal, part.pace["refresh_ms"] * 1000, seed)
        registers = _Registers(version, gauge, energy_wh)
        super().__init__(registers, gauge, part, address, None, seed)
        registers.settings["slave_address"] = address
        registers.changed = self._setting  # type: ignore[method-assign]
        self.general = GENERAL_ADDRESS

    def receive(self, data: bytes, now_us: int) -> Scheduled:
        return super().receive(data, now_us) if self.registers.has_mains(now_us) else []

    def _setting(self, register: Register) -> None:
        if register.name == "slave_address":
            self.address = int(self.registers.settings["slave_address"])
