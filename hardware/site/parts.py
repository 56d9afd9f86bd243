"""What a site can be built from: cables, boards, sensors, actors, faults, with the limits that the checks need.

Owns: the closed lists a site file chooses from. Refuses: register maps (`hardware/catalog`), pins (`firmware/boards`).
Invariants: cables and transformers bear the names of pandapower's standard library, which has their data.
"""

from dataclasses import dataclass

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
WEATHERS = ("clear", "broken", "overcast")


@dataclass(frozen=True)
class BoardKind:
    """How many buses of each sort a board offers, and how many pins for relays and pulses."""

    uart: int
    i2c: int
    gpio: int


BOARDS = {
    "esp32-s2": BoardKind(uart=1, i2c=1, gpio=8),
    "esp32-s3": BoardKind(uart=2, i2c=1, gpio=8),
    "esp32-c3": BoardKind(uart=1, i2c=1, gpio=4),
    "esp32-c6": BoardKind(uart=1, i2c=1, gpio=6),
    "rp2040-w": BoardKind(uart=2, i2c=2, gpio=8),
    "rp2350-w": BoardKind(uart=2, i2c=2, gpio=8),
    "rpi": BoardKind(uart=1, i2c=1, gpio=8),
}


@dataclass(frozen=True)
class Part:
    """A sensor or actor: the sort of bus it needs, its address range there, the phases and current it can take, and
    the sorts of places where it makes sense (none named: everywhere)."""

    bus: str
    address_min: int
    address_max: int
    phases: int
    current_a_max: int
    places: tuple[str, ...] = ()


STORES = ("station", "battery")
SENSORS = {
    "pzem004t-v3": Part("uart", 1, 247, 1, 100),
    "pzem004t-v4": Part("uart", 1, 247, 1, 100),
    "sdm120": Part("uart", 1, 247, 1, 45),
    "sdm630": Part("uart", 1, 247, 3, 100),
    "ade7953": Part("i2c", 0x38, 0x38, 1, 100),
    "ina226": Part("i2c", 0x40, 0x4F, 3, 200, STORES),
    "s0-pulse": Part("gpio", 0, 0, 3, 100),
}
ACTORS = {
    "relay": Part("gpio", 0, 0, 3, 100),
    "relay-latching": Part("gpio", 0, 0, 3, 100),
    "sunspec-inverter": Part("uart", 1, 247, 3, 100, ("panels", *STORES)),
    "sunspec-battery": Part("uart", 1, 247, 3, 200, STORES),
}
POLLED = ("sdm120", "sdm630", "sunspec-inverter", "sunspec-battery")

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
