"""Whether boards can be built as the site file says: parts on buses, at places that they can measure or move.

Owns: relations between boards, their sensors and actors, and places. Refuses: everything else (`check`).
Invariants: as in `check`; a part that names a place that is not there is told so once.
"""

import re
from collections.abc import Iterator

from . import model as m
from . import parts
from .lines import Path
from .read import Reading

BUS = re.compile(r"(uart|i2c|gpio)(\d)")
PHASE_V = 230


def _mounted(reading: Reading) -> Iterator[tuple[Path, m.Board, m.Sensor | m.Actor, parts.Part]]:
    """Every sensor and actor with its path, its board, and what its part needs."""
    for path, board in reading.of(m.Board):
        for position, sensor in enumerate(board.sensors):
            yield (*path, "sensor", position), board, sensor, parts.SENSORS[sensor.part]
        for position, actor in enumerate(board.actors):
            yield (*path, "actor", position), board, actor, parts.ACTORS[actor.part]


def _places(reading: Reading) -> dict[str, tuple[str, int, int]]:
    """Place -> its sort, its phases, the most power it can have."""
    houses = {row.name: row for _, row in reading.of(m.House)}
    found = {m.GRID: ("grid", 3, 0)} | {name: ("house", row.phases, 0) for name, row in houses.items()}
    for _, station in reading.of(m.Station):
        found[station.name] = ("station", station.phases, max(station.charge_w_max, station.discharge_w_max))
    powers: list[tuple[str, m.AtHouse, int]]
    powers = [("panels", row, row.inverter_w or row.peak_w) for _, row in reading.of(m.Panels)]
    powers += [("battery", row, max(row.charge_w_max, row.discharge_w_max)) for _, row in reading.of(m.Battery)]
    powers += [("charger", row, row.power_w_max) for _, row in reading.of(m.Charger)]
    for sort, row, power_w in powers:
        if row.house in houses:
            found[row.name] = (sort, houses[row.house].phases, power_w)
    return found


def places_named(reading: Reading) -> None:
    places = _places(reading)
    used = [(path, part) for path, _, part, _ in _mounted(reading)]
    for path, part in [*used, *reading.of(m.Polled)]:
        if part.at not in places:
            cause = f"there is no place '{part.at}'"
            reading.problem((*path, "at"), cause, f"write one of: {', '.join(places)}")


def parts_fit_places(reading: Reading) -> None:
    """Phases, rated current, and the sorts of places a part makes sense at."""
    places = _places(reading)
    polled = [(path, row, {**parts.SENSORS, **parts.ACTORS}[row.part]) for path, row in reading.of(m.Polled)]
    for path, row, part in [*((path, row, part) for path, _, row, part in _mounted(reading)), *polled]:
        if row.at not in places:
            continue
        sort, phases, power_w = places[row.at]
        if part.places and sort not in part.places:
            remedy = f"this part belongs at: {', '.join(part.places)}"
            reading.problem((*path, "at"), f"a {row.part} cannot work at a {sort}", remedy)
        elif part.phases < phases:
            cause = f"a {row.part} has {part.phases} phase, and '{row.at}' has {phases}"
            reading.problem((*path, "part"), cause, "choose a three-phase part, or make the place single-phase")
        elif power_w > part.current_a_max * PHASE_V * phases:
            cause = f"a {row.part} takes {part.current_a_max} A, and '{row.at}' can have more"
            reading.problem((*path, "part"), cause, "choose a stronger part, or more phases, or less power")


def parts_fit_boards(reading: Reading) -> None:
    """A part's sort of bus is one that the board has, and its address one that the part can have."""
    for path, board, row, part in _mounted(reading):
        found, kind = BUS.fullmatch(row.bus), parts.BOARDS[board.kind]
        buses = [f"{part.bus}{number}" for number in range(getattr(kind, part.bus))]
        if not found or found[1] != part.bus:
            cause = f"a {row.part} needs a bus of the sort {part.bus}, and '{row.bus}' is none"
            reading.problem((*path, "bus"), cause, f"write one of: {', '.join(buses)}")
        elif row.bus not in buses:
            remedy = f"write one of: {', '.join(buses)}, or choose a bigger board"
            reading.problem((*path, "bus"), f"a {board.kind} has no {row.bus}", remedy)
        if part.bus == "gpio" and row.address is not None:
            reading.problem((*path, "address"), f"a {row.part} has no address", "remove the line")
        elif part.bus != "gpio" and (row.address is None or not part.address_min <= row.address <= part.address_max):
            cause = f"a {row.part} cannot have " + ("no address" if row.address is None else f"address {row.address}")
            remedy = f"write address = a number from {part.address_min} to {part.address_max}"
            reading.problem((*path, "address"), cause, remedy)


def addresses_differ(reading: Reading) -> None:
    """On one bus of one board no address twice (a pin takes one part); on the gateway's bus likewise; no name twice."""
    taken: dict[tuple[str, str, int | None], str] = {}
    named: set[tuple[str, str]] = set()
    for path, board, row, _ in _mounted(reading):
        spot = (board.name, row.bus, row.address)
        if spot in taken:
            where = row.bus if row.address is None else f"address {row.address} of {row.bus}"
            reading.problem(path, f"'{row.name}' and '{taken[spot]}' are both at {where}", "move one of them")
        taken.setdefault(spot, row.name)
        if (board.name, row.name) in named:
            cause = f"'{board.name}' has two parts named '{row.name}'"
            reading.problem((*path, "name"), cause, "give each part of a board a name of its own")
        named.add((board.name, row.name))
    polled: dict[tuple[str, int], str] = {}
    for path, device in reading.of(m.Polled):
        line = (device.transport, device.address)
        if line in polled:
            cause = f"'{device.name}' and '{polled[line]}' have the same address"
            reading.problem((*path, "address"), cause, "give each an address of its own")
        polled.setdefault(line, device.name)


def roles_have_parts(reading: Reading) -> None:
    """A meter measures and does nothing else; a station measures and acts, all at one place."""
    for path, board in reading.of(m.Board):
        if not board.sensors:
            reading.problem(path, f"'{board.name}' measures nothing", "add a [[board.sensor]] table")
        if board.role == "meter" and board.actors:
            cause = f"'{board.name}' is a meter with something to act with"
            reading.problem((*path, "role"), cause, 'write role = "station", or remove the [[board.actor]] tables')
        if board.role == "station" and not board.actors:
            cause = f"'{board.name}' is a station with nothing to act with"
            reading.problem((*path, "role"), cause, 'add a [[board.actor]] table, or write role = "meter"')
        if len({actor.at for actor in board.actors}) > 1:
            reading.problem(path, f"'{board.name}' acts at more than one place", "give each place a board of its own")
