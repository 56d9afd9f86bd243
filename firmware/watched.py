"""A driver and what it last said.

Owns: one reading at a time, how long a part has been silent, how long it has said the same.
Refuses: passing an old sample off as a new one.
"""

from firmware.drivers import Fault


class Watched:
    def __init__(self, driver, phase=0):
        self.driver = driver
        self.phase = phase
        self.open = False
        self.sample = None  # of this round
        self.last = None  # of any round
        self.missed = 0  # rounds in a row without a sample
        self.fault = ""
        self.same = 0  # samples in a row with the same raw bytes
        self._raw = None

    def begin(self, now_ms):
        self.sample = None
        if not self.open:
            self.driver.start(now_ms)
            self.open = True

    def listen(self, now_ms):
        try:
            sample = self.driver.poll(now_ms)
        except Fault as fault:
            self.open = False
            self.fault = fault.reason
            return
        if sample is not None:
            self.open = False
            self.sample = self.last = sample
            self.same = self.same + 1 if sample.raw is not None and sample.raw == self._raw else 0
            self._raw = sample.raw

    def end(self):
        self.missed = 0 if self.sample is not None else self.missed + 1
