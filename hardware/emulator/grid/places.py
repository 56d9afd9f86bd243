"""A place where power is measured or switched, and the registers that add up what went through it.

Owns: `Place`, the state of one house, roof, battery, charge point, station or of the transformer.
Refuses: the network and time's pace (`grid`). Invariants: registers are whole nanojoules and only rise; an open
switch carries nothing.
"""

from dataclasses import dataclass, field

from hardware.emulator.port import Phase, Reading

from .stores import NJ_PER_WH


@dataclass(slots=True)
class Place:
    """Power that is being drawn now (`power_mw`, `reactive_mvar` as milli-var) and what was drawn up to `since_us`."""

    name: str
    node: str
    phases: int
    house: str | None = None
    closed: bool = True
    order_mw: int | None = None
    limit_mw: int | None = None
    forced_mw: int | None = None
    power_mw: int = 0
    reactive_mvar: int = 0
    voltage_v: float = 0.0
    import_nj: int = 0
    export_nj: int = 0
    since_us: int = field(default=0)

    def pass_time(self, now_us: int) -> None:
        self.import_nj, self.export_nj = self.energy_nj(now_us)
        self.since_us = now_us

    def energy_nj(self, now_us: int) -> tuple[int, int]:
        """Import and export up to an instant at which the power is still the one of now."""
        moved_nj = self.power_mw * max(0, now_us - self.since_us)
        return self.import_nj + max(0, moved_nj), self.export_nj + max(0, -moved_nj)

    def reading(self, now_us: int, frequency_hz: float) -> Reading:
        """What clamps see; three phases share everything alike."""
        imported_nj, exported_nj = self.energy_nj(now_us)
        power_w, reactive_var = self.power_mw / 1000 / self.phases, self.reactive_mvar / 1000 / self.phases
        current_a = abs(complex(power_w, reactive_var)) / self.voltage_v if self.voltage_v else 0.0
        share = NJ_PER_WH * self.phases
        phase = Phase(self.voltage_v, current_a, power_w, reactive_var, imported_nj / share, exported_nj / share)
        return Reading((phase,) * self.phases, frequency_hz)
