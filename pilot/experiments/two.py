"""Experiment 2: energy from and to the stations that the mechanism chooses (tables 2 to 7, figures 14 to 23); k = 10.

Owns: the calls, the paper's tables 2 to 7 and figures 14 to 23, the comparison.
Refuses: a figure that was not read from a chain through its API; a unit without two readings.

Supply: user 1 buys; station b holds 20 and has two idle users; a is charged between tables 3 and 4. Acquisition: user 3
sells; a holds 5 of 20; c is filled before table 7. Both on one schedule chain, one after the other. Meters and stations
are keys in software: each unit is two signed readings, and nothing is paid that they do not show.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pilot.experiments.cells import Cell, Outcome
from pilot.experiments.devices import SoftDevice
from pilot.experiments.lab import UNIT, Lab, Setup, key, open_lab
from wire.chain import kinds
from wire.chain.kinds import SCHEDULE, SIDES
from wire.ids import id_text

STATIONS = ("a", "b", "c")
USERS = ("Client1", "Client2", "Client3")
LINES = {"Client1": {"a": 15, "b": 10}, "Client2": {"a": 20, "c": 15}, "Client3": {"a": 20, "c": 25}}  # per cent
IDLE = ("Client4", "Client5")  # connected to b, on lines that the paper's tables do not show
IDLE_LOSS = 5
ASKED = 30  # units; more than the 14 and 13 after which the paper stops
LIMIT_W = 600_000
UNIT_S = 60  # the paper: one unit in a minute
AHEAD_S = 3_600  # the devices' clock jumps a minute a unit; CometBFT's blocks follow the wall clock

AVAILABLE = {  # table: station's flag as printed
    2: {"a": False, "b": True, "c": True},
    3: {"a": False, "b": True, "c": True},
    4: {"a": True, "b": False, "c": True},
    5: {"a": False, "b": True, "c": True},
    6: {"a": False, "b": True, "c": True},
    7: {"a": False, "b": True, "c": False},
}
ANSWERS = {15: ("St.b", 20, 2), 17: ("St.b", 10, 2), 20: ("St.a", 5, 0), 22: ("St.a", 15, 0)}
SAID = {16: "Getting energy from St.b.", 18: "Getting energy from St.b.", 21: "Selling energy to St.a."}
CHECKED = {16: (20, 4), 18: (10, 4)}  # stored energy, and what it has to be above
ROOM = {21: 15, 22: 5}
UNITS = {16: 10, 18: 4, 21: 10, 22: 3}
CONTRADICTION = "the paper prints a as unavailable where it is chosen; the tables are copies of table 2"
DIFFERING = {f"table {table} {user} St.a": CONTRADICTION for table in (5, 6) for user in USERS}


def setup() -> Setup:
    members = {"EC": ("company", "TS"), "relay": ("relay", "TS")}
    members.update(dict.fromkeys((*USERS, *IDLE), ("user", "TS")))
    members.update({f"St.{name}": ("station", "S") for name in STATIONS})
    rights = {**dict.fromkeys((*USERS, *IDLE), 100), "St.a": 100}
    company = key("EC").kid
    devices = [[f"St.{name}", "station", key(f"St.{name}").public_key, b"", company] for name in STATIONS]
    devices += [[f"meter {u}", "meter", key(f"meter {u}").public_key, b"", key(u).kid] for u in (*USERS, *IDLE)]
    lines = [[user, f"St.{name}", loss * 10_000] for user, row in LINES.items() for name, loss in row.items()]
    lines += [[user, "St.b", IDLE_LOSS * 10_000] for user in IDLE]
    parameters = {"k": 10, "entry_margin": 0, "one_way": 0, "lease_s": 86_400, "drift_s": AHEAD_S}
    return Setup(members, {"EC": 1000}, rights, parameters=parameters, devices=devices, lines=lines)


async def play(engine: str, say: Callable[[str], None]) -> Outcome:
    async with open_lab(setup(), engine, say) as lab:
        run = Run(lab)
        await run.begin()
        await run.supply()
        await run.acquisition()
        records = await lab.records(run.company)
    cells = [Cell(item, paper, run.seen.get(item, type(paper)())) for item, paper in _paper()]
    wanted = ["Client1→St.b 1"] * 14 + ["St.a→Client3 1"] * 13
    for n in range(max(len(wanted), len(records))):
        pair = [(rows + [""] * 99)[n] for rows in (wanted, records)]
        cells.append(Cell(f"figure 23 record {n + 1}", *pair))
    for way, paper in ("Client1→St.b", 14), ("St.a→Client3", 13):
        cells.append(Cell(f"figure 23 records {way}", paper, records.count(f"{way} 1")))
    for name, holds in run.holds.items():
        say(f"St.{name} holds {holds} at the end of its run")
    say('the paper says "user 1 and b are disconnected" in the selling run, where user 3 and a are meant')
    return Outcome("Experiment 2: energy supply and acquisition", cells, DIFFERING)


def _paper() -> list[tuple[str, int | str]]:
    """Every cell that the paper prints but figure 23."""
    cells: list[tuple[str, int | str]] = []
    for table, row in AVAILABLE.items():
        cells += [(f"table {table} {user} St.{name}", _entry(user, name, row[name])) for user in USERS for name in row]
    for figure, (station, storage, users) in ANSWERS.items():
        cells += [(f"figure {figure} St.name", station), (f"figure {figure} Storage", storage)]
        cells.append((f"figure {figure} ClientNum", users))
    cells += [(f"figure {figure} answer", text) for figure, text in SAID.items()]
    for figure, (storage, limit) in CHECKED.items():
        cells += [(f"figure {figure} storage checked", storage), (f"figure {figure} limit", limit)]
    cells += [(f"figure {figure} room checked", room) for figure, room in ROOM.items()]
    cells += [(f"figure {figure} units moved", units) for figure, units in UNITS.items()]
    return sorted(cells, key=lambda cell: int(cell[0].split()[1]))


def _entry(user: str, station: str, flag: bool) -> str:
    loss = LINES[user].get(station)
    return f"({'∞' if loss is None else f'{loss}%'},{'available' if flag else 'unavailable'})"


class Run:
    """The calls, in the paper's order, and what was seen at the paper's observation points."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.company = lab.member("EC", SCHEDULE)
        self.stations = {name: SoftDevice(key(f"St.{name}"), lab.clock.now_s) for name in STATIONS}
        self.meters = {user: SoftDevice(key(f"meter {user}"), lab.clock.now_s) for user in (*USERS, *IDLE)}
        self.granted: dict[str, Any] = {}  # the last answer to an application, as its event says
        self.seen: dict[str, int | str] = {}
        self.holds: dict[str, int] = {}

    async def begin(self) -> None:
        for device in (*self.stations.values(), *self.meters.values()):
            await self._send("EC", kinds.Readings(reports=[device.report(event=("start", 0))]))

    async def supply(self) -> None:
        for name, stored in ("a", 0), ("b", 20), ("c", 50):
            await self._tell(name, stored, 100)
        for user in IDLE:
            await self._order(user, "buy", 5, 0)
        await self._table(2, "supply")
        await self._order("Client1", "buy", ASKED, LIMIT_W)
        await self._answer(15, 16, "supply", "Client1")
        await self._units("Client1", "b", 16)
        await self._table(3, "supply")
        await self._answer(17, 18, "supply", "Client1")
        await self._tell("a", 30, 100)
        await self._units("Client1", "b", 18)
        await self._table(4, "supply")
        await self._end("b", "Client1", *IDLE)

    async def acquisition(self) -> None:
        for name, stored, capacity in ("a", 5, 20), ("b", 20, 100), ("c", 50, 100):
            await self._tell(name, stored, capacity)
        await self._table(5, "acquire")
        await self._order("Client3", "sell", ASKED, LIMIT_W)
        await self._answer(20, 21, "acquire", "Client3")
        await self._units("Client3", "a", 21)
        await self._table(6, "acquire")
        await self._answer(22, 22, "acquire", "Client3")
        await self._tell("c", 100, 100)
        await self._units("Client3", "a", 22)
        await self._table(7, "acquire")
        await self._end("a", "Client3")

    # -- calls ----------------------------------------------------------------------------------------------------

    async def _send(self, who: str, body: kinds.Kind) -> None:
        outcome = (await self.lab.member(who, SCHEDULE).send(body))[0]
        assert not outcome.reason, f"{type(body).__name__} of {who}: {outcome.reason} {outcome.detail}"
        for kind, fields in await self.company.events(outcome.height):
            if kind == "dispatch/granted":
                self.granted = fields

    async def _tell(self, name: str, stored: int, capacity: int) -> None:
        word = self.stations[name].state(stored * UNIT, capacity * UNIT)
        await self._send("EC", kinds.StationState(state=word))

    async def _order(self, user: str, side: str, units: int, limit_w: int) -> None:
        self.lab.say(f"QueryQualification {user} {side}: {units} units")
        meter = self.meters[user].id
        body = kinds.Order(side=SIDES.index(side), energy_wh=units * UNIT, limit_w=limit_w, meter=meter)
        await self._send(user, body)

    async def _units(self, user: str, station: str, figure: int) -> None:
        """Energy flows, unit by unit, until this grant is over; the number of units that moved is the answer."""
        grant = await self._grant(user)
        device, meter, loss = self.stations[station], self.meters[user], LINES[user][station]
        counter = next(
            row["counter"] for row in await self.company.query("commands") if row["station"] == id_text(device.id)
        )
        await self._send("EC", kinds.Readings(reports=[device.report(event=("command", counter))]))
        sells = grant["side"] == SIDES.index("sell")
        there_wh = UNIT * 100 // (100 - loss) if sells else UNIT * (100 - loss) // 100
        moved = 0
        while (await self._by_number(grant["number"]))["status"] == 0:
            self.lab.clock.jump(UNIT_S)
            here = device.report(imported_wh=UNIT) if sells else device.report(exported_wh=UNIT)
            there = meter.report(exported_wh=there_wh) if sells else meter.report(imported_wh=there_wh)
            await self._send("EC", kinds.Readings(reports=[here, there]))
            moved = (await self._by_number(grant["number"]))["paid"]
        self.seen[f"figure {figure} units moved"] = moved

    async def _end(self, station: str, *users: str) -> None:
        """The paper stops here: what the station holds is noted, and what is left of the orders cancelled."""
        rows = await self.company.query("stations")
        self.holds[station] = next(row["energy_wh"] for row in rows if row["name"] == f"St.{station}") // UNIT
        wanted = {id_text(key(user).kid) for user in users}
        for order in await self.company.query("orders"):
            if order["user"] in wanted:
                name = next(user for user in users if id_text(key(user).kid) == order["user"])
                await self._send(name, kinds.Cancel(order=order["number"]))

    # -- observation points ---------------------------------------------------------------------------------------

    async def _table(self, table: int, side: str) -> None:
        """The list as the company has it: lines and flags from the chain."""
        flags = {row["name"]: row[side] for row in await self.company.query("stations")}
        lines = {(row["user"], row["station"]): row["loss_ppm"] for row in await self.company.query("lines")}
        for user in USERS:
            for name in STATIONS:
                loss = lines.get((user, f"St.{name}"))
                text = "∞" if loss is None else f"{loss // 10_000}%"
                flag = "available" if flags[f"St.{name}"] else "unavailable"
                self.seen[f"table {table} {user} St.{name}"] = f"({text},{flag})"

    async def _answer(self, figure: int, told: int, side: str, user: str) -> None:
        """What the application was answered, from the grant's event, and what the station checked itself for."""
        event, rows = self.granted, await self.company.query("stations")
        station = next(row for row in rows if row["id"] == id_text(event["station"]))
        storage, users = event["storage_wh"] // UNIT, event["users"]
        self.seen[f"figure {figure} St.name"] = station["name"]
        self.seen[f"figure {figure} Storage"] = storage
        self.seen[f"figure {figure} ClientNum"] = users
        parameters = await self.company.query("parameters")
        if side == "supply":
            self.seen[f"figure {told} answer"] = f"Getting energy from {station['name']}."
            self.seen[f"figure {told} storage checked"] = storage
            self.seen[f"figure {told} limit"] = parameters["units_per_user"] * (users + parameters["entry_margin"])
        else:
            self.seen[f"figure {told} answer"] = f"Selling energy to {station['name']}."
            self.seen[f"figure {told} room checked"] = station["capacity_wh"] // UNIT - storage
        self.lab.say(f"{user}: {station['name']}, Storage {storage}, ClientNum {users}")

    async def _grant(self, user: str) -> dict[str, Any]:
        grants = [row for row in await self.company.query("grants") if row["user"] == id_text(key(user).kid)]
        return dict(grants[-1])

    async def _by_number(self, number: int) -> dict[str, Any]:
        return dict(next(row for row in await self.company.query("grants") if row["number"] == number))
