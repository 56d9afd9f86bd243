"""The port between boards, parts and the grid: what a part is to a bus, and what a terminal is to a part.

Owns: the Protocols that buses, parts and the grid meet at, and the wiring of one board.
Refuses: sockets, processes and pacing (`bus.py` keeps the line's pace); register maps (`parts/`); physics (`grid*`).
Invariants: time is `now_us`, integer microseconds of site time since 1970, and never runs backwards for one part.
Powers and currents are signed as everywhere: import (consumption, charging) is positive.

A part is passive: it is told what it heard and when, and says what it will answer and when. It keeps no timer.
Whatever it raises is a bug of ours; what the real part would not answer it answers with an empty list or None.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

Scheduled = list[tuple[int, bytes]]
"""Bytes that a part begins to send, each with the instant of the first bit; the bus adds the pace of the line."""


@runtime_checkable
class UartPart(Protocol):
    """Something on a serial line (RS-485, TTL). `gap_us` is the silence that ends a frame (Modbus RTU: 3.5
    characters, at least 1,750 us above 19,200 baud); 0 hands over every burst as it was written."""

    baudrate: int
    gap_us: int

    def receive(self, data: bytes, now_us: int) -> Scheduled:
        """A whole burst was on the line; its last bit ended at `now_us`. All parts of a line hear every burst,
        also the answers of the others. Answers are scheduled at or after `now_us`, turnaround included."""
        ...


@runtime_checkable
class Talker(UartPart, Protocol):
    """A UartPart that also speaks unasked (a P1 telegram, a babbling line)."""

    def next_us(self, now_us: int) -> int | None: ...

    def speak(self, now_us: int) -> bytes: ...


class I2cPart(Protocol):
    """Something on an I2C bus at `address` (7 bits). A read that follows a write without a stop is the usual register
    read: the part sees write(), then read()."""

    address: int

    def write(self, data: bytes, now_us: int) -> bool:
        """Take the bytes of one write. False: not acknowledged."""
        ...

    def read(self, count: int, now_us: int) -> bytes | None:
        """Exactly `count` bytes, or None: not acknowledged."""
        ...


@runtime_checkable
class Sleeper(Protocol):
    """An I2cPart that a low data line wakes (a secure element)."""

    def wake(self, now_us: int, low_us: int) -> None: ...


class PinSource(Protocol):
    """What drives an input of the board: a contact, a pulse output, a power-good line."""

    def level(self, now_us: int) -> int:
        """0 or 1 at this instant; may be asked at any time and as often as the board likes."""
        ...

    def next_edge_us(self, now_us: int) -> int | None:
        """When the level will next change if nothing else happens (strictly later than now), None: not of itself.
        Asked again whenever the grid has changed."""
        ...


class PinSink(Protocol):
    """What an output of the board drives: a relay coil, a lamp."""

    def drive(self, level: int, now_us: int) -> None: ...


class AnalogSource(Protocol):
    """What an ADC input of the board sees."""

    def voltage_v(self, now_us: int) -> float: ...


@dataclass(frozen=True, slots=True)
class Phase:
    """One phase of a terminal at one instant. Energies are kept by the grid and only ever rise."""

    voltage_v: float
    current_a: float  # magnitude
    power_w: float
    reactive_var: float = 0.0
    import_wh: float = 0.0
    export_wh: float = 0.0


@dataclass(frozen=True, slots=True)
class Reading:
    """What the clamps of a meter see at one instant."""

    phases: tuple[Phase, ...]
    frequency_hz: float = 50.0

    @property
    def power_w(self) -> float:
        return sum(p.power_w for p in self.phases)

    @property
    def import_wh(self) -> float:
        return sum(p.import_wh for p in self.phases)

    @property
    def export_wh(self) -> float:
        return sum(p.export_wh for p in self.phases)


@dataclass(frozen=True, slots=True)
class StoreState:
    """What an inverter with a battery knows about its store."""

    stored_wh: float
    capacity_wh: float
    temperature_c: float
    charge_w_max: float
    discharge_w_max: float


class Terminal(Protocol):
    """A place of the grid with conductors to clamp on. Parts only ever see this."""

    def at(self, now_us: int) -> Reading:
        """The state now; energies are carried from the last solution to `now_us`."""
        ...


class Switch(Protocol):
    """The contacts of a relay in the grid."""

    @property
    def closed(self) -> bool: ...

    def set(self, closed: bool, now_us: int) -> None: ...


class Converter(Protocol):
    """The power electronics of a controllable source or store: what an inverter part commands in the grid."""

    def order(self, power_w: float | None, now_us: int) -> None:
        """Wanted power, + charge or consumption, - discharge or feed-in; None: as the sun and the house will
        (a PV inverter's own maximum, a household battery's own rule). The grid keeps it within what is possible."""
        ...

    def limit(self, power_w: float | None, now_us: int) -> None:
        """Upper limit of what is fed in (>= 0), None: none."""
        ...

    def available_w(self, now_us: int) -> float:
        """What a source could feed in now if nothing limited it (>= 0)."""
        ...

    def store(self, now_us: int) -> StoreState | None: ...


class Plant(Protocol):
    """The grid as the clock drives it. Boards never pass an instant that the plant has not reached."""

    def next_us(self) -> int | None:
        """The next instant at which the plant must compute something, None: only when something changes."""
        ...

    def advance(self, now_us: int) -> None:
        """Bring every terminal to `now_us`. Called at next_us() and soon after a `Changed`."""
        ...


Changed = Callable[[], None]
"""Called by switches and converters after a change that needs the plant computed again at this very instant."""


@dataclass(slots=True)
class UartPort:
    """One serial interface of a board and what hangs on its line. Where pins are given, a board that configures
    other ones hears nothing."""

    parts: Sequence[UartPart] = ()
    tx: int | None = None
    rx: int | None = None


@dataclass(slots=True)
class Wiring:
    """What is connected to one board, by the numbers the firmware uses."""

    uart: dict[int, UartPort] = field(default_factory=dict)
    i2c: dict[int, Sequence[I2cPart]] = field(default_factory=dict)
    sources: dict[int, PinSource] = field(default_factory=dict)
    sinks: dict[int, PinSink] = field(default_factory=dict)
    analog: dict[int, AnalogSource] = field(default_factory=dict)
