"""What the emulated street itself knows and no meter says: its energy, second by second, and what stations really do.

Owns: the log of the grid's totals and of every change of a station's contact and order, and reading that log.
Refuses: judging either: figures are pilot/tally.py's and pilot/pursuit.py's.
Invariant: a change is told when it can be read back at the board's terminals, not when it was wished.
"""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from hardware.emulator.grid import Grid, Totals
from hardware.emulator.grid.grid import GridSwitch
from hardware.emulator.lockstep import LockStep
from hardware.emulator.parts.build import SunSpecSlave
from hardware.emulator.parts.relay import Contact, Relay
from hardware.emulator.parts.sunspec import SunSpecDevice
from hardware.emulator.runner import Emulator
from hardware.site.model import Site

MARK = "STATION "
FAULT = "FAULT "
OVERDUE = "OVERDUE "
FIRST, LAST = 120, 240  # moments kept from the beginning and up to now
WRITE_EVERY = 3
SECOND_US = 1_000_000


class Moment(NamedTuple):
    time_s: int
    totals: Totals


class Doing(NamedTuple):
    """What a station does from `wall_s` (of the machine's monotonic clock) on."""

    station: str
    closed: bool
    order_w: int
    wall_s: float

    def line(self) -> str:
        return f"{MARK}{self.station} {int(self.closed)} {self.order_w} {self.wall_s:.4f}"

    @classmethod
    def read(cls, line: str) -> Doing | None:
        if not line.startswith(MARK):
            return None
        station, closed, order_w, wall_s = line.removeprefix(MARK).split()
        return cls(station, closed == "1", int(order_w), float(wall_s))


@dataclass
class Terminals:
    """A station's auxiliary contact and its inverter's set point."""

    board: str
    contact: Contact
    switch: GridSwitch
    inverter: SunSpecDevice | None
    last: tuple[bool, int] | None = None

    def now(self) -> tuple[bool, int]:
        """Closed, and the set point that the inverter holds by its registers (discharging is negative)."""
        settings = self.inverter.settings if self.inverter is not None else {}
        return self.switch.closed, -settings.get((704, "WSet"), 0) if settings.get((704, "WSetEna")) else 0


class Witness:
    """Looks at a grid whenever it changed, and once a second."""

    def __init__(self, site: Site, emulator: Emulator, grid: Grid, path: Path, say: Callable[[str], None]) -> None:
        self._emulator, self._grid, self._path, self._say = emulator, grid, path, say
        self._first: list[Moment] = []
        self._last: deque[Moment] = deque(maxlen=LAST)
        self._site = site
        self._stations: list[Terminals] = []
        self._faults = self._overdue = 0
        self._changed = grid.on_change
        grid.on_change = self._on_change

    def begin(self) -> None:
        """Once the emulator runs."""
        self._path.unlink(missing_ok=True)
        self._stations = [found for board in self._site.boards if (found := self._terminals(board.name)) is not None]
        for station in self._stations:
            self._hear(station)
        self._tick()
        self._look()

    def _terminals(self, board: str) -> Terminals | None:
        row = next(one for one in self._site.boards if one.name == board)
        places = {one.name for one in self._site.stations}
        relay = next((one for one in row.actors if one.at in places and one.part.startswith("relay")), None)
        if relay is None:
            return None
        parts = self._emulator.rigs[board].parts
        part = parts[relay.name]
        assert isinstance(part, Relay)
        slaves = [parts[one.name] for one in row.actors if one.at == relay.at and one is not relay]
        inverter = next((one.registers for one in slaves if isinstance(one, SunSpecSlave)), None)
        return Terminals(board, part.contact, self._grid.switch(relay.at), inverter)

    def _hear(self, station: Terminals) -> None:
        """An inverter that is given an order tells nobody else; its power follows on a ramp."""
        inverter = station.inverter
        if inverter is None:
            return
        ordered = inverter.ordered

        def heard(model: int, taken: Mapping[str, int], now_us: int) -> None:
            ordered(model, taken, now_us)
            self._emulator.timeline.at(now_us + 1, self._look)

        setattr(inverter, "ordered", heard)  # noqa: B010

    # ------------------------------------------------------------ stations

    def _on_change(self) -> None:
        self._changed()
        if self._stations:  # a relay tells its contact after the grid: look when both are through
            self._emulator.timeline.at(self._emulator.timeline.now_us() + 1, self._look)

    def _look(self) -> None:
        now_us = self._emulator.timeline.now_us()
        for station in self._stations:
            edge_us = station.contact.next_edge_us(now_us)
            if edge_us is not None:  # it still moves or bounces; nothing can be read back yet
                self._emulator.timeline.at(edge_us, self._look)
                continue
            doing = station.now()
            if doing != station.last:
                station.last = doing
                self._say(Doing(station.board, *doing, time.monotonic()).line())

    # ------------------------------------------------------------ energy

    def _tick(self) -> None:
        now_us = self._emulator.timeline.now_us()
        moment = Moment(now_us // SECOND_US, self._grid.totals(now_us))
        (self._first if len(self._first) < FIRST else self._last).append(moment)
        if moment.time_s % WRITE_EVERY == 0:
            self.write()
        for _, what in self._emulator.faults.log[self._faults :]:
            self._faults += 1
            self._say(FAULT + what)
        self._tell_overdue()
        self._emulator.timeline.at((moment.time_s + 1) * SECOND_US, self._tick)

    def _tell_overdue(self) -> None:
        """A fast clock that went on without somebody: the run may differ from a slow one from here on."""
        timeline = self._emulator.timeline
        if isinstance(timeline, LockStep) and timeline.overdue.total() > self._overdue:
            self._overdue = timeline.overdue.total()
            waits = ", ".join(f"{why} ({count})" for why, count in timeline.overdue.items())
            self._say(f"{OVERDUE}{self._overdue} waits were too long: {waits}")

    def write(self) -> None:
        rows = [[one.time_s, *vars(one.totals).values()] for one in (*self._first, *self._last)]
        new = self._path.with_suffix(".new")
        new.write_text(json.dumps(rows))
        new.replace(self._path)


def moments(path: Path) -> list[Moment]:
    """What a witness wrote, in order of time."""
    rows: list[list[Any]] = json.loads(path.read_text())
    return [Moment(time_s, Totals(*totals)) for time_s, *totals in rows]
