"""The dynamic scheduling mechanism: who is connected to which storage station, and until when.

Owns: the eight rules below, as pure functions over a `Table`; each call returns what was decided, in order, as values.
Refuses: money, grants, commands, evidence and time. The dispatch contract turns decisions into those.

Rules, for a station with stored energy E, room S = capacity - E, n connected buyers and m connected sellers:
1. An application goes to the available station with the least loss on a finite line (ties: lowest name). The station
   checks itself again: E > 2(n + margin) units for a buyer, S > 2(m + margin) for a seller, n and m before the
   newcomer. One that refuses is left out for that application.
2. After every change of E the station is tested: it trips for buyers at E <= 2n, for sellers at S <= 2m.
3. A trip lowers the flag, then disconnects all users of that side, then they apply again.
4. The flag rises again only when the level is at least one unit above that of the trip and the test of rule 1 holds.
5. After k units a user is disconnected first and then applies again.
6. A unit is counted at the station.
7. A flag belongs to the station: a flip holds for every user, with or without a line. It is up while the station's own
   word and rules 2 to 4 both say so.
8. Users without a station wait in order of application; after every change the queue is tried for the stations that
   changed.

Who is disconnected applies for what no connection has been given yet; what an ended connection left undelivered comes
back through `more`, when its owner knows that it was not delivered.

Invariants: an order is connected, or in the queue once, or wants nothing; a station with its flag down has no users on
that side; a station lists exactly the orders connected to it; nothing depends on anything but the arguments.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import IntEnum
from typing import Protocol, TypeVar


class Side(IntEnum):
    """What the user does. The station supplies a buyer and acquires from a seller."""

    BUY = 0
    SELL = 1


class Why(IntEnum):
    """Why a user was disconnected."""

    QUOTA = 0  # rule 5: its k units are through
    DONE = 1  # it got all it asked for
    TRIP = 2  # rule 3, or the station's own word
    LEASE = 3  # it moved nothing within its lease
    CANCEL = 4  # its own wish
    REFUSED = 5  # the station would not or could not


@dataclass(frozen=True, slots=True)
class Rules:
    """The mechanism's parameters; on a chain only a transaction changes them."""

    k: int = 10
    entry_margin: int = 1
    units_per_user: int = 2
    unit_wh: int = 1000
    one_way: bool = True

    def trip_wh(self, users: int) -> int:
        return self.units_per_user * users * self.unit_wh

    def entry_wh(self, users: int) -> int:
        return self.trip_wh(users + self.entry_margin)


@dataclass(frozen=True, slots=True)
class Gate:
    """One side of a station: its own word, the latch (level at the trip) and the orders connected, oldest first."""

    own: bool = True
    tripped_wh: int | None = None
    orders: tuple[str, ...] = ()

    @property
    def flag(self) -> bool:
        return self.own and self.tripped_wh is None


@dataclass(frozen=True, slots=True)
class Station:
    name: str
    energy_wh: int
    capacity_wh: int
    gates: tuple[Gate, Gate] = (Gate(), Gate())

    def level_wh(self, side: Side) -> int:
        """What a unit of this side uses up: stored energy for buyers, room for sellers."""
        return self.energy_wh if side is Side.BUY else self.capacity_wh - self.energy_wh

    def users(self, side: Side) -> int:
        return len(self.gates[side].orders)

    def with_gate(self, side: Side, gate: Gate) -> Station:
        return replace(self, gates=(gate, self.gates[1]) if side is Side.BUY else (self.gates[0], gate))


@dataclass(frozen=True, slots=True)
class Demand:
    """One order. `wanted` units are in no connection yet; `granted` and `moved` belong to the present connection."""

    user: str
    side: Side
    wanted: int
    station: str | None = None
    granted: int = 0
    moved: int = 0
    shunned: str | None = None  # the station that last refused it, left out until it has spoken again


@dataclass(frozen=True, slots=True)
class Granted:
    """The answer to an application: as the paper prints it, storage and users are those before the newcomer."""

    order: str
    station: str
    units: int
    storage_wh: int
    users: int


@dataclass(frozen=True, slots=True)
class Waits:
    order: str


@dataclass(frozen=True, slots=True)
class Left:
    order: str
    station: str
    why: Why


@dataclass(frozen=True, slots=True)
class Flipped:
    station: str
    side: Side
    flag: bool


Decision = Granted | Waits | Left | Flipped


def least_loss(_side: Side, loss_ppm: int, _station: Station) -> int:
    return loss_ppm


Kept = TypeVar("Kept")


class Rows(Protocol[Kept]):
    """What the mechanism needs of a place where rows are kept; a dict will do."""

    def get(self, key: str, /) -> Kept | None: ...
    def __getitem__(self, key: str, /) -> Kept: ...
    def __setitem__(self, key: str, row: Kept, /) -> None: ...
    def __delitem__(self, key: str, /) -> None: ...


class Means:
    """What a station must have besides energy and room, to pay a seller above all. This one has always enough."""

    def enough(self, station: str, side: Side, units: int) -> bool:
        return True

    def reserve(self, station: str, side: Side, units: int) -> None:
        """A connection was made that will need it."""


@dataclass
class Table:
    """What the mechanism reads and writes. `lines[user]` maps station to loss in ppm; a missing one has no line.

    `rank` is the seam for prices on stations: rule 1 takes the lowest rank. `means` lets a station refuse for a reason
    of its own.
    """

    stations: Rows[Station]
    lines: Mapping[str, Mapping[str, int]]
    demands: Rows[Demand]
    queue: list[str] = field(default_factory=list)
    rank: Callable[[Side, int, Station], int] = least_loss
    means: Means = field(default_factory=Means)


# ---- what can happen ------------------------------------------------------------------------------------------------


def apply(table: Table, rules: Rules, order: str, demand: Demand) -> list[Decision]:
    """A new order asks for a station (rules 1 and 8)."""
    assert table.demands.get(order) is None and demand.station is None and demand.wanted > 0
    table.demands[order] = demand
    table.queue.append(order)
    return _serve(table, rules, {order}, ())


def more(table: Table, rules: Rules, order: str, units: int) -> list[Decision]:
    """Units that were granted but not delivered come back to their order, which applies for them unless connected."""
    demand = table.demands[order]
    table.demands[order] = replace(demand, wanted=demand.wanted + units)
    if demand.station is not None or order in table.queue:
        return []
    table.queue.append(order)
    return _serve(table, rules, {order}, ())


def unit(table: Table, rules: Rules, station: str, side: Side, order: str | None, moves: bool = True) -> list[Decision]:
    """One proven unit. `order` where it belongs to a connection that still stands; `moves` unless the station's last
    state has it already."""
    if order is not None:
        demand = table.demands[order]
        assert demand.station == station and demand.side is side and demand.moved < demand.granted
        table.demands[order] = replace(demand, moved=demand.moved + 1)
    out: list[Decision] = []
    fresh: set[str] = set()
    if moves:
        now = table.stations[station]
        delta_wh = -rules.unit_wh if side is Side.BUY else rules.unit_wh
        table.stations[station] = replace(now, energy_wh=now.energy_wh + delta_wh)
        fresh |= _review(table, rules, station, out)
    if order is not None:
        demand = table.demands[order]
        if demand.station == station and demand.moved == demand.granted:
            why = Why.QUOTA if demand.wanted else Why.DONE
            fresh |= _leave(table, order, why, out)
    return out + _serve(table, rules, fresh, (station,))


def told(
    table: Table, rules: Rules, station: str, energy_wh: int, capacity_wh: int, supply_ok: bool, acquire_ok: bool
) -> list[Decision]:
    """A station speaks of itself. A new one enters the table with its flags down and rises by the rules."""
    now = table.stations.get(station) or Station(station, energy_wh, capacity_wh, (Gate(own=False), Gate(own=False)))
    gates = replace(now.gates[0], own=supply_ok), replace(now.gates[1], own=acquire_ok)
    flags = now.gates[0].flag, now.gates[1].flag
    table.stations[station] = Station(station, energy_wh, capacity_wh, gates)
    for order in table.queue:
        if table.demands[order].shunned == station:
            table.demands[order] = replace(table.demands[order], shunned=None)
    out: list[Decision] = []
    fresh = _review(table, rules, station, out, flags)
    return out + _serve(table, rules, fresh, (station,))


def leave(table: Table, rules: Rules, order: str, why: Why) -> list[Decision]:
    """An order is disconnected from outside. LEASE and CANCEL end it; else it applies anew."""
    demand = table.demands[order]
    station = demand.station
    out: list[Decision] = []
    if why in (Why.LEASE, Why.CANCEL):
        table.demands[order] = replace(demand, wanted=0)
        if order in table.queue:
            table.queue.remove(order)
    if station is None:
        return out
    fresh = _leave(table, order, why, out)
    if why is Why.REFUSED:
        table.demands[order] = replace(table.demands[order], shunned=station)
    return out + _serve(table, rules, fresh, (station,))


def touch(table: Table, rules: Rules, stations: Iterable[str]) -> list[Decision]:
    """Something else that rule 1 looks at has changed for these stations: their means, their lines, the rules."""
    names = tuple(stations)
    out: list[Decision] = []
    fresh: set[str] = set()
    for name in names:
        fresh |= _review(table, rules, name, out)
    return out + _serve(table, rules, fresh, names)


def close(table: Table, order: str) -> None:
    """Forget an order that neither waits nor is connected."""
    demand = table.demands[order]
    assert demand.station is None and order not in table.queue
    del table.demands[order]


# ---- how it is decided ----------------------------------------------------------------------------------------------


def _review(
    table: Table, rules: Rules, name: str, out: list[Decision], flags: tuple[bool, bool] | None = None
) -> set[str]:
    """Rules 2 to 4 for both sides of a station that has changed; returns the orders that apply again."""
    fresh: set[str] = set()
    for side in Side:
        station = table.stations[name]
        gate, level_wh, users = station.gates[side], station.level_wh(side), station.users(side)
        before = gate.flag if flags is None else flags[side]
        if gate.tripped_wh is None:
            if level_wh <= rules.trip_wh(users):
                gate = replace(gate, tripped_wh=level_wh)
        elif level_wh >= gate.tripped_wh + rules.unit_wh and level_wh > rules.entry_wh(users):
            gate = replace(gate, tripped_wh=None)
        table.stations[name] = station.with_gate(side, gate)
        if gate.flag != before:
            out.append(Flipped(name, side, gate.flag))
        if not gate.flag:
            for order in gate.orders:
                fresh |= _leave(table, order, Why.TRIP, out)
    return fresh


def _leave(table: Table, order: str, why: Why, out: list[Decision]) -> set[str]:
    """Disconnect; who still wants something goes to the end of the queue."""
    demand = table.demands[order]
    name = demand.station
    assert name is not None
    station = table.stations[name]
    gate = station.gates[demand.side]
    gate = replace(gate, orders=tuple(one for one in gate.orders if one != order))
    table.stations[name] = station.with_gate(demand.side, gate)
    table.demands[order] = replace(demand, station=None, granted=0, moved=0)
    out.append(Left(order, name, why))
    if not demand.wanted:
        return set()
    table.queue.append(order)
    return {order}


def _serve(table: Table, rules: Rules, fresh: set[str], touched: tuple[str, ...]) -> list[Decision]:
    """Rule 8: try the queue once, first come first served. Who waited already was refused everywhere, so only what was
    touched since can take it; a fresh application looks at all its lines. One pass is enough: a grant makes no station
    better."""
    out: list[Decision] = []
    better = {side: [name for name in touched if _has_place(rules, side, table.stations.get(name))] for side in Side}
    waiting = table.queue if any(better.values()) else [order for order in table.queue if order in fresh]
    for order in tuple(waiting):
        demand = table.demands[order]
        row = table.lines.get(demand.user, {})
        names = row if order in fresh else [name for name in better[demand.side] if name in row]
        station = _choose(table, rules, demand, row, names)
        if station is not None:
            out.append(_connect(table, rules, order, station))
        elif order in fresh:
            out.append(Waits(order))
    return out


def _choose(table: Table, rules: Rules, demand: Demand, row: Mapping[str, int], names: Iterable[str]) -> Station | None:
    """Rule 1, over the stations named."""
    best: tuple[int, str] | None = None
    for name in names:
        station = table.stations.get(name)
        if station is None or name == demand.shunned or not _takes(table, rules, demand, station):
            continue
        rank = table.rank(demand.side, row[name], station), name
        if best is None or rank < best:
            best = rank
    return None if best is None else table.stations[best[1]]


def _has_place(rules: Rules, side: Side, station: Station | None) -> bool:
    if station is None or not station.gates[side].flag:
        return False
    if rules.one_way and station.gates[1 - side].orders:
        return False
    return station.level_wh(side) > rules.entry_wh(station.users(side))


def _takes(table: Table, rules: Rules, demand: Demand, station: Station) -> bool:
    side = demand.side
    if not _has_place(rules, side, station):
        return False
    return table.means.enough(station.name, side, min(rules.k, demand.wanted))


def _connect(table: Table, rules: Rules, order: str, station: Station) -> Granted:
    demand = table.demands[order]
    units = min(rules.k, demand.wanted)
    gate = station.gates[demand.side]
    table.stations[station.name] = station.with_gate(demand.side, replace(gate, orders=(*gate.orders, order)))
    table.demands[order] = replace(
        demand, wanted=demand.wanted - units, station=station.name, granted=units, moved=0, shunned=None
    )
    table.queue.remove(order)
    table.means.reserve(station.name, demand.side, units)
    return Granted(order, station.name, units, station.energy_wh, station.users(demand.side))
