"""A part by the name it has in a site file.

Owns: which class plays which part, and what the real installation would have set with keys and jumpers.
Refuses: wiring and places; whoever calls has a terminal, a switch or a converter already.
Invariants: the names are those of `hardware.site.parts` and of the catalog.
"""

from collections.abc import Sequence

from ..port import Converter, PinSource, Switch, Terminal
from .ade7953 import Ade7953
from .eastron import Sdm
from .gauge import Failure
from .ina226 import Ina226
from .modbus import RtuSlave
from .pzem004t import Pzem004t
from .relay import LatchingRelay, Relay
from .s0 import S0Pulse
from .sunspec import SunSpecDevice, Wake
from .sunspec_battery import BatteryInverter
from .sunspec_inverter import PvInverter

# What the boards in docs/hardware.md are built with; the device configuration carries the same figures.
ADE7953_FULL_MV = 400_000
ADE7953_FULL_MA = 100_000
INA226_SHUNT_UOHM = 500
S0_PULSES_PER_KWH = 1000


def uart_sensor(kind: str, terminal: Terminal, address: int, seed: int = 0) -> RtuSlave:
    if kind.startswith("pzem004t-v"):
        return Pzem004t(terminal, address, int(kind[-1]), seed=seed)
    return Sdm(kind, terminal, address, seed=seed)


def i2c_sensor(kind: str, terminal: Terminal, address: int, seed: int = 0) -> Ade7953 | Ina226:
    if kind == "ade7953":
        return Ade7953(terminal, ADE7953_FULL_MV, ADE7953_FULL_MA, address, seed)
    return Ina226(terminal, INA226_SHUNT_UOHM, address, seed)


def pulse_sensor(terminal: Terminal, export: bool = False) -> PinSource:
    return S0Pulse(terminal, S0_PULSES_PER_KWH, export)


def relay(kind: str, switch: Switch) -> Relay:
    """A LatchingRelay has two coils to be wired, `set_coil` and `reset_coil`; a plain one is its own coil."""
    return LatchingRelay(switch) if kind == "relay-latching" else Relay(switch)


def sunspec(
    kind: str, terminal: Terminal, converter: Converter, rated_w: int, serial: str, wake: Wake | None = None,
    seed: int = 0, without: Sequence[int] = (),
) -> SunSpecDevice:  # fmt: skip
    """A device without a bus: behind a `SunSpecSlave` on a line, or a unit of a `ModbusTcpServer`."""
    if kind == "sunspec-battery":
        return BatteryInverter(terminal, converter, rated_w, serial, without, wake, seed)
    return PvInverter(terminal, converter, rated_w, serial, wake, seed)


class SunSpecSlave(RtuSlave):
    """A SunSpec device on a serial line."""

    registers: SunSpecDevice

    def __init__(self, device: SunSpecDevice, address: int, baudrate: int | None = None, seed: int = 0) -> None:
        pace = device.part.pace
        super().__init__(
            device, address, baudrate or device.part.baudrates[0], pace["turnaround_ms"] * 1000, seed
        )

    def fail(self, failure: Failure, now_us: int) -> None:
        self.failure = failure
        self.registers.fail(failure, now_us)
