"""Relays: plain and latching, with a contact to read back where one is wired, switched at a zero crossing where one is.

Owns: coils and their pulses. Refuses: minimum on and off times (firmware/safety.py), deciding anything.
Invariants: an order never waits; a coil of a latching relay never carries current for longer than its pulse as long as
poll is called; `closed` is what the contact says, never what was ordered. Catalog: relay.toml, relay-latching.toml.
"""

from . import since

SETTLE_MS = 30  # operate time and bounces of any relay of the catalog
_CROSSING_MS = 100  # no crossing for so long: the mains are gone, and there is nothing to wait for


class Relay:
    """`coil` is a pin whose level `on` carries current; `contact()` is 1 when the relay is closed."""

    _settle_ms = SETTLE_MS

    def __init__(self, coil, contact=None, on=1, crossing=None):
        self._coil = coil
        self._contact = contact
        self._on = on
        self._crossing = crossing
        self._wanted = None
        self._moved_ms = None  # None: since the last order nobody looked at the clock yet
        self._settled = False
        self._drive(False)

    def close(self):
        self._order(True)

    def open(self):
        self._order(False)

    def set(self, limit_w):
        """A relay knows on and off only; None (as it likes) is off."""
        self._order(bool(limit_w))

    def poll(self, now_ms):
        if self._wanted is None or self._settled:
            return
        if self._moved_ms is None:
            self._moved_ms = now_ms
        waited = since(now_ms, self._moved_ms)
        if self._crossing is not None and waited > _CROSSING_MS and self._crossing.cancel():
            self._drive(self._wanted)
            self._moved_ms = now_ms
        elif waited >= self._settle_ms and (self._crossing is None or not self._crossing.armed):
            self._settled = True

    @property
    def closed(self):
        if self._contact is None or not self._settled:
            return None
        return self._contact() == 1

    def read_back(self):
        """0 when the contact says open. A closed relay limits nothing: None, as when nothing is wired to tell."""
        return 0 if self.closed is False else None

    def _order(self, closed):
        if closed is self._wanted:
            return
        self._wanted = closed
        self._moved_ms = None
        self._settled = False
        if self._crossing is None:
            self._drive(closed)
        else:
            self._crossing.arm(self, closed)

    def _drive(self, closed):
        self._moved_ms = None  # it moves from now on; the next poll looks at the clock
        self._coil(self._on if closed else 1 - self._on)


class LatchingRelay(Relay):
    """Two coils: `coil` closes, `coil_open` opens, each by a pulse."""

    def __init__(self, coil, coil_open, contact=None, on=1, crossing=None, pulse_ms=60):
        self._coil_open = coil_open
        self._pulse_ms = pulse_ms
        self._settle_ms = pulse_ms + SETTLE_MS
        super().__init__(coil, contact, on, crossing)

    def poll(self, now_ms):
        super().poll(now_ms)
        if self._pulsing and self._moved_ms is not None and since(now_ms, self._moved_ms) >= self._pulse_ms:
            self._rest()

    def _drive(self, closed):
        self._moved_ms = None
        self._rest()
        if self._wanted is not None:  # not at the start: whoever builds a relay orders it open before anything else
            self._pulsing = True
            (self._coil if closed else self._coil_open)(self._on)

    def _rest(self):
        self._pulsing = False
        self._coil(1 - self._on)
        self._coil_open(1 - self._on)


class ZeroCrossing:
    """Lets a relay's contact move where the mains voltage crosses zero: the coil is driven so long after a crossing
    that the contact, `operate_ms` later, meets one. `pin` rises at each crossing; `timer` is a machine.Timer."""

    def __init__(self, pin, timer, operate_ms, release_ms, half_ms=10):
        self._pin = pin
        self._timer = timer
        # the coil is late by what is left of a half wave
        self._lag_ms = tuple((half_ms - moves_ms % half_ms) % half_ms for moves_ms in (release_ms, operate_ms))
        self._relay = None
        self._closed = False

    @property
    def armed(self):
        return self._relay is not None

    def arm(self, relay, closed):
        self._closed = closed
        self._relay = relay
        self._pin.irq(handler=self._crossed, trigger=self._pin.IRQ_RISING)

    def cancel(self):
        """Stand down; True if an order was still waiting."""
        armed = self.armed
        self._relay = None
        self._pin.irq(handler=None)
        return armed

    def _crossed(self, pin):
        self._pin.irq(handler=None)
        lag_ms = self._lag_ms[self._closed]
        if lag_ms:
            self._timer.init(mode=self._timer.ONE_SHOT, period=lag_ms, callback=self._fire)
        else:
            self._fire(None)

    def _fire(self, timer):
        relay = self._relay
        self._relay = None
        if relay is not None:
            relay._drive(self._closed)
