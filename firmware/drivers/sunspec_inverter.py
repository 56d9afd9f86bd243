"""A SunSpec PV inverter over Modbus RTU: measurements of models 101-103, limit by model 704 or 123.

Owns: what is written to limit it. Refuses: charging, which it cannot: set() of more than 0 is 0.
Invariants: every limit goes out with the inverter's own revert timer, so it returns to its own rule when nobody
renews it; the limit in force is read back from the inverter after every order. Catalog: sunspec-inverter.toml.
"""

from . import MODEL, Fault, Sample
from .sunspec import SunSpec, per_cent, unsigned_point


class SunSpecInverter(SunSpec):
    WANTED = (1, 101, 102, 103, 120, 121, 123, 704)

    def _reading(self, now_ms):
        if self._models is None:
            yield from self._scan()
            self._rated = yield from self._rated_w()
            self._control = self._first(704, 123)
        if self._control and self._due(now_ms):
            limit_w = self._wanted
            yield from self._limit(limit_w)
            self._has_told(limit_w, now_ms)
        ac = self._first(103, 102, 101)
        if ac is None:
            raise Fault(MODEL)
        fields, temperature = self._ac((yield from self._block(ac)))
        raw = self.raw
        if fields[2] is None:
            raise Fault(MODEL, ac)
        if self._control:
            self._in_force = self._read_limit((yield from self._block(self._control)))
        return Sample(*(fields + (None, temperature, None, raw)))

    def _limit(self, limit_w):
        words = yield from self._block(self._control)
        scale = words[54] if self._control == 704 else words[23]
        share = 0 if limit_w is None else per_cent(max(-limit_w, 0), self._rated, scale)
        full = per_cent(self._rated, self._rated, scale)
        share = min(share, full)
        on = limit_w is not None
        revert = self.revert_s if on else 0
        if self._control == 704:
            values = (int(on), share if on else full, full, 0, revert >> 16, revert & 0xFFFF)
            self.refused = yield from self._order(704, 14, values)
        else:
            self.refused = yield from self._order(123, 5, (share if on else full, 0, revert, 0, int(on)))

    def _read_limit(self, words):
        """The limit in force as limit_w (feeding in is negative), None: none."""
        on, at, scale_at = (words[14], 15, 54) if self._control == 704 else (words[9], 5, 23)
        share = unsigned_point(words, at, scale_at, 1000)
        return -(self._rated * share // 100_000) if on == 1 and share is not None else None
