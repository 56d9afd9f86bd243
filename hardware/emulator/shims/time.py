"""The time as the board knows it: ticks follow the site clock, `time()` the board's own real-time clock.

Refuses: the host's date. A board that lost its power wakes up at its chip's epoch until somebody tells it better.
"""

from struct import unpack_from

import _emulator as _e
import utime
from _emulator import pause as sleep_ms, ticks as ticks_ms
from utime import ticks_add, ticks_diff

_rtc = 0  # seconds since the chip's epoch ...
_at = 0  # ... at these ticks
_skew = 0  # seconds from the unix port's epoch to the chip's


def sleep(s):
    sleep_ms(int(s * 1000))


def _now():
    global _rtc, _at
    d = ticks_diff(_e.ticks(), _at)
    if d >= 1000:
        d //= 1000
        _rtc += d
        _at = ticks_add(_at, d * 1000)
    return _rtc


def _set(seconds, ms=0):
    global _rtc, _at
    _rtc = seconds
    _at = ticks_add(_e.ticks(), -ms)


def _corrected(buf, i, n):
    _set(*unpack_from("<qH", buf, i))


_e.on[83] = _corrected  # S


def time():
    return _now()


def time_ns():
    return _now() * 1000000000 + ticks_diff(_e.ticks(), _at) * 1000000


def gmtime(s=None):
    return utime.gmtime((_now() if s is None else s) + _skew)[:8]


localtime = gmtime


def mktime(t):
    return utime.mktime(t) - _skew


if _e.free:
    from utime import sleep_us, ticks_cpu, ticks_us
else:

    def ticks_us():
        return (_e.ticks() * 1000 + _e.us) & _e._PERIOD

    ticks_cpu = ticks_us

    def sleep_us(us):
        # Too short for the site clock to notice; enough of them make a millisecond.
        _e.spin(us + 1)
        sleep_ms(us // 1000)
