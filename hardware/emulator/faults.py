"""Faults by name: what each does to a board, a bus, a part or the site, and how it is repaired.

Owns: the table of kinds (the names of the site file), striking at a time or now, repairing after a while, the log.
Refuses: inventing faults; everything comes from the caller with its seed.
Invariants: a fault strikes what is named and nothing else; a repaired fault leaves the flash as it is.

`amount` means, by kind: power-cut: the n-th flash operation from now instead of this instant; brown-out: milliseconds
of warning on the power-good line (20); flash-bit-flip: bits (1); wrong-clock: seconds since 1970 (0); link-slow: bytes
a second (500); link-lossy: permille of segments (300); uart-bit-flip: permille of bytes (20).
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from .board import Board, Cause
from .bus import I2cBus, UartLine
from .devices import Devices
from .flash import Flash
from .link import Link
from .parts.gauge import Failure
from .parts.relay import Relay
from .timeline import Timeline


class Fault(Protocol):
    """As in a site file: what, where, when after the start, for how long (0: until repaired)."""

    @property
    def kind(self) -> str: ...
    @property
    def on(self) -> str | None: ...
    @property
    def at_s(self) -> int: ...
    @property
    def for_s(self) -> int: ...
    @property
    def seed(self) -> int: ...
    @property
    def amount(self) -> int | None: ...


class Failing(Protocol):
    """A part that can fail."""

    def fail(self, failure: Failure, now_us: int) -> None: ...


class Supply:
    """The power-good line of a board: a PinSource that falls while the supply still lasts for a moment."""

    def __init__(self) -> None:
        self.good = True

    def level(self, now_us: int) -> int:
        return int(self.good)

    def next_edge_us(self, now_us: int) -> int | None:
        return None


@dataclass(slots=True)
class Rig:
    """One board with everything around it. `parts` by their names at the board, `buses` by the board's names."""

    board: Board
    devices: Devices
    link: Link
    flash: Flash
    supply: Supply = field(default_factory=Supply)
    parts: Mapping[str, object] = field(default_factory=dict)
    buses: Mapping[str, UartLine | I2cBus] = field(default_factory=dict)

    def reseed(self, seed: int) -> None:
        for line in self.devices.lines.values():
            line.random.seed(seed)
        self.flash.random.seed(seed)
        self.link.random.seed(seed)


class Unknown(ValueError):
    """No such fault, or nothing by that name for it to strike."""


Repair = Callable[[], None]


class Faults:
    """Strikes and repairs. `log` holds (site time, what was done)."""

    def __init__(self, rigs: Mapping[str, Rig], timeline: Timeline, restart_broker: Repair | None = None) -> None:
        self.log: list[tuple[int, str]] = []
        self.active: dict[tuple[str, str | None], Repair] = {}
        self._rigs, self._timeline = rigs, timeline
        self._restart_broker = restart_broker
        self.kinds: dict[str, Callable[[str | None, int | None, int], Repair | None]] = {
            "power-cut": self._power_cut, "brown-out": self._brown_out, "watchdog": self._watchdog,
            "flash-bit-flip": self._flash_bit_flip, "flash-full": self._flash_full, "wrong-clock": self._wrong_clock,
            "link-down": self._link_down, "link-slow": self._link_slow, "link-lossy": self._link_lossy,
            "link-half-open": self._link_half_open, "partition": self._partition,
            "relay-stuck": self._relay_stuck, "relay-bouncing": self._relay_bouncing,
            "sensor-frozen": self._sensor_frozen, "sensor-drifting": self._sensor_drifting,
            "bus-dead": self._bus_dead, "bus-babbling": self._bus_babbling, "uart-bit-flip": self._uart_bit_flip,
            "broker-restart": self._broker,
        }  # fmt: skip

    def schedule(self, faults: Iterable[Fault], start_us: int) -> None:
        for fault in faults:
            self._timeline.at(start_us + fault.at_s * 1_000_000, lambda fault=fault: self._strike(fault), firm=True)  # type: ignore[misc]

    def _strike(self, fault: Fault) -> None:
        self.strike(fault.kind, fault.on, fault.amount, fault.for_s, fault.seed)

    def strike(
        self, kind: str, on: str | None = None, amount: int | None = None, for_s: int = 0, seed: int | None = None
    ) -> None:
        """Now. Unknown names raise `Unknown`. `seed` decides what is left to chance: which bit, how torn, how late."""
        if kind not in self.kinds:
            raise Unknown(f"no fault is called {kind}; there are {', '.join(self.kinds)}")
        if seed is not None and on is not None:
            self._rig(on).reseed(seed)
        self.repair(kind, on)
        repair = self.kinds[kind](on, amount, for_s * 1_000_000)
        self._note(f"{kind} on {on or 'the site'}")
        if repair is not None:
            self.active[kind, on] = repair
            if for_s:
                self._timeline.at(self._timeline.now_us() + for_s * 1_000_000, lambda: self._over(kind, on, repair))

    def _over(self, kind: str, on: str | None, repair: Repair) -> None:
        if self.active.get((kind, on)) is repair:  # not if it was repaired and struck again meanwhile
            self.repair(kind, on)

    def repair(self, kind: str, on: str | None = None) -> None:
        repair = self.active.pop((kind, on), None)
        if repair is not None:
            repair()
            self._note(f"{kind} on {on or 'the site'} repaired")

    def _note(self, what: str) -> None:
        self.log.append((self._timeline.now_us(), what))

    # ---- what a name means

    def _rig(self, on: str | None) -> Rig:
        rig = self._rigs.get((on or "").partition("/")[0])
        if rig is None:
            raise Unknown(f"no board is called {on}")
        return rig

    def _part(self, on: str | None) -> object:
        rig, name = self._rig(on), (on or "").partition("/")[2]
        if name not in rig.parts:
            raise Unknown(f"{on} is no part; there are {', '.join(rig.parts) or 'none'}")
        return rig.parts[name]

    def _bus(self, on: str | None) -> UartLine | I2cBus:
        rig, name = self._rig(on), (on or "").partition("/")[2]
        if name not in rig.buses:
            raise Unknown(f"{on} is no bus; there are {', '.join(rig.buses) or 'none'}")
        return rig.buses[name]

    def _line(self, on: str | None) -> UartLine:
        bus = self._bus(on)
        if not isinstance(bus, UartLine):
            raise Unknown(f"{on} is no serial line")
        return bus

    # ---- power

    def _power_cut(self, on: str | None, amount: int | None, for_us: int) -> Repair:
        rig = self._rig(on)
        board = rig.board
        if amount is None:
            if rig.devices.flash_busy_until_us > board.now_us():
                rig.flash.tear()
            board.power_off()
        else:
            rig.flash.cut_at = rig.flash.ops + amount
            if for_us:  # counted from the cut, not from now
                board.on_power_off = lambda: self._back_later(board, for_us)

        def repair() -> None:
            if amount is None or not for_us:
                rig.flash.cut_at = None
                board.power_on()

        return repair

    def _back_later(self, board: Board, for_us: int) -> None:
        board.on_power_off = None
        self._timeline.at(self._timeline.now_us() + for_us, board.power_on)

    def _brown_out(self, on: str | None, amount: int | None, for_us: int) -> None:
        rig = self._rig(on)
        rig.supply.good = False
        rig.devices.changed()

        def falls() -> None:
            if rig.devices.flash_busy_until_us > rig.board.now_us():
                rig.flash.tear()
            rig.supply.good = True
            rig.board.reset(Cause.POWER_ON, "brown-out", for_us)

        self._timeline.at(self._timeline.now_us() + (20 if amount is None else amount) * 1000, falls)

    def _watchdog(self, on: str | None, amount: int | None, for_us: int) -> None:
        self._rig(on).board.hang()

    # ---- flash and clock

    def _flash_bit_flip(self, on: str | None, amount: int | None, for_us: int) -> None:
        for _ in range(amount or 1):
            self._rig(on).flash.flip_bit()

    def _flash_full(self, on: str | None, amount: int | None, for_us: int) -> Repair:
        flash = self._rig(on).flash
        flash.full = True
        return lambda: setattr(flash, "full", False)

    def _wrong_clock(self, on: str | None, amount: int | None, for_us: int) -> None:
        self._rig(on).devices.set_clock(amount or 0)

    # ---- network

    def _link_down(self, on: str | None, amount: int | None, for_us: int) -> Repair:
        link = self._rig(on).link
        link.set_down(True)
        return lambda: link.set_down(False)

    def _link_slow(self, on: str | None, amount: int | None, for_us: int) -> Repair:
        link = self._rig(on).link
        link.impair(bytes_per_s=500 if amount is None else amount, latency_us=500_000)
        return link.impair

    def _link_lossy(self, on: str | None, amount: int | None, for_us: int) -> Repair:
        link = self._rig(on).link
        link.impair(loss_permille=min(300 if amount is None else amount, 950))
        return link.impair

    def _link_half_open(self, on: str | None, amount: int | None, for_us: int) -> Repair:
        link = self._rig(on).link
        link.half_open()
        return link.reset_half_open

    def _partition(self, on: str | None, amount: int | None, for_us: int) -> Repair:
        link = self._rig(on).link
        link.partition(True)
        return lambda: link.partition(False)

    def _broker(self, on: str | None, amount: int | None, for_us: int) -> None:
        if self._restart_broker is None:
            raise Unknown("there is no broker here to restart")
        self._restart_broker()

    # ---- parts and buses

    def _relay(self, on: str | None) -> Relay:
        part = self._part(on)
        if not isinstance(part, Relay):
            raise Unknown(f"{on} is no relay")
        return part

    def _relay_stuck(self, on: str | None, amount: int | None, for_us: int) -> Repair:
        relay = self._relay(on)
        relay.stuck = True
        return lambda: setattr(relay, "stuck", False)

    def _relay_bouncing(self, on: str | None, amount: int | None, for_us: int) -> Repair:
        contact = self._relay(on).contact
        contact.bouncing = True
        return lambda: setattr(contact, "bouncing", False)

    def _sensor(self, on: str | None, failure: Failure) -> Repair:
        part: Failing = self._part(on)  # type: ignore[assignment]
        if not hasattr(part, "fail"):
            raise Unknown(f"{on} is no sensor")
        part.fail(failure, self._timeline.now_us())
        return lambda: part.fail(Failure.NONE, self._timeline.now_us())

    def _sensor_frozen(self, on: str | None, amount: int | None, for_us: int) -> Repair:
        return self._sensor(on, Failure.FROZEN)

    def _sensor_drifting(self, on: str | None, amount: int | None, for_us: int) -> Repair:
        return self._sensor(on, Failure.DRIFTING)

    def _bus_dead(self, on: str | None, amount: int | None, for_us: int) -> Repair:
        bus = self._bus(on)
        bus.dead = True
        return lambda: setattr(bus, "dead", False)

    def _bus_babbling(self, on: str | None, amount: int | None, for_us: int) -> Repair:
        line = self._line(on)
        line.babble(True)
        return lambda: line.babble(False)

    def _uart_bit_flip(self, on: str | None, amount: int | None, for_us: int) -> Repair:
        line = self._line(on)
        line.flip_permille = 20 if amount is None else amount
        return lambda: setattr(line, "flip_permille", 0)
