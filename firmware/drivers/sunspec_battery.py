"""A SunSpec battery inverter over Modbus RTU: models 101-103 and 802 or 124, power set by model 704 or 124.

Owns: what is written to make it charge and discharge, its heartbeat.
Refuses: a battery whose own heartbeat stands still; control of a battery that is switched to local.
Invariants: every order goes out with the device's own revert timer; the power in force is read back after every order;
its energy is not in these models (WH counts one way only), so samples leave the registers to the firmware.
Catalog: sunspec-battery.toml.
"""

from . import MODEL, STALLED, Fault, Sample, since
from .sunspec import SunSpec, per_cent, signed_point, unsigned_point

_STALL_MS = 10_000  # Hb of model 802 rises every second


class SunSpecBattery(SunSpec):
    WANTED = (1, 101, 102, 103, 120, 121, 124, 704, 802)

    def __init__(self, line, address=1, revert_s=60, timeout_ms=500):
        super().__init__(line, address, revert_s, timeout_ms)
        self.capacity_wh = None
        self.store_state = None  # model 802, State: 3 connected, 99 fault ...
        self.store_alarms = 0  # model 802, Evt1
        self._beat = None
        self._beat_ms = 0
        self._own_beat = 0

    def _reading(self, now_ms):
        if self._models is None:
            yield from self._scan()
            self._rated = yield from self._rated_w()
            self._control = self._first(704, 124)
        if self._control and self._due(now_ms):
            limit_w = self._wanted
            yield from self._command(limit_w)
            self._has_told(limit_w, now_ms)
        ac = self._first(103, 102, 101)
        if ac is None:
            raise Fault(MODEL)
        fields, temperature = self._ac((yield from self._block(ac)))
        raw = self.raw
        if fields[2] is None:
            raise Fault(MODEL, ac)
        if 802 in self._models:
            soc = self._store((yield from self._block(802)), now_ms)
            yield from self._heartbeat()
        else:
            words = yield from self._block(124)
            soc = unsigned_point(words, 8, 22, 10)
        if self._control:
            self._in_force = self._read_order((yield from self._block(self._control)))
        stored = None if soc is None or self.capacity_wh is None else self.capacity_wh * soc // 1000
        return Sample(*(fields[:5] + (None,) + fields[6:] + (soc, temperature, stored, raw)))

    def _store(self, words, now_ms):
        """State of charge; state, alarms and capacity on the way."""
        self.capacity_wh = unsigned_point(words, 3, 53)
        self.store_state = words[22]
        self.store_alarms = words[26] << 16 | words[27]
        beat = words[18]
        if beat != self._beat or beat == 0xFFFF:
            self._beat = beat
            self._beat_ms = now_ms
        elif since(now_ms, self._beat_ms) > _STALL_MS:
            raise Fault(STALLED, beat)
        self._has_own_beat = words[19] != 0xFFFF
        return unsigned_point(words, 11, 56, 10)

    def _heartbeat(self):
        """Ours, as long as something is ordered: a battery may stop when it stands still."""
        if self._wanted is not None and self._has_own_beat:
            self._own_beat = (self._own_beat + 1) % 0x8000
            yield from self._order(802, 19, (self._own_beat,))

    def _command(self, limit_w):
        if 802 in self._models and limit_w:
            words = yield from self._block(802)
            if words[17] == 1:
                self.refused = 1
                return
            if words[22] == 1:  # disconnected: connect, inverter started
                yield from self._order(802, 50, (1, 3))
        words = yield from self._block(self._control)
        if self._control == 704:
            yield from self._set_704(words, limit_w)
        else:
            yield from self._set_124(words, limit_w)

    def _set_704(self, words, limit_w):
        """WSet in watts, + is feeding in; when the timer runs out it is 0 W and stays set. Percentages as they are."""
        on = limit_w is not None
        exponent = words[55]
        watts = _scaled_down(-limit_w, exponent) if on else 0
        revert = self.revert_s if on else 0
        high, low = (watts >> 16) & 0xFFFF, watts & 0xFFFF
        values = (int(on), 1, high, low, 0, 0, words[28], words[29], int(on), revert >> 16, revert & 0xFFFF)
        self.refused = yield from self._order(704, 22, values)

    def _set_124(self, words, limit_w):
        """Both rates at once: charging at x is a charge limit of x and a discharge limit of -x. The timer ends it."""
        if limit_w is None:
            self.refused = yield from self._order(124, 5, (0,))
            return
        rated = unsigned_point(words, 2, 18) or self._rated
        share = per_cent(limit_w, rated, words[25])
        from_grid = 1 if words[17] != 0xFFFF else 0xFFFF
        self.refused = yield from self._order(124, 12, (-share, share, 0, self.revert_s, 0, from_grid))
        if not self.refused:
            self.refused = yield from self._order(124, 5, (3,))

    def _read_order(self, words):
        """The power in force as limit_w, None: none."""
        if self._control == 704:
            if words[22] != 1 or words[23] != 1:
                return None
            watts = words[24] << 16 | words[25]
            watts -= (watts & 0x80000000) << 1
            return -_scaled_up(watts, words[55])
        rated = unsigned_point(words, 2, 18) or self._rated
        share = signed_point(words, 13, 25, 1000)
        if words[5] != 3 or share is None:
            return None
        watts = rated * abs(share) // 100_000
        return watts if share >= 0 else -watts


def _scaled_down(watts, exponent):
    """Watts to a register with a scale factor, towards zero; a factor that is not implemented is 1."""
    exponent = _exponent(exponent)
    if exponent <= 0:
        return watts * 10**-exponent
    return watts // 10**exponent if watts >= 0 else -(-watts // 10**exponent)


def _scaled_up(watts, exponent):
    exponent = _exponent(exponent)
    if exponent >= 0:
        return watts * 10**exponent
    return watts // 10**-exponent if watts >= 0 else -(-watts // 10**-exponent)


def _exponent(word):
    return 0 if word == 0x8000 else word - 0x10000 if word & 0x8000 else word
