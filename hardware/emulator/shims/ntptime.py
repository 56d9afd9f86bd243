"""Sets the real-time clock from the network, where the emulator gives a time server."""

import time
from struct import unpack

host = "pool.ntp.org"
timeout = 1


def time_():
    from _emulator import ask

    r = ask(84, host.encode())  # T
    if len(r) < 8:
        raise OSError(110)
    return unpack("<q", r)[0]


def settime():
    from machine import RTC

    t = time.gmtime(time_())
    RTC().datetime((t[0], t[1], t[2], t[6] + 1, t[3], t[4], t[5], 0))
