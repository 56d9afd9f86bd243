"""What every place wants to draw or give at a second, as far as it can: profile, sun, car, order and store together.

Owns: `Wishes`. Refuses: the network; a wish is granted by `grid` or not yet.
Invariants: nothing is wanted behind an open switch or where there is no voltage; a limit or an order never makes a
roof give more than the sun, nor a store more than it holds; what is forced is bound by the same physics.
"""

import datetime
from collections.abc import Collection, Sequence

from hardware.site.model import Site

from . import demand, sun
from .cars import Car
from .places import Place
from .stores import Charge

EPOCH = datetime.date(1970, 1, 1).toordinal()
# Households draw a little reactive power; panels, stores and chargers hold their power factor at one.
REACTIVE_PERMILLE = 250

Power = tuple[int, int]
"""Milliwatts and milli-vars."""


class Wishes:
    """`places` and `stores` are the grid's own, read here; powers are asked for to last `hold_us`."""

    def __init__(
        self, site: Site, seed: int, places: dict[str, Place], stores: dict[str, Charge], hold_us: int
    ) -> None:
        self._site, self._seed, self._places, self._stores, self._hold_us = site, seed, places, stores, hold_us
        self._panels = {row.name: row for row in site.panels}
        self._cars = {row.name: Car(row, seed) for row in site.chargers}
        # A battery follows the rest of its house, so it comes last.
        self._behind = {
            house.name: [row.name for row in (*site.panels, *site.chargers, *site.batteries) if row.house == house.name]
            for house in site.houses
        }
        self._day = datetime.date.min
        self._second = 0
        self._curves: dict[str, Sequence[int]] = {}

    def at(self, time_s: int, live: Collection[str]) -> dict[str, Power]:
        """All wishes at a second, if these nodes have voltage."""
        self._turn_to(time_s)
        wishes: dict[str, Power] = {}
        for house in self._site.houses:
            self._house(house.name, self._places[house.name].node in live, wishes)
        for station in self._site.stations:
            place = self._places[station.name]
            wanted_mw = _first(place.forced_mw, place.order_mw, station.setpoint_w * 1000)
            on = place.closed and place.node in live
            wishes[station.name] = (self._store_mw(place, wanted_mw) if on else 0, 0)
        return wishes

    def available_mw(self, place: Place) -> int:
        """What a roof could give at the last second asked about."""
        return self._curves[place.name][self._second] if place.name in self._panels else 0

    def pass_time(self, for_us: int) -> None:
        for name, car in self._cars.items():
            car.pass_time(self._places[name].power_mw, for_us)

    def _house(self, name: str, live: bool, wishes: dict[str, Power]) -> None:
        house = self._places[name]
        on = live and house.closed
        own_mw = _first(house.forced_mw, self._curves[name][self._second]) if on else 0
        total_mw = own_mw
        for behind in self._behind[name]:
            place = self._places[behind]
            power_mw = self._behind_mw(place, total_mw) if on and place.closed else 0
            wishes[behind] = (power_mw, 0)
            total_mw += power_mw
        wishes[name] = (total_mw, own_mw * REACTIVE_PERMILLE // 1000)

    def _behind_mw(self, place: Place, rest_mw: int) -> int:
        if place.name in self._panels:
            return -self._roof_mw(place)
        if place.name in self._cars:
            can_mw = self._cars[place.name].wanted_mw(self._day, self._second, self._hold_us)
            return min(can_mw, max(0, _first(place.forced_mw, place.order_mw, can_mw)))
        return self._store_mw(place, _first(place.forced_mw, place.order_mw, -rest_mw))

    def _roof_mw(self, place: Place) -> int:
        available_mw = self._curves[place.name][self._second]
        ordered_mw = place.order_mw if place.order_mw is None else -place.order_mw
        if place.forced_mw is not None:
            return max(0, -place.forced_mw)
        return max(0, min(available_mw, _first(ordered_mw, available_mw), _first(place.limit_mw, available_mw)))

    def _store_mw(self, place: Place, wanted_mw: int) -> int:
        if place.limit_mw is not None:
            wanted_mw = max(wanted_mw, -place.limit_mw)
        return self._stores[place.name].possible_mw(wanted_mw, self._hold_us)

    def _turn_to(self, time_s: int) -> None:
        days, self._second = divmod(time_s + self._site.utc_offset_min * 60, demand.DAY_S)
        day = datetime.date.fromordinal(EPOCH + days)
        if day != self._day:
            self._day = day
            self._curves = self._day_curves(day)

    def _day_curves(self, day: datetime.date) -> dict[str, Sequence[int]]:
        """Milliwatts by second; a memoryview gives plain integers at four bytes each."""
        site, seed = self._site, self._seed
        curves = {h.name: demand.day_w(seed, h.name, h.profile, h.annual_kwh, day) for h in site.houses}
        sky = sun.Sky(site, seed, day) if site.panels else None
        if sky is not None:
            curves |= {row.name: sky.roof_w(row) for row in site.panels}
        return {name: (curve * 1000).astype("int32").data for name, curve in curves.items()}


def _first(*values: int | None) -> int:
    """The first that is given; the last always is."""
    return next(value for value in values if value is not None)
