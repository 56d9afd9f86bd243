"""The grid as boards, parts and the pilot see it: a plant that is told the time, with terminals, switches, converters.

Owns: the order of things at each second (what is wanted, what is possible, what flows), and the totals.
Refuses: boards and buses; a clock of its own. Implements the ports `Plant`, `Terminal`, `Switch`, `Converter`.
Invariants: power flow is solved anew when a place's power moved by more than `THRESHOLD_MW`, at every order and
switching, and at least every `HOLD_US`; in between powers are held, and energy is what was held times the time.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

from hardware.emulator.port import Phase, Reading, StoreState
from hardware.site.model import BUSBAR, GRID, Site

from .network import Network
from .places import Place
from .stores import NJ_PER_WH, Charge
from .wishes import Wishes

TICK_US = 1_000_000
HOLD_US = 5_000_000
THRESHOLD_MW = 20_000


@dataclass(frozen=True)
class Totals:
    """What went through the street since its start: import minus export of the transformer and of every house and
    station, and what cables and transformer lost."""

    supply_wh: float
    loss_wh: float
    places_wh: dict[str, float]


class Grid:
    """The plant of one site. `on_change` is called after every new solution of the power flow."""

    def __init__(self, site: Site, seed: int | None = None, on_change: Callable[[], None] = lambda: None) -> None:
        self.on_change = on_change
        self.solutions = 0
        self._site = site
        self._network = Network(site)
        self._tick_us = self._settled_us = self._solved_us = site.start_s * 1_000_000
        self._places = _places(site, self._settled_us)
        self._roots = [self._places[row.name] for row in (*site.houses, *site.stations)]
        self._stores = {row.name: Charge(row) for row in (*site.batteries, *site.stations)}
        self._wishes = Wishes(site, site.seed if seed is None else seed, self._places, self._stores, HOLD_US)
        self._loss_mw = self._loss_nj = 0
        self._flow(self._settled_us, must=True)

    # Plant
    def next_us(self) -> int:
        return self._tick_us + TICK_US

    def advance(self, now_us: int) -> None:
        while self._tick_us + TICK_US <= now_us:
            self._tick_us += TICK_US
            self._flow(self._tick_us, must=self._tick_us - self._solved_us >= HOLD_US)

    # What others hold on to
    def terminal(self, place: str) -> "GridTerminal":
        return GridTerminal(self, self._places[place])

    def bank(self, place: str) -> "BankTerminal":
        return BankTerminal(self, self._places[place], self._stores[place])

    def switch(self, place: str) -> "GridSwitch":
        return GridSwitch(self, self._places[place])

    def converter(self, place: str) -> "GridConverter":
        return GridConverter(self, self._places[place])

    # What the pilot's story and tests do
    def force(self, place: str, power_w: float | None, now_us: int) -> None:
        """From now on the place wants this power, whatever its profile, sun or orders say; None: as before."""
        self.change(now_us, lambda: setattr(self._places[place], "forced_mw", _mw(power_w)))

    def warm(self, place: str, temperature_c: float, now_us: int) -> None:
        """A store is this warm now, and goes on from there."""
        self.change(now_us, lambda: setattr(self._stores[place], "temperature_c", temperature_c))

    def set_cable(self, cable: str, closed: bool, now_us: int) -> None:
        self.change(now_us, lambda: self._network.set_switch(cable, closed))

    def set_tap(self, tap: int, now_us: int) -> None:
        self.change(now_us, lambda: self._network.set_tap(tap))

    def change(self, now_us: int, act: Callable[[], None]) -> None:
        """Do something to the grid at an instant, and solve it there. The grid's time never runs backwards: what comes
        from a board that is a little behind takes effect at the last instant that was solved."""
        self.advance(now_us)
        at_us = max(now_us, self._settled_us)
        self._settle(at_us)
        act()
        self._flow(at_us, must=True)

    def totals(self, now_us: int) -> Totals:
        self.advance(now_us)
        lost_nj = self._loss_nj + self._loss_mw * max(0, now_us - self._settled_us)
        places_wh = {place.name: _net_wh(place, now_us) for place in self._roots}
        return Totals(_net_wh(self._places[GRID], now_us), lost_nj / NJ_PER_WH, places_wh)

    def audit_v(self) -> float:
        """The largest error of a voltage now, against a whole run of pandapower."""
        return self._network.audit(self._node_va())

    # What terminals and converters ask
    def reading(self, place: Place, now_us: int) -> Reading:
        self.advance(now_us)
        return place.reading(max(now_us, self._settled_us), self._frequency_hz())

    def store_state(self, place: Place, now_us: int) -> StoreState | None:
        self.advance(now_us)
        charge = self._stores.get(place.name)
        return charge.state() if charge else None

    def available_w(self, place: Place, now_us: int) -> float:
        self.advance(now_us)
        return self._wishes.available_mw(place) / 1000

    def _flow(self, now_us: int, must: bool) -> None:
        """What is wanted now flows from now on, if it differs enough from what flows already."""
        self._settle(now_us)
        wanted = self._wishes.at(now_us // 1_000_000, self._network.nodes)
        if not must and all(abs(mw - self._places[name].power_mw) <= THRESHOLD_MW for name, (mw, _) in wanted.items()):
            return
        for name, (power_mw, reactive_mvar) in wanted.items():
            self._places[name].power_mw, self._places[name].reactive_mvar = power_mw, reactive_mvar
        flow = self._network.solve(self._node_va())
        for place in self._places.values():
            place.voltage_v = flow.voltage_v.get(place.node, 0.0)
        supply = self._places[GRID]
        supply.power_mw, supply.reactive_mvar = round(flow.supply_w * 1000), round(flow.supply_var * 1000)
        self._loss_mw = round(flow.loss_w * 1000)
        self._solved_us = now_us
        self.solutions += 1
        self.on_change()

    def _settle(self, now_us: int) -> None:
        """Count what flowed since the last time."""
        for_us = now_us - self._settled_us
        if for_us == 0:
            return
        for place in self._places.values():
            place.pass_time(now_us)
        for name, charge in self._stores.items():
            charge.pass_time(self._places[name].power_mw, for_us)
        self._wishes.pass_time(for_us)
        self._loss_nj += self._loss_mw * for_us
        self._settled_us = now_us

    def _node_va(self) -> dict[str, complex]:
        drawn: dict[str, complex] = {}
        for place in self._roots:
            drawn[place.node] = drawn.get(place.node, 0j) + complex(place.power_mw, place.reactive_mvar) / 1000
        return drawn

    def _frequency_hz(self) -> float:
        second = self._settled_us / 1e6
        return round(50 + 0.012 * math.sin(second / 37) + 0.01 * math.sin(second / 211), 3)


@dataclass(frozen=True)
class GridTerminal:
    """The port `Terminal` at one place."""

    grid: Grid
    place: Place

    def at(self, now_us: int) -> Reading:
        return self.grid.reading(self.place, now_us)


@dataclass(frozen=True)
class BankTerminal:
    """The port `Terminal` on the direct-current side of a store: one phase, volts of its cells, no energy counted."""

    grid: Grid
    place: Place
    charge: Charge

    def at(self, now_us: int) -> Reading:
        voltage_v, power_w = self.charge.bank(self.grid.reading(self.place, now_us).power_w)
        return Reading((Phase(voltage_v, abs(power_w) / voltage_v, power_w),), 0.0)


@dataclass(frozen=True)
class GridSwitch:
    """The port `Switch` of one place: open, nothing flows behind it."""

    grid: Grid
    place: Place

    @property
    def closed(self) -> bool:
        return self.place.closed

    def set(self, closed: bool, now_us: int) -> None:
        if closed != self.place.closed:
            self.grid.change(now_us, lambda: setattr(self.place, "closed", closed))


@dataclass(frozen=True)
class GridConverter:
    """The port `Converter` of one roof, battery, charge point or station."""

    grid: Grid
    place: Place

    def order(self, power_w: float | None, now_us: int) -> None:
        self.grid.change(now_us, lambda: setattr(self.place, "order_mw", _mw(power_w)))

    def limit(self, power_w: float | None, now_us: int) -> None:
        self.grid.change(now_us, lambda: setattr(self.place, "limit_mw", _mw(power_w)))

    def available_w(self, now_us: int) -> float:
        return self.grid.available_w(self.place, now_us)

    def store(self, now_us: int) -> StoreState | None:
        return self.grid.store_state(self.place, now_us)


def balance_error(before: Totals, after: Totals, metered_wh: dict[str, float], step_wh: float = 1.0) -> float:
    """How far meters are off from the grid between two moments, beyond one register step a meter, as a share of the
    grid's energy. `metered_wh`: by place, how far its registers moved, import minus export; a house or station without
    a meter counts as the grid has it. Metered energy and losses are what the transformer took, if meters are right."""
    moved = {name: after.places_wh[name] - before.places_wh[name] for name in after.places_wh}
    drawn_wh = sum(metered_wh.get(name, wh) for name, wh in moved.items())
    off_wh = drawn_wh + after.loss_wh - before.loss_wh - (after.supply_wh - before.supply_wh)
    energy_wh = sum(map(abs, moved.values()))
    beyond_wh = max(0.0, abs(off_wh) - step_wh * len(metered_wh.keys() & moved.keys()))
    return beyond_wh / energy_wh if energy_wh else beyond_wh


def _places(site: Site, now_us: int) -> dict[str, Place]:
    """Houses and stations first, since what hangs on a house looks at it."""
    houses = {row.name: Place(row.name, row.node, row.phases, since_us=now_us) for row in site.houses}
    stations = {
        row.name: Place(row.name, row.node, row.phases, closed=row.relay_closed, since_us=now_us)
        for row in site.stations
    }
    behind = {
        row.name: Place(row.name, houses[row.house].node, houses[row.house].phases, house=row.house, since_us=now_us)
        for row in (*site.panels, *site.chargers, *site.batteries)
    }
    return {GRID: Place(GRID, BUSBAR, 3, since_us=now_us), **houses, **stations, **behind}


def _mw(power_w: float | None) -> int | None:
    return None if power_w is None else round(power_w * 1000)


def _net_wh(place: Place, now_us: int) -> float:
    imported_nj, exported_nj = place.energy_nj(now_us)
    return (imported_nj - exported_nj) / NJ_PER_WH
