"""How long a purchase takes until its station acts: from the wallet's word to the contact and the set point.

Owns: following a purchase through order, grant and command to what the station's terminals then do.
Refuses: clocks: every moment comes as a number of the machine's monotonic seconds.

Measured is the whole way: the wallet signs `purchase`, a block on the transaction chain, the proof carried over, a
block on the schedule chain, the wallet sees its rights and signs `order`, the block that grants it, the dispatch
signature, the gateway, MQTT, the station's checks and its flash, until its auxiliary contact rests closed; or, where
it was closed already, until its inverter's registers hold the set point that this command asks for (within the
station's own limit). Told apart, not measured: an order that the chain let wait for room at a station, one whose
station was cut off by a fault meanwhile, and one whose command asked for what the station was doing already.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pilot.witness import Doing

IDLE, CHARGE, DISCHARGE = range(3)
NEAR_W = 5


@dataclass(frozen=True)
class Rating:
    board: str
    charge_w_max: int
    discharge_w_max: int

    def target_w(self, action: int, limit_w: int) -> int:
        return min(limit_w, self.charge_w_max) if action == CHARGE else -min(limit_w, self.discharge_w_max)


@dataclass
class Followed:
    """A station: commands not yet seen in force, and what its terminals did since the last that was."""

    rating: Rating
    commands: deque[tuple[int, tuple[int, ...]]] = field(default_factory=deque)  # set point, grants
    doings: deque[Doing] = field(default_factory=deque)
    in_force_w: int | None = None
    closed: bool = False
    cuts: list[list[float]] = field(default_factory=list)  # [from, until]


@dataclass
class Pursuit:
    stations: Mapping[bytes, Followed]
    took_ms: list[float] = field(default_factory=list)
    waited: int = 0
    struck: int = 0
    unchanged: int = 0
    _bought: dict[bytes, deque[float]] = field(default_factory=lambda: defaultdict(deque))  # by user
    _ordered: dict[int, float] = field(default_factory=dict)
    _granted: dict[int, float] = field(default_factory=dict)

    def bought(self, user: bytes, began_s: float) -> None:
        self._bought[user].append(began_s)

    def happened(self, kind: str, fields: dict[str, Any]) -> None:
        if kind == "dispatch/ordered" and self._bought[fields["user"]]:
            self._ordered[fields["order"]] = self._bought[fields["user"]].popleft()
        elif kind == "dispatch/waits":
            self.waited += self._ordered.pop(fields["order"], None) is not None
        elif kind == "dispatch/granted" and fields["order"] in self._ordered:
            self._granted[fields["grant"]] = self._ordered.pop(fields["order"])
        elif kind == "command" and fields["station"] in self.stations:
            self._command(self.stations[fields["station"]], fields)

    def _command(self, station: Followed, fields: dict[str, Any]) -> None:
        grants = tuple(grant for grant in fields["grants"] if grant in self._granted)
        target_w = station.rating.target_w(fields["action"], fields["limit_w"])
        idle = fields["action"] == IDLE
        if idle:
            station.commands.clear()
        if idle or (not station.commands and target_w == station.in_force_w):
            for grant in grants:
                del self._granted[grant]
            self.unchanged += len(grants)
            return
        station.commands.append((target_w, grants))
        self._match(station)

    def did(self, doing: Doing) -> None:
        for station in self.stations.values():
            if station.rating.board == doing.station:
                if not doing.closed:
                    station.doings.clear()
                    station.in_force_w, station.closed = None, False
                    continue
                station.doings.append(doing)
                self._match(station)

    def cut(self, board: str, at_s: float, healed: bool) -> None:
        for station in self.stations.values():
            if station.rating.board == board and healed and station.cuts:
                station.cuts[-1][1] = at_s
            elif station.rating.board == board:
                station.cuts.append([at_s, float("inf")])

    def _match(self, station: Followed) -> None:
        """The first thing done that a command asked for; commands before it were replaced on their way."""
        for done, doing in enumerate(station.doings):
            for asked, (target_w, grants) in enumerate(station.commands):
                if any(self._granted.get(grant, 0) > doing.wall_s for grant in grants):
                    continue
                if not station.closed or abs(doing.order_w - target_w) <= NEAR_W:
                    for _ in range(done + 1):
                        station.doings.popleft()
                    station.in_force_w, station.closed = target_w, True
                    for _ in range(asked + 1):
                        self._close(station, station.commands.popleft()[1], doing.wall_s)
                    return

    def _close(self, station: Followed, grants: tuple[int, ...], at_s: float) -> None:
        for grant in grants:
            began_s = self._granted.pop(grant, None)
            if began_s is None:
                continue
            if any(cut_s < at_s and healed_s > began_s for cut_s, healed_s in station.cuts):
                self.struck += 1
            else:
                self.took_ms.append((at_s - began_s) * 1_000)
