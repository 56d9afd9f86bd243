"""The mechanism's table over the chain's state: stations, demands, lines and queue, as ledger/dispatch.py knows them.

Owns: these rows, and what a station needs besides energy: rights to pay a seller with, a place in its command.
Refuses: nothing; it only translates.
Invariant: what the mechanism writes is in the state at once, so its own later steps see it. A station's and a user's
name is the id in hex, an order's its number.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from ledger.app import Context
from ledger.contracts import grants, parameters, purse
from ledger.contracts.shelf import Shelf
from ledger.dispatch import Demand, Gate, Means, Rules, Side, Station, Table
from ledger.state import Draft, Reader


class StationRow(NamedTuple):
    energy_wh: int
    capacity_wh: int
    supply: tuple[Any, ...]  # a Gate: own word, level at the trip, orders
    acquire: tuple[Any, ...]
    number: int  # of its last word
    seq: int  # rows before this one are in its last word already


class DemandRow(NamedTuple):
    user: bytes
    side: int
    wanted: int
    station: bytes
    granted: int
    moved: int
    shunned: bytes


def _cells(*cells: Any) -> tuple[Any, ...]:
    return cells


STATIONS = Shelf("station", StationRow)
DEMANDS = Shelf("demand", DemandRow)
LINES = Shelf("lines", _cells)  # a user's: ((station, loss_ppm), …)
QUEUE = Shelf("queue", _cells)


def gate(row: tuple[Any, ...]) -> Gate:
    own, tripped_wh, orders = row
    return Gate(bool(own), tripped_wh, tuple(str(order) for order in orders))


def _gate_row(gate: Gate) -> tuple[Any, ...]:
    return int(gate.own), gate.tripped_wh, tuple(int(order) for order in gate.orders)


class Stations:
    def __init__(self, draft: Draft) -> None:
        self._draft = draft

    def get(self, key: str) -> Station | None:
        row = STATIONS.get(self._draft, bytes.fromhex(key))
        if row is None:
            return None
        return Station(key, row.energy_wh, row.capacity_wh, (gate(row.supply), gate(row.acquire)))

    def __getitem__(self, key: str) -> Station:
        found = self.get(key)
        assert found is not None
        return found

    def __setitem__(self, key: str, row: Station) -> None:
        old = STATIONS.get(self._draft, bytes.fromhex(key))
        supply, acquire = map(_gate_row, row.gates)
        word = (-1, 0) if old is None else (old.number, old.seq)
        STATIONS.put(
            self._draft, bytes.fromhex(key), StationRow(row.energy_wh, row.capacity_wh, supply, acquire, *word)
        )

    def __delitem__(self, key: str) -> None:
        STATIONS.delete(self._draft, bytes.fromhex(key))


class Demands:
    def __init__(self, draft: Draft) -> None:
        self._draft = draft

    def get(self, key: str) -> Demand | None:
        row = DEMANDS.get(self._draft, int(key))
        if row is None:
            return None
        station, shunned = (one.hex() if one else None for one in (row.station, row.shunned))
        return Demand(row.user.hex(), Side(row.side), row.wanted, station, row.granted, row.moved, shunned)

    def __getitem__(self, key: str) -> Demand:
        found = self.get(key)
        assert found is not None
        return found

    def __setitem__(self, key: str, row: Demand) -> None:
        station, shunned = (bytes.fromhex(name) if name else b"" for name in (row.station, row.shunned))
        user, side = bytes.fromhex(row.user), int(row.side)
        DEMANDS.put(self._draft, int(key), DemandRow(user, side, row.wanted, station, row.granted, row.moved, shunned))

    def __delitem__(self, key: str) -> None:
        DEMANDS.delete(self._draft, int(key))


class Lines(Mapping[str, Mapping[str, int]]):
    def __init__(self, view: Reader) -> None:
        self._view = view

    def __getitem__(self, user: str) -> Mapping[str, int]:
        row = LINES.get(self._view, bytes.fromhex(user))
        if row is None:
            raise KeyError(user)
        return {station.hex(): loss_ppm for station, loss_ppm in row}

    def __iter__(self) -> Iterator[str]:
        return (user.hex() for user, _ in LINES.all(self._view))

    def __len__(self) -> int:
        return sum(1 for _ in LINES.all(self._view))


class Purses(Means):
    """A station pays a seller from its own rights, and one command lists so many grants at most."""

    def __init__(self, view: Reader) -> None:
        self._view = view
        self._promised_wh: dict[str, int] = {}  # to sellers connected in this call, whose escrow is taken after it

    def enough(self, station: str, side: Side, units: int) -> bool:
        name = bytes.fromhex(station)
        row = STATIONS.need(self._view, name, "unknown-station")
        if len(gate(row.supply).orders) + len(gate(row.acquire).orders) >= grants.COMMAND_GRANTS_MAX:
            return False
        if side is Side.BUY:
            return True
        free_wh = purse.balance(self._view, name) - self._promised_wh.get(station, 0)
        return free_wh >= units * parameters.get(self._view, "unit_wh")

    def reserve(self, station: str, side: Side, units: int) -> None:
        if side is Side.SELL:
            amount_wh = units * parameters.get(self._view, "unit_wh")
            self._promised_wh[station] = self._promised_wh.get(station, 0) + amount_wh


def table(ctx: Context) -> Table:
    draft = ctx.state
    queue = [str(order) for order in QUEUE.get(draft, b"") or ()]
    return Table(Stations(draft), Lines(draft), Demands(draft), queue, means=Purses(draft))


def save_queue(ctx: Context, queue: list[str]) -> None:
    QUEUE.put(ctx.state, b"", tuple(int(order) for order in queue))


def rules(view: Reader) -> Rules:
    def get(name: str) -> int:
        return parameters.get(view, name)

    return Rules(get("k"), get("entry_margin"), get("units_per_user"), get("unit_wh"), bool(get("one_way")))
