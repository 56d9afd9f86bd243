"""A car at its charge point: when it is there, and how much it still wants.

Owns: one stay a day, its energy drawn from the seed. Refuses: the power it gets (`grid` and its charge point).
Invariants: a stay is named by the day it began on; it never takes more than it came for.
"""

import datetime

from hardware.site.model import Charger

from .demand import DAY_S, seeded

LATE_S = 1800


class Car:
    def __init__(self, charger: Charger, seed: int) -> None:
        self._charger, self._seed = charger, seed
        self._stay: datetime.date | None = None
        self._arrive_s = 0
        self._wants_nj = 0

    def wanted_mw(self, day: datetime.date, second: int, for_us: int) -> int:
        """What the car would draw for so long from this local second of this day on."""
        leaves_next_day = self._charger.leave_s <= self._charger.arrive_s
        if leaves_next_day and second < self._charger.leave_s:
            day, second = day - datetime.timedelta(days=1), second + DAY_S
        if self._stay != day:
            self._arrives(day)
        leave_s = self._charger.leave_s + (DAY_S if leaves_next_day else 0)
        if not self._arrive_s <= second < leave_s:
            return 0
        return min(self._charger.power_w_max * 1000, self._wants_nj // for_us)

    def pass_time(self, power_mw: int, for_us: int) -> None:
        self._wants_nj = max(0, self._wants_nj - power_mw * for_us)

    def _arrives(self, day: datetime.date) -> None:
        chance = seeded(self._seed, self._charger.name, day)
        self._stay = day
        self._arrive_s = self._charger.arrive_s + int(chance.integers(-LATE_S, LATE_S + 1))
        self._wants_nj = int(self._charger.energy_wh * chance.uniform(0.5, 1.3)) * 3_600_000_000_000
