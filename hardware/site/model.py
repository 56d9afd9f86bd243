"""The site as plain, frozen values: what everybody else reads of a site file.

Owns: one dataclass per table of the file, every field with its unit in the name and its range beside it.
Refuses: behaviour. The grid, boards, gateway and ledger are built from these values elsewhere.
Invariants: power into a house, store or the street is positive (import); names are unique over the whole site where
things are measured or switched (`place` below), since those names are terminals of the grid.

Places that can be measured or switched: a house, a panel field, a battery, a charge point, a station, and the
transformer (`grid`). Behind the transformer lies the node `busbar`; cables lead from node to node.
"""

from dataclasses import dataclass

from . import fields as f
from . import parts

BUSBAR = "busbar"
GRID = "grid"


@dataclass(frozen=True, kw_only=True)
class Named:
    name: str = f.name()


@dataclass(frozen=True, kw_only=True)
class AtNode(Named):
    """What stands at a node of the network. Its phases share its power alike."""

    node: str = f.name()
    phases: int = f.choice((1, 3), 1)


@dataclass(frozen=True, kw_only=True)
class AtHouse(Named):
    """What stands behind a house's connection."""

    house: str = f.name()


@dataclass(frozen=True, kw_only=True)
class Supply:
    """The medium-voltage grid and the transformer of the street."""

    transformer: str = f.choice(parts.TRANSFORMERS, "0.25 MVA 20/0.4 kV")
    voltage_permille: int = f.number(900, 1100, 1000)
    tap: int = f.number(-2, 2, 0)


@dataclass(frozen=True, kw_only=True)
class Cable(Named):
    """Between two nodes; an open one is a switch at rest, so that rings can be drawn and run as trees."""

    start: str = f.name()
    end: str = f.name()
    kind: str = f.choice(parts.CABLES, "NAYY 4x150 SE")
    length_m: int = f.number(1, 3000)
    closed: bool = f.flag(True)


@dataclass(frozen=True, kw_only=True)
class House(AtNode):
    profile: str = f.choice(parts.PROFILES, "household")
    annual_kwh: int = f.number(100, 500_000)


@dataclass(frozen=True, kw_only=True)
class Panels(AtHouse):
    """A photovoltaic field on a house. Azimuth: 180 is south."""

    peak_w: int = f.number(100, 1_000_000)
    inverter_w: int | None = f.number(100, 1_000_000, None)
    tilt_deg: int = f.number(0, 90, 35)
    azimuth_deg: int = f.number(0, 359, 180)


@dataclass(frozen=True, kw_only=True)
class Store(Named):
    """What every store of energy has. Efficiency is for one direction: of 1,000 Wh charged, this many arrive."""

    capacity_wh: int = f.number(100, 10_000_000)
    charge_w_max: int = f.number(10, 1_000_000)
    discharge_w_max: int = f.number(10, 1_000_000)
    efficiency_permille: int = f.number(500, 1000, 960)
    soc_min_permille: int = f.number(0, 1000, 50)
    soc_max_permille: int = f.number(0, 1000, 950)
    soc_start_permille: int = f.number(0, 1000, 500)
    self_discharge_permille_per_day: int = f.number(0, 100, 1)


@dataclass(frozen=True, kw_only=True)
class Battery(Store, AtHouse):
    """A household's own store: it takes the surplus of its house's roof and gives it back in the evening."""


@dataclass(frozen=True, kw_only=True)
class Station(Store, AtNode):
    """A storage station. Its power is what it was told, `setpoint_w` at the start, and none while its relay is open."""

    setpoint_w: int = f.number(-1_000_000, 1_000_000, 0)
    relay_closed: bool = f.flag(False)


@dataclass(frozen=True, kw_only=True)
class Charger(AtHouse):
    """A charge point for a car that comes and goes once a day and wants about `energy_wh`."""

    power_w_max: int = f.number(1000, 350_000)
    energy_wh: int = f.number(1000, 200_000)
    arrive_s: int = f.time_of_day(17 * 3600 + 1800, "arrive")
    leave_s: int = f.time_of_day(7 * 3600, "leave")


@dataclass(frozen=True, kw_only=True)
class Sensor(Named):
    """What a board measures with, on which bus (`uart0`, `i2c0`, `gpio0` …) and where (`at`: a place)."""

    part: str = f.choice(parts.SENSORS)
    bus: str = f.name()
    address: int | None = f.number(0, 247, None)
    at: str = f.name()


@dataclass(frozen=True, kw_only=True)
class Actor(Named):
    """What a station acts with. A relay switches the place `at`, an inverter sets its power."""

    part: str = f.choice(parts.ACTORS)
    bus: str = f.name()
    address: int | None = f.number(0, 247, None)
    at: str = f.name()


@dataclass(frozen=True, kw_only=True)
class Board(Named):
    kind: str = f.choice(parts.BOARDS)
    role: str = f.choice(("meter", "station"))
    bits: int = f.choice((32, 64), 32)
    sensors: tuple[Sensor, ...] = f.tables(Sensor, "sensor")
    actors: tuple[Actor, ...] = f.tables(Actor, "actor")


@dataclass(frozen=True, kw_only=True)
class Polled(Named):
    """A meter, inverter or battery without a board: the gateway asks it over Modbus and attests what it says."""

    part: str = f.choice(parts.POLLED)
    transport: str = f.choice(("tcp", "rtu"), "tcp")
    address: int = f.number(1, 247)
    at: str = f.name()


@dataclass(frozen=True, kw_only=True)
class Fault(Named):
    """Something that goes wrong `at_s` after the start, for `for_s` (0: until repaired). `on` names what it strikes:
    a board, `board/sensor`, `board/actor`, `board/bus`, or nothing where it strikes the whole site."""

    kind: str = f.choice(parts.FAULTS)
    on: str | None = f.text(None)
    at_s: int = f.number(0, 366 * 86400)
    for_s: int = f.number(0, 366 * 86400, 0)
    seed: int = f.number(0, 2**31, 0)
    amount: int | None = f.number(0, 10**9, None)


@dataclass(frozen=True, kw_only=True)
class Tariff(Named):
    """A price from a time of day until the next tariff's time. A boundary seals a report."""

    from_s: int = f.time_of_day(key="from")
    price_mt_per_kwh: int = f.number(0, 1_000_000)


@dataclass(frozen=True, kw_only=True)
class Gateway(Named):
    alliance: str = f.name()
    beat_s: int = f.number(1, 3600, 10)
    polled: tuple[Polled, ...] = f.tables(Polled)


@dataclass(frozen=True, kw_only=True)
class Participant(Named):
    """An account. `device` is the board or polled device that measures for it; `loss_permille` is a user's row of the
    line table: one entry per station it has a line to."""

    role: str = f.choice(("company", "user", "station", "regulator"))
    device: str | None = f.name(None)
    tokens_mt: int = f.number(0, 10**15, 0)
    rights_wh: int = f.number(0, 10**15, 0)
    loss_permille: tuple[tuple[str, int], ...] = f.losses()


@dataclass(frozen=True, kw_only=True)
class Ledger:
    """Parameters of the sister chains and the accounts of their genesis."""

    unit_wh: int = f.number(1, 1_000_000, 1000)
    k: int = f.number(1, 10_000, 10)
    entry_margin: int = f.number(0, 1000, 1)
    one_way: bool = f.flag(True)
    rate_wh_per_token: int = f.number(1, 1_000_000, 1000)
    confirmations: int = f.number(1, 100, 1)
    lease_s: int = f.number(5, 86400, 300)
    participants: tuple[Participant, ...] = f.tables(Participant, "participant")


@dataclass(frozen=True, kw_only=True)
class Story:
    """What the pilot plays by itself; the seed decides who buys and sells how much, and when."""

    seed: int = f.number(0, 2**31, 1)


@dataclass(frozen=True, kw_only=True)
class Site:
    """One site. `start_s` is the site clock's first moment; local time is UTC plus the offset, all year."""

    name: str = f.name()
    title: str = f.text()
    seed: int = f.number(0, 2**31, 1)
    start_s: int = f.moment(key="start")
    utc_offset_min: int = f.number(-720, 840, 0)
    latitude_mdeg: int = f.number(-90_000, 90_000, 52_500)
    longitude_mdeg: int = f.number(-180_000, 180_000, 13_400)
    weather: str = f.choice(parts.WEATHERS, "broken")
    row_s: int = f.number(1, 3600, 60)
    supply: Supply = f.table(Supply)  # noqa: RUF009
    cables: tuple[Cable, ...] = f.tables(Cable, "cable")
    houses: tuple[House, ...] = f.tables(House, "house")
    panels: tuple[Panels, ...] = f.tables(Panels)
    batteries: tuple[Battery, ...] = f.tables(Battery, "battery")
    chargers: tuple[Charger, ...] = f.tables(Charger, "charger")
    stations: tuple[Station, ...] = f.tables(Station, "station")
    boards: tuple[Board, ...] = f.tables(Board, "board")
    faults: tuple[Fault, ...] = f.tables(Fault, "fault")
    tariffs: tuple[Tariff, ...] = f.tables(Tariff, "tariff")
    gateway: Gateway | None = f.optional_table(Gateway)  # noqa: RUF009
    ledger: Ledger | None = f.optional_table(Ledger)  # noqa: RUF009
    story: Story = f.table(Story)  # noqa: RUF009
