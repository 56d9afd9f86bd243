"""Eastron SDM120 and SDM630.

Owns: how their registers follow from what the clamps see. Refuses: what the meters refuse: registers they have not,
half a value, more than 40 values, settings that need the key on the meter.
Invariants: energy has the resolution of 1 Wh and then that of a float32 of kWh, as on the real meters.
"""

import math
from collections.abc import Mapping

from hardware.catalog import load

from ..port import Phase, Reading, Terminal
from .gauge import Gauge, power_factor
from .modbus import CatalogRegisters, MeterPart


class _Sdm(CatalogRegisters):
    gaps_read_zero = True

    def __init__(self, name: str, gauge: Gauge, import_wh: float, export_wh: float) -> None:
        super().__init__(load(name))
        self._gauge = gauge
        self._before_wh = import_wh, export_wh
        self._zeros = {r.name: 0.0 for r in self.part.registers if r.function == 4}
        self._reading: Reading | None = None
        self._values: Mapping[str, float] = {}
        self._demand_max = {"power_demand": 0.0, "import_demand": 0.0, "export_demand": 0.0, "current_demand": 0.0}

    def measured(self, now_us: int) -> Mapping[str, float]:
        reading = self._gauge.at(now_us)
        if reading is not self._reading:  # asked register by register, within one refresh
            found = self._totals(reading)
            for number, phase in enumerate(reading.phases, 1):
                found.update(_phase(phase, "" if self.part.phases == 1 else f"_l{number}"))
            self._values = {name: found.get(name, zero) for name, zero in self._zeros.items()}
            self._reading = reading
        return self._values

    def _totals(self, reading: Reading) -> dict[str, float]:
        phases = reading.phases
        imported, exported = (_kwh(wh) for wh in self._counted_wh(reading))
        reactive = sum(p.reactive_var for p in phases)
        apparent = sum(p.voltage_v * p.current_a for p in phases)
        currents = sum(p.current_a for p in phases)
        values = {
            "frequency": reading.frequency_hz,
            "import_energy": imported,
            "export_energy": exported,
            "total_energy": _kwh(sum(self._counted_wh(reading))),
            "total_power": reading.power_w,
            "total_apparent_power": apparent,
            "total_reactive_power": reactive,
            "total_power_factor": min(1.0, abs(reading.power_w) / apparent) if apparent > 1e-9 else 1.0,
            "total_phase_angle": math.degrees(math.atan2(reactive, reading.power_w)) if apparent > 1e-9 else 0.0,
            "mean_voltage": sum(p.voltage_v for p in phases) / len(phases),
            "mean_line_voltage": math.sqrt(3) * sum(p.voltage_v for p in phases) / len(phases),
            "mean_current": currents / len(phases),
            "sum_current": currents,
            "power_demand": reading.power_w,
            "import_demand": max(0.0, reading.power_w),
            "export_demand": max(0.0, -reading.power_w),
            "current_demand": currents,
        }
        for name, highest in self._demand_max.items():
            self._demand_max[name] = values[f"{name}_max"] = max(highest, values[name])
        for pair, (a, b) in {"l1_l2": (0, 1), "l2_l3": (1, 2), "l3_l1": (2, 0)}.items():
            if len(phases) == 3:
                va, vb = phases[a].voltage_v, phases[b].voltage_v
                values[f"voltage_{pair}"] = math.sqrt(va * va + vb * vb + va * vb)
        return values

    def _counted_wh(self, reading: Reading) -> tuple[float, float]:
        return self._before_wh[0] + reading.import_wh, self._before_wh[1] + reading.export_wh


def _phase(phase: Phase, suffix: str) -> dict[str, float]:
    factor = power_factor(phase.power_w, phase.voltage_v, phase.current_a)
    values = {
        "voltage": phase.voltage_v,
        "current": phase.current_a,
        "power": phase.power_w,
        "apparent_power": phase.voltage_v * phase.current_a,
        "reactive_power": phase.reactive_var,
        "power_factor": math.copysign(factor, phase.power_w),
        "phase_angle": math.degrees(math.atan2(phase.reactive_var, phase.power_w)) if phase.current_a else 0.0,
    }
    if suffix:  # the single-phase meter's energies are its totals
        values |= {"import_energy": _kwh(phase.import_wh), "export_energy": _kwh(phase.export_wh)}
    return {name + suffix: value for name, value in values.items()}


def _kwh(energy_wh: float) -> float:
    return int(energy_wh) / 1000


class Sdm(MeterPart):
    """`name`: sdm120 or sdm630. `import_wh`, `export_wh`: what its registers stood at when it was put in."""

    def __init__(
        self,
        name: str,
        terminal: Terminal,
        address: int = 1,
        baudrate: int | None = None,
        import_wh: float = 0.0,
        export_wh: float = 0.0,
        seed: int = 0,
    ) -> None:
        part = load(name)
        gauge = Gauge(terminal, part.pace["refresh_ms"] * 1000, seed)
        registers = _Sdm(name, gauge, import_wh, export_wh)
        super().__init__(registers, gauge, part, address, baudrate, seed)
        registers.settings["node_address"] = address
        # As delivered the meters speak at baudrates[0]; another rate was set with the key on the meter.
