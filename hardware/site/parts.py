"""What a site can be built from: cables, boards, sensors, actors, faults, with the limits that the checks need.

Owns: the closed lists a site file chooses from. Refuses: register maps (`hardware/catalog`), pins (`firmware/boards`).
Invariants: cables and transformers bear the names of pandapower's standard library, which has their data.
"""

from dataclasses import dataclass

from hardware import catalog

CABLES = (
    "NAYY 4x50 SE",
    "NAYY 4x120 SE",
    "NAYY 4x150 SE",
    "15-AL1/3-ST1A 0.4",
    "24-AL1/4-ST1A 0.4",
    "48-AL1/8-ST1A 0.4",
    "94-AL1/15-ST1A 0.4",
)
TRANSFORMERS = (
    "0.25 MVA 20/0.4 kV",
    "0.4 MVA 20/0.4 kV",
    "0.63 MVA 20/0.4 kV",
    "0.25 MVA 10/0.4 kV",
    "0.4 MVA 10/0.4 kV",
    "0.63 MVA 10/0.4 kV",
)
PROFILES = ("household", "farm", "business")
PHASE_V = 230
CELLS_V = 24
WEATHERS = ("clear", "broken", "overcast")


@dataclass(frozen=True)
class BoardKind:
    """How many buses of each sort a board offers, and how many pins for relays and pulses."""

    uart: int
    i2c: int
    gpio: int


BOARDS = {
    "esp32": BoardKind(uart=2, i2c=1, gpio=8),
    "esp32-s2": BoardKind(uart=1, i2c=1, gpio=8),
    "esp32-s3": BoardKind(uart=2, i2c=1, gpio=8),
    "esp32-c3": BoardKind(uart=1, i2c=1, gpio=4),
    "esp32-c6": BoardKind(uart=1, i2c=1, gpio=6),
    "rp2040-w": BoardKind(uart=2, i2c=2, gpio=8),
    "rp2350-w": BoardKind(uart=2, i2c=2, gpio=8),
    "rpi": BoardKind(uart=1, i2c=1, gpio=8),
}


# What a catalog's bus is called at a board.
SORTS = {"modbus": "uart", "sunspec": "uart", "i2c": "i2c", "pulse": "gpio", "contact": "gpio"}


@dataclass(frozen=True)
class Part:
    """What building with a part needs to know beyond its register map: the current it can take, the sorts of places
    where it makes sense (none named: everywhere), whether it tells feeding in from drawing, and whether it measures the
    cells of a store instead of its connection."""

    current_a_max: int
    places: tuple[str, ...] = ()
    two_way: bool = True
    direct_current: bool = False


STORES = ("station", "battery")
SENSORS = {
    "pzem004t-v3": Part(100, two_way=False),
    "pzem004t-v4": Part(100, two_way=False),
    "sdm120": Part(45),
    "sdm630": Part(100),
    "ade7953": Part(100),
    "ina226": Part(160, STORES, direct_current=True),
    "s0-pulse": Part(100, two_way=False),
}
ACTORS = {
    "relay": Part(100),
    "relay-latching": Part(100),
    "sunspec-inverter": Part(100, ("panels", *STORES)),
    "sunspec-battery": Part(200, STORES),
}
POLLED = ("sdm120", "sdm630", "sunspec-inverter", "sunspec-battery")
PARTS = SENSORS | ACTORS


def bus_sort(part: str) -> str:
    """`uart`, `i2c` or `gpio`: the sort of bus of a board that the part hangs on."""
    return SORTS[catalog.load(part).bus]


def addresses(part: str) -> range:
    """The addresses a part can have on its bus; a pin needs none."""
    first, last = catalog.load(part).addresses
    return range(0) if bus_sort(part) == "gpio" else range(first, last + 1)


def phases(part: str) -> int:
    """How many phases it can be connected to; to direct current they do not matter."""
    return 3 if PARTS[part].direct_current else catalog.load(part).phases


def power_w_max(part: str, phases_there: int) -> int:
    """The most power that its current can stand for."""
    return PARTS[part].current_a_max * (CELLS_V if PARTS[part].direct_current else PHASE_V * phases_there)


# fault kind -> what it strikes
FAULTS = {
    "power-cut": "board",
    "brown-out": "board",
    "watchdog": "board",
    "flash-bit-flip": "board",
    "flash-full": "board",
    "wrong-clock": "board",
    "link-down": "board",
    "link-slow": "board",
    "link-lossy": "board",
    "link-half-open": "board",
    "partition": "board",
    "relay-stuck": "actor",
    "relay-bouncing": "actor",
    "sensor-frozen": "sensor",
    "sensor-drifting": "sensor",
    "bus-dead": "bus",
    "bus-babbling": "bus",
    "uart-bit-flip": "bus",
    "broker-restart": "site",
}
