"""A store of energy: what it can take and give now, what it holds afterwards, and how warm it gets.

Owns: state of charge, efficiency, window, self-discharge, temperature. Refuses: deciding what to do (`grid`, or the
board behind it).
Invariants: power never carries the store out of its window within the time it is asked about; energy is counted in
whole nanojoules (milliwatts times microseconds), and what efficiency eats is gone in both directions.
"""

import math

from hardware.emulator.port import StoreState
from hardware.site.model import Store

NJ_PER_WH = 3_600_000_000_000
DAY_US = 86_400_000_000
AIR_C = 22.0
WARMER_C = 12.0  # where it settles above the air at its rated power
WARMING_US = 2_400_000_000
BANK_EMPTY_V = 24.0
BANK_SPAN_V = 3.2
BANK_DROP = 0.02  # of the voltage, where the capacity flows in an hour


class Charge:
    """What one store holds. Charging is positive, power is measured at its terminals, outside the losses."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._capacity_nj = store.capacity_wh * NJ_PER_WH
        self._low_nj = self._capacity_nj * store.soc_min_permille // 1000
        self._high_nj = self._capacity_nj * store.soc_max_permille // 1000
        self._held_nj = self._capacity_nj * store.soc_start_permille // 1000
        self.temperature_c = AIR_C

    def state(self) -> StoreState:
        store = self._store
        held_wh = self._held_nj / NJ_PER_WH
        return StoreState(held_wh, store.capacity_wh, self.temperature_c, store.charge_w_max, store.discharge_w_max)

    def bank(self, outside_w: float) -> tuple[float, float]:
        """Voltage and power of the cells, while so much flows outside the losses. Eight in a row: 24 V nominal."""
        share = self._store.efficiency_permille / 1000
        inside_w = outside_w * share if outside_w > 0 else outside_w / share
        open_v = BANK_EMPTY_V + BANK_SPAN_V * self._held_nj / self._capacity_nj
        ohm = BANK_DROP * open_v * open_v / self._store.capacity_wh
        return (open_v + math.sqrt(max(0.0, open_v * open_v + 4 * ohm * inside_w))) / 2, inside_w

    def possible_mw(self, wanted_mw: int, for_us: int) -> int:
        """The part of the wanted power that the store can keep up for so long."""
        efficiency = self._store.efficiency_permille
        if wanted_mw > 0:
            room_nj = max(0, self._high_nj - self._held_nj)
            return min(wanted_mw, self._store.charge_w_max * 1000, room_nj * 1000 // (efficiency * for_us))
        left_nj = max(0, self._held_nj - self._low_nj)
        return -min(-wanted_mw, self._store.discharge_w_max * 1000, left_nj * efficiency // (1000 * for_us))

    def pass_time(self, power_mw: int, for_us: int) -> None:
        """The store after so long at this power, which `possible_mw` gave."""
        efficiency, moved_nj = self._store.efficiency_permille, power_mw * for_us
        into_nj = moved_nj * efficiency // 1000 if power_mw > 0 else moved_nj * 1000 // efficiency
        leaked_nj = self._capacity_nj * self._store.self_discharge_permille_per_day * for_us // (1000 * DAY_US)
        self._held_nj = max(0, self._held_nj + into_nj - leaked_nj)
        rated_w = self._store.charge_w_max if power_mw > 0 else self._store.discharge_w_max
        settled_c = AIR_C + WARMER_C * (power_mw / 1000 / rated_w) ** 2
        self.temperature_c = settled_c + (self.temperature_c - settled_c) * math.exp(-for_us / WARMING_US)
