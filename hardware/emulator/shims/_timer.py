"""machine.Timer: callbacks run whenever the board waits."""

import _emulator as _e


class Timer:
    ONE_SHOT = 0
    PERIODIC = 1
    _all = []

    def __init__(self, id=-1, **kw):
        self._n = id
        if kw:
            self.init(**kw)

    def init(self, mode=1, freq=-1, period=-1, callback=None):
        self.deinit()
        self._period = max(int(1000 / freq) if freq > 0 else period, 1)
        self._once = mode == 0
        self._f = callback
        self._at = _e.ticks() + self._period
        if not _e.hooks:
            _e.hooks += [_next_timer, _run_timers]
        Timer._all.append(self)

    def deinit(self):
        if self in Timer._all:
            Timer._all.remove(self)


def _left(timer):
    t = timer._at - _e.ticks() & 0x3FFFFFFF
    return t if t < 0x20000000 else 0


def _next_timer(ms):
    for t in Timer._all:
        left = _left(t)
        if ms < 0 or left < ms:
            ms = left
    return ms


def _run_timers():
    for t in tuple(Timer._all):
        if t in Timer._all and not _left(t):
            t._at += t._period
            if t._once:
                t.deinit()
            t._f(t)
