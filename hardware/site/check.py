"""What the rows of a site must be to each other: names, references, the network's shape, stores, accounts, faults.

Owns: one function per relation, listed in `CHECKS` with the tables it looks at; boards have theirs in `check_boards`.
Refuses: the values of single fields (`fields`).
Invariants: a check runs only on tables that could be read whole, so each problem it notes is one of its own.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable

from . import check_boards, parts
from . import model as m
from .lines import Path
from .read import Reading

PLACES = (m.House, m.Panels, m.Battery, m.Charger, m.Station)


def relations(reading: Reading) -> None:
    for needs, check in CHECKS:
        if reading.whole(*needs):
            check(reading)


def unique_names(reading: Reading) -> None:
    places = [(path, row.name) for rows in PLACES for path, row in reading.of(rows)]
    _unique(reading, "place", places, {m.GRID})
    devices = [(path, row.name) for rows in (m.Board, m.Polled) for path, row in reading.of(rows)]
    _unique(reading, "board or polled device", devices)
    alone: dict[str, type[m.Named]] = {
        "cable": m.Cable,
        "fault": m.Fault,
        "tariff": m.Tariff,
        "participant": m.Participant,
    }
    for what, rows in alone.items():
        _unique(reading, what, [(path, row.name) for path, row in reading.of(rows)])


def _unique(reading: Reading, what: str, found: Iterable[tuple[Path, str]], taken: Collection[str] = ()) -> None:
    seen = set(taken)
    for path, name in found:
        if name in seen:
            reading.problem((*path, "name"), f"the name '{name}' is taken", f"give this {what} a name of its own")
        seen.add(name)


def network(reading: Reading) -> None:
    """Closed cables form a tree from the busbar, and everything stands on it."""
    parents: dict[str, str] = {}

    def root(node: str) -> str:
        while node in parents:
            node = parents[node]
        return node

    for path, cable in reading.of(m.Cable):
        one, other = root(cable.start), root(cable.end)
        if cable.start == cable.end:
            reading.problem((*path, "end"), f"cable '{cable.name}' ends where it starts", "lead it to another node")
        elif not cable.closed:
            continue
        elif one == other:
            remedy = "remove one cable of the ring, or open one with closed = false"
            reading.problem(path, f"cable '{cable.name}' closes a loop", remedy)
        else:
            parents[one] = other
    for path, row in [*reading.of(m.House), *reading.of(m.Station)]:
        if root(row.node) != root(m.BUSBAR):
            cause = f"'{row.name}' is an island: no closed cable joins its node '{row.node}' to '{m.BUSBAR}'"
            remedy = f"add cables from '{m.BUSBAR}' to '{row.node}', or correct the node's name"
            reading.problem((*path, "node"), cause, remedy)


def houses_behind(reading: Reading) -> None:
    houses = [row.name for _, row in reading.of(m.House)]
    for path, row in [*reading.of(m.Panels), *reading.of(m.Battery), *reading.of(m.Charger)]:
        if row.house not in houses:
            reading.problem((*path, "house"), f"there is no house '{row.house}'", _one_of(houses))


def stores(reading: Reading) -> None:
    for path, row in [*reading.of(m.Battery), *reading.of(m.Station)]:
        if row.soc_min_permille >= row.soc_max_permille:
            cause = f"'{row.name}' has no window: soc_min_permille is not below soc_max_permille"
            reading.problem((*path, "soc_min_permille"), cause, "make soc_min_permille smaller than soc_max_permille")
        elif not row.soc_min_permille <= row.soc_start_permille <= row.soc_max_permille:
            remedy = f"choose one from {row.soc_min_permille} to {row.soc_max_permille}"
            reading.problem((*path, "soc_start_permille"), f"'{row.name}' starts outside its window", remedy)
    for path, station in reading.of(m.Station):
        if not -station.discharge_w_max <= station.setpoint_w <= station.charge_w_max:
            cause = f"'{station.name}' cannot run at setpoint_w = {station.setpoint_w}"
            remedy = f"choose one from {-station.discharge_w_max} (discharging) to {station.charge_w_max} (charging)"
            reading.problem((*path, "setpoint_w"), cause, remedy)


def chargers(reading: Reading) -> None:
    for path, row in reading.of(m.Charger):
        if row.arrive_s == row.leave_s:
            cause = f"the car at '{row.name}' leaves when it arrives"
            reading.problem((*path, "leave"), cause, "give arrive and leave different times")


def tariffs(reading: Reading) -> None:
    starts = Counter(row.from_s for _, row in reading.of(m.Tariff))
    for path, row in reading.of(m.Tariff):
        if starts[row.from_s] > 1:
            cause = f"tariff '{row.name}' begins when another does"
            reading.problem((*path, "from"), cause, "give every tariff a beginning of its own")


def devices(reading: Reading) -> None:
    """Who measures and acts for whom: a meter for a user, a station's board for a station, each for one account."""
    roles = {row.name: row.role for _, row in reading.of(m.Board)}
    roles |= {row.name: "meter" for _, row in reading.of(m.Polled)}
    used = Counter(row.device for _, row in reading.of(m.Participant))
    for path, row in reading.of(m.Participant):
        needs = {"user": "meter", "station": "station"}.get(row.role)
        spot = (*path, "device")
        if row.device is None:
            if needs:
                remedy = "add a line: device = the name of its board"
                reading.problem(path, f"nothing measures for '{row.name}'", remedy)
        elif needs is None:
            reading.problem(spot, f"a {row.role} has no device", "remove the line")
        elif row.device not in roles:
            reading.problem(spot, f"there is no device '{row.device}'", _one_of(roles))
        elif roles[row.device] != needs:
            cause = f"'{row.device}' is a {roles[row.device]}, and '{row.name}' a {row.role}"
            reading.problem(spot, cause, f'name a board with role = "{needs}"')
        elif used[row.device] > 1:
            cause = f"'{row.device}' measures for more than one account"
            reading.problem(spot, cause, "give each account a device of its own")


def accounts(reading: Reading) -> None:
    """Lines lead from users to stations; a station has nothing at the start."""
    people = reading.of(m.Participant)
    stations = [row.name for _, row in people if row.role == "station"]
    for path, row in people:
        spot = (*path, "loss_permille")
        if row.loss_permille and row.role != "user":
            reading.problem(spot, f"'{row.name}' is no user", "write the lines at the users")
        elif strange := [station for station, _ in row.loss_permille if station not in stations]:
            cause = f"a line leads to '{strange[0]}', which is no participant with role = \"station\""
            reading.problem(spot, cause, _one_of(stations))
        if row.role == "station" and (row.tokens_mt or row.rights_wh):
            cause = f"'{row.name}' is a station: its account begins with its enrolment, and empty"
            reading.problem(path, cause, "remove its tokens_mt and rights_wh")


def ledger(reading: Reading) -> None:
    for path, chain in reading.of(m.Ledger):
        companies = sum(row.role == "company" for row in chain.participants)
        if companies != 1:
            cause = f"there are {companies} companies"
            reading.problem(path, cause, 'give exactly one participant role = "company"')
        for position, row in enumerate(chain.participants):
            if row.rights_wh % chain.unit_wh:
                remedy = f"choose a multiple of unit_wh, {chain.unit_wh}"
                spot = (*path, "participant", position, "rights_wh")
                reading.problem(spot, f"'{row.name}' begins with a part of a unit", remedy)
        if not reading.of(m.Gateway):
            reading.problem(path, "a ledger, but no gateway to bring it readings", "add a [gateway] table")


def faults(reading: Reading) -> None:
    struck: dict[str, list[str]] = {"board": [], "sensor": [], "actor": [], "bus": []}
    for _, board in reading.of(m.Board):
        struck["board"].append(board.name)
        struck["sensor"] += [f"{board.name}/{each.name}" for each in board.sensors]
        struck["actor"] += [f"{board.name}/{each.name}" for each in board.actors]
        buses = {each.bus for each in board.sensors} | {each.bus for each in board.actors}
        struck["bus"] += [f"{board.name}/{bus}" for bus in sorted(buses)]
    for path, fault in reading.of(m.Fault):
        sort = parts.FAULTS[fault.kind]
        if sort == "site" and fault.on is not None:
            reading.problem((*path, "on"), f"{fault.kind} strikes the whole site", "remove the line")
        elif sort != "site" and fault.on not in struck[sort]:
            cause = f"{fault.kind} strikes a {sort}, and " + (
                f"'{fault.on}' is none" if fault.on else "'on' is missing"
            )
            reading.problem((*path, "on"), cause, _one_of(struck[sort]))


def _one_of(names: Iterable[str]) -> str:
    known = ", ".join(names)
    return f"write one of: {known}" if known else "there is none yet: add one first"


CHECKS: tuple[tuple[tuple[type, ...], Callable[[Reading], None]], ...] = (
    ((), unique_names),
    ((m.Cable,), network),
    ((m.House,), houses_behind),
    ((), stores),
    ((), chargers),
    ((), tariffs),
    ((m.Board, m.Polled, m.Participant), devices),
    ((m.Participant,), accounts),
    ((m.Gateway,), ledger),
    ((m.Board,), faults),
    (PLACES, check_boards.places_named),
    (PLACES, check_boards.parts_fit_places),
    (PLACES, check_boards.connections),
    ((), check_boards.parts_fit_boards),
    ((), check_boards.spots_differ),
    ((), check_boards.roles_have_parts),
)
