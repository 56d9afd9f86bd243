"""machine.RTC of an ESP32: date and time, and the memory that lives through resets."""

from struct import pack

from _emulator import ask, tell


class RTC:
    def datetime(self, t=None):
        import time

        if t is None:
            y, mo, d, h, mi, s, wd, _ = time.gmtime()
            return y, mo, d, wd, h, mi, s, 0
        y, mo, d, _, h, mi, s, us = t
        s = time.mktime((y, mo, d, h, mi, s, 0, 0))
        time._set(s)
        tell(99, pack("<q", s))  # c

    def init(self, t):
        self.datetime(t)

    def memory(self, data=None):
        if data is not None:
            if len(data) > 2048:
                raise ValueError("buffer too long")
            tell(110, bytes(data))  # n
            return None
        data = b""
        while True:  # a packet holds at most 500 bytes of it
            part = ask(109, pack("<H", len(data)))  # m
            data += part
            if len(part) < 500:
                return data
