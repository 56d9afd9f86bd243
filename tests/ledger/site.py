"""A small site on the schedule chain: a company, stations, users and their meters, and energy that flows by hand."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ledger.app import Event, Result
from ledger.contracts.grants import CLOSED, CLOSING, OPEN, command_id
from pilot.experiments.devices import SoftDevice
from tests.ledger.sisters import Chain, World, device, key, kid
from wire.chain import kinds
from wire.chain.kinds import SIDES
from wire.ids import id_text

UNIT_WH = 1_000
STATUS = {OPEN: "open", CLOSING: "closing", CLOSED: "closed"}
LINES = {("ann", "north"): 100_000, ("ann", "south"): 200_000, ("ben", "north"): 0, ("ben", "south"): 50_000}
PARAMETERS = {"entry_margin": 0, "lease_s": 900, "claim_s": 7 * 86_400, "k": 5}


class Site:
    def __init__(self, lines: dict[tuple[str, str], int] | None = None, **parameters: int) -> None:
        stations, users = ("north", "south"), ("ann", "ben")
        roles = {
            "EC": "company",
            "relay": "relay",
            **dict.fromkeys(users, "user"),
            **dict.fromkeys(stations, "station"),
        }
        devices = [[name, "station", key(name).public_key, kid("gate"), kid("EC")] for name in stations]
        meters = [f"{user}'s meter" for user in users]
        devices += [[m, "meter", key(m).public_key, kid("gate"), kid(u)] for m, u in zip(meters, users, strict=True)]
        self.world = World(
            {"EC": 0},
            {"ann": 100_000, "ben": 100_000, "EC": 100_000},
            roles={**roles, "gate": "gateway"},
            devices=devices,
            lines=[[user, station, loss] for (user, station), loss in (lines or LINES).items()],
            parameters={**PARAMETERS, **parameters},
        )
        self.chain: Chain = self.world.schedule
        self.devices: dict[str, SoftDevice] = {name: device(self.world, name) for name in (*stations, *meters)}
        for one in self.devices.values():
            self.read(one.report(event=("start", 0)))

    def read(self, *reports: list[Any], by: str = "gate") -> list[Event]:
        return self.chain.ok(by, kinds.Readings(reports=list(reports)))

    def tell(self, station: str, stored: int, capacity: int = 100, supply: bool = True, acquire: bool = True) -> None:
        word = self.devices[station].state(stored * UNIT_WH, capacity * UNIT_WH, supply, acquire)
        self.chain.ok("relay", kinds.StationState(state=word))

    def order(self, user: str, side: str, units: int, limit_w: int = 100_000) -> Result:
        body = kinds.Order(
            side=SIDES.index(side), energy_wh=units * UNIT_WH, limit_w=limit_w, meter=kid(f"{user}'s meter")
        )
        return self.chain.send(user, body)

    def take(self, station: str) -> int:
        """The station says in a row that it took the command in force."""
        counter = int(self.command(station)["counter"])
        self.read(self.devices[station].report(event=("command", counter)))
        return counter

    def command(self, station: str) -> dict[str, Any]:
        rows = self.chain.app.query("commands")
        return dict(next(row for row in rows if row["station"] == id_text(kid(station))))

    def flow(self, station: str, out_wh: int = 0, in_wh: int = 0, seconds: int = 60, **users: int) -> list[Event]:
        """Energy out of or into a station in that time; users=Wh imported (positive) or exported, each at its meter."""
        self.world.pass_s(seconds)
        events = self.read(self.devices[station].report(imported_wh=in_wh, exported_wh=out_wh))
        for user, wh in users.items():
            meter = self.devices[f"{user}'s meter"]
            events += self.read(meter.report(imported_wh=max(wh, 0), exported_wh=max(-wh, 0)))
        return events

    def receipt(self, station: str, outcome: str, reason: str = "", part: int = 2, counter: int = 0) -> list[Event]:
        row = self.command(station)
        counter = counter or row["counter"]
        id = command_id(self.chain.id, kid(station), counter)
        word = self.devices[station].receipt(counter, id, part, outcome, reason)
        return self.chain.ok("relay", kinds.StationReceipt(receipt=word))

    def grants(self) -> list[tuple[str, int, int, str]]:
        """(station, units, paid, status) of each, oldest first."""
        return [
            (self.name(row["station"]), row["units"], row["paid"], STATUS[row["status"]])
            for row in self.chain.app.query("grants")
        ]

    def name(self, id: bytes) -> str:
        return next(name for name in self.devices if kid(name) == id)

    def name_text(self, id: str) -> str:
        return next(name for name in self.devices if id_text(kid(name)) == id)

    def station(self, name: str) -> dict[str, Any]:
        return dict(next(row for row in self.chain.app.query("stations") if row["name"] == name))

    def rights(self, *names: str) -> list[int]:
        return [self.chain.balance(name) for name in names]


def kinds_of(events: Iterable[Event]) -> list[str]:
    """What happened to orders, grants, units and commands."""
    return [event.kind for event in events if event.kind.startswith(("dispatch/", "settlement/unit", "command"))]


def buy(site: Site, units: int = 5, limit_w: int = 100_000) -> None:
    """Ann orders, north takes the command."""
    assert not site.order("ann", "buy", units, limit_w).reason
    site.take("north")
