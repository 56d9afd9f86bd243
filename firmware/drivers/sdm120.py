"""Eastron SDM120: a single-phase meter on RS-485, Modbus RTU, delivered at 2,400 baud.

Owns: which of its registers make a sample. Refuses: asking for a register it has not: that is an exception.
Invariants: five questions make one sample, or none; at 2,400 baud that takes 0.6 s. Catalog: sdm120.toml.
"""

from . import Sample, rounded
from .eastron import scaled
from .modbus import READ_INPUT, question
from .talk import Talk

BAUD = 2400
_BLOCKS = ((0x0000, 2), (0x0006, 2), (0x000C, 2), (0x001E, 2), (0x0046, 6))


class SDM120(Talk):
    def __init__(self, line, address=1, timeout_ms=300):
        super().__init__(line, address, timeout_ms)
        self._questions = [question(address, READ_INPUT, register, count) for register, count in _BLOCKS]
        self.wait_ms = self._slave.wait_ms(self._questions[0])

    def _reading(self, now_ms):
        words = []
        raw = b""
        for asked in self._questions:
            words.extend((yield asked))
            raw += self.raw[3:-2]
        power_mw = scaled(words[4], words[5], 1000)
        return Sample(
            scaled(words[0], words[1], 1000),
            abs(scaled(words[2], words[3], 1000)),
            rounded(power_mw, 1000),
            power_mw,
            scaled(words[10], words[11], 1000),
            scaled(words[12], words[13], 1000),
            scaled(words[8], words[9], 1000),
            abs(scaled(words[6], words[7], 1000)),
            None,
            None,
            None,
            raw,
        )
