"""Whether boards can be built as the site file says: parts on buses, at places that they can measure or move.

Owns: relations between boards, their sensors and actors, and places. Refuses: everything else (`check`).
Invariants: as in `check`; a part that names a place that is not there is told so once.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from . import model as m
from . import parts
from .lines import Path
from .read import Reading

FUSE_A = 63


Mounted = m.Sensor | m.Actor


@dataclass(frozen=True)
class Place:
    """What a part meets at a place: its sort, phases, the most power of what stands there alone, and whether it can
    feed in."""

    sort: str
    phases: int
    power_w: int = 0
    feeds_in: bool = False


def _mounted(reading: Reading) -> Iterator[tuple[Path, m.Board, Mounted]]:
    """Every sensor and actor with its path and its board."""
    for path, board in reading.of(m.Board):
        for position, sensor in enumerate(board.sensors):
            yield (*path, "sensor", position), board, sensor
        for position, actor in enumerate(board.actors):
            yield (*path, "actor", position), board, actor


def _placed(reading: Reading) -> list[tuple[Path, Mounted | m.Polled]]:
    """Everything that is put at a place, by a board or by the gateway."""
    return [*((path, row) for path, _, row in _mounted(reading)), *reading.of(m.Polled)]


def _places(reading: Reading) -> dict[str, Place]:
    houses = {row.name: row for _, row in reading.of(m.House)}
    sources = {row.house for _, row in [*reading.of(m.Panels), *reading.of(m.Battery)]}
    found = {m.GRID: Place("grid", 3, feeds_in=True)}
    found |= {name: Place("house", row.phases, feeds_in=name in sources) for name, row in houses.items()}
    for _, station in reading.of(m.Station):
        power_w = max(station.charge_w_max, station.discharge_w_max)
        found[station.name] = Place("station", station.phases, power_w, True)
    behind: list[tuple[str, m.AtHouse, int]]
    behind = [("panels", row, row.inverter_w or row.peak_w) for _, row in reading.of(m.Panels)]
    behind += [("battery", row, max(row.charge_w_max, row.discharge_w_max)) for _, row in reading.of(m.Battery)]
    behind += [("charger", row, row.power_w_max) for _, row in reading.of(m.Charger)]
    for sort, row, power_w in behind:
        if row.house in houses:
            found[row.name] = Place(sort, houses[row.house].phases, power_w, sort != "charger")
    return found


def places_named(reading: Reading) -> None:
    places = _places(reading)
    for path, row in _placed(reading):
        if row.at not in places:
            reading.problem((*path, "at"), f"there is no place '{row.at}'", f"write one of: {', '.join(places)}")


def parts_fit_places(reading: Reading) -> None:
    """Sorts of places, directions, phases and rated current."""
    places = _places(reading)
    for path, row in _placed(reading):
        place, part = places.get(row.at), parts.PARTS[row.part]
        if place is None:
            continue
        if part.places and place.sort not in part.places:
            remedy = f"it belongs at: {', '.join(part.places)}"
            reading.problem((*path, "at"), f"{row.part} cannot work at '{row.at}', a {place.sort}", remedy)
        elif place.feeds_in and not part.two_way:
            cause = f"{row.part} counts one direction, and '{row.at}' can feed in"
            reading.problem((*path, "part"), cause, "choose a part with an export register: sdm120, sdm630, ade7953")
        elif parts.phases(row.part) < place.phases:
            cause = f"{row.part} has {parts.phases(row.part)} phase, and '{row.at}' has {place.phases}"
            reading.problem((*path, "part"), cause, "choose a three-phase part, or make the place single-phase")
        elif place.power_w > parts.power_w_max(row.part, place.phases):
            cause = f"{row.part} takes {part.current_a_max} A, and '{row.at}' can have {place.power_w} W"
            reading.problem((*path, "part"), cause, "choose a stronger part, or more phases, or less power")


def connections(reading: Reading) -> None:
    """Nothing behind a house's connection is stronger than its fuses."""
    for rows, key in ((m.Panels, "peak_w"), (m.Battery, "charge_w_max"), (m.Charger, "power_w_max")):
        for path, row in reading.of(rows):
            place = _places(reading).get(row.name)
            if place is not None and place.power_w > FUSE_A * parts.PHASE_V * place.phases:
                cause = f"'{row.name}' can have {place.power_w} W behind {place.phases} × {FUSE_A} A"
                reading.problem((*path, key), cause, "give the house three phases, or this less power")


def parts_fit_boards(reading: Reading) -> None:
    """A part's sort of bus is one that the board has, and its address one that the part can have."""
    for path, board, row in _mounted(reading):
        sort, possible = parts.bus_sort(row.part), parts.addresses(row.part)
        buses = [f"{sort}{number}" for number in range(getattr(parts.BOARDS[board.kind], sort))]
        if row.bus not in buses:
            cause = f"{row.part} needs {sort}, and {board.kind} has no {sort} named '{row.bus}'"
            reading.problem((*path, "bus"), cause, f"write one of: {', '.join(buses)}")
        if not possible and row.address is not None:
            reading.problem((*path, "address"), f"{row.part} has no address", "remove the line")
        elif possible and row.address is None:
            remedy = f"add a line: address = a number from {possible[0]} to {possible[-1]}"
            reading.problem(path, f"{row.part} '{row.name}' has no address", remedy)
        elif possible and row.address not in possible:
            remedy = f"write a number from {possible[0]} to {possible[-1]}"
            reading.problem((*path, "address"), f"{row.part} cannot have address {row.address}", remedy)


def spots_differ(reading: Reading) -> None:
    """No address twice on a bus, no pin twice, no name twice on a board; no address twice on the gateway's bus."""
    spots: dict[tuple[str, str, int | None], str] = {}
    named: set[tuple[str, str]] = set()
    for path, board, row in _mounted(reading):
        other = spots.setdefault((board.name, row.bus, row.address), row.name)
        if (board.name, row.name) in named:
            cause = f"'{board.name}' has two parts named '{row.name}'"
            reading.problem((*path, "name"), cause, "give each part of a board a name of its own")
        elif other != row.name:
            where = row.bus if row.address is None else f"address {row.address} of {row.bus}"
            reading.problem(path, f"'{row.name}' and '{other}' are both at {where}", "move one of them")
        named.add((board.name, row.name))
    lines: dict[tuple[str, int], str] = {}
    for path, device in reading.of(m.Polled):
        other = lines.setdefault((device.transport, device.address), device.name)
        if other != device.name:
            cause = f"'{device.name}' and '{other}' have the same address"
            reading.problem((*path, "address"), cause, "give each an address of its own")


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
