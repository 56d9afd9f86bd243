"""Relays: plain and latching.

Owns: coils, the contact that is read back, its bounces, sticking. Refuses: deciding when; that is the board's.
Invariants: the circuit follows the contact at the moment the coil moves it; the auxiliary contact tells the truth also
about a stuck relay, after operate time and bounces.
"""

from collections.abc import Mapping

from hardware.catalog import load

from ..port import Switch

_BOUNCE_EDGE_US = 700
_BOUNCING_US = 400_000  # a worn relay chatters for so long


class Contact:
    """A PinSource: the auxiliary contact pulls the board's input (pulled up) to 0 while the circuit is closed, so that
    a broken wire looks open. It lags by the operate time, and then bounces."""

    def __init__(self, switch: Switch, pace: Mapping[str, int]) -> None:
        self._switch = switch
        self._operate_us = pace["operate_ms"] * 1000
        self._release_us = pace["release_ms"] * 1000
        self._bounce_us = pace["bounce_ms"] * 1000
        self._moved_us = -(1 << 62)
        self.bouncing = False

    def moved(self, now_us: int) -> None:
        self._moved_us = now_us

    def _times(self) -> tuple[int, int]:
        """When the contact begins to touch, and when it rests."""
        first_us = self._moved_us + (self._operate_us if self._switch.closed else self._release_us)
        return first_us, first_us + (_BOUNCING_US if self.bouncing else self._bounce_us)

    def level(self, now_us: int) -> int:
        first_us, rests_us = self._times()
        rests = int(not self._switch.closed)
        if now_us >= rests_us:
            return rests
        if now_us < first_us:
            return 1 - rests
        return rests ^ ((now_us - first_us) // _BOUNCE_EDGE_US & 1)

    def next_edge_us(self, now_us: int) -> int | None:
        first_us, rests_us = self._times()
        if now_us >= rests_us:
            return None
        if now_us < first_us:
            return first_us
        return min(now_us + _BOUNCE_EDGE_US - (now_us - first_us) % _BOUNCE_EDGE_US, rests_us)


class Relay:
    """A PinSink: level `on` closes the circuit, no level opens it. `contact` is what a board may read back."""

    def __init__(self, switch: Switch, on: int = 1, name: str = "relay") -> None:
        self.part = load(name)
        self.contact = Contact(switch, self.part.pace)
        self.stuck = False
        self._switch = switch
        self._on = on

    def drive(self, level: int, now_us: int) -> None:
        self._move(level == self._on, now_us)

    def _move(self, closed: bool, now_us: int) -> None:
        if not self.stuck and self._switch.closed != closed:
            self._switch.set(closed, now_us)
            self.contact.moved(now_us)


class Coil:
    """One of the two coils of a latching relay."""

    def __init__(self, relay: "LatchingRelay", closes: bool) -> None:
        self._relay = relay
        self._closes = closes
        self._since_us: int | None = None

    def drive(self, level: int, now_us: int) -> None:
        if level == self._relay.on:
            if self._since_us is None:
                self._since_us = now_us
        elif self._since_us is not None:
            pulse_us, self._since_us = now_us - self._since_us, None
            if pulse_us >= self._relay.pulse_us:
                self._relay.latch(self._closes, now_us)


class LatchingRelay(Relay):
    """Two PinSinks, `set_coil` and `reset_coil`; it moves at the end of a pulse that was long enough."""

    def __init__(self, switch: Switch, on: int = 1) -> None:
        super().__init__(switch, on, "relay-latching")
        self.on = on
        self.pulse_us = self.part.pace["pulse_ms_min"] * 1000
        self.set_coil = Coil(self, True)
        self.reset_coil = Coil(self, False)

    def latch(self, closed: bool, now_us: int) -> None:
        self._move(closed, now_us)
