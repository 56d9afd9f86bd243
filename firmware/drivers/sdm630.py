"""Eastron SDM630: a three-phase meter on RS-485, Modbus RTU, delivered at 9,600 baud.

Owns: which of its registers make a sample. Refuses: asking for a register it has not.
Invariants: four questions make one sample, or none; power is the part's own total. Catalog: sdm630.toml.
"""

from . import Sample, rounded
from .eastron import scaled
from .modbus import READ_INPUT, question
from .talk import Talk

BAUD = 9600
_BLOCKS = ((0x0000, 18), (0x0034, 2), (0x003E, 2), (0x0046, 6))


class SDM630(Talk):
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
        power_mw = scaled(words[18], words[19], 1000)
        return Sample(
            tuple(scaled(words[at], words[at + 1], 1000) for at in (0, 2, 4)),
            tuple(abs(scaled(words[at], words[at + 1], 1000)) for at in (6, 8, 10)),
            rounded(power_mw, 1000),
            power_mw,
            scaled(words[24], words[25], 1000),
            scaled(words[26], words[27], 1000),
            scaled(words[22], words[23], 1000),
            abs(scaled(words[20], words[21], 1000)),
            None,
            None,
            None,
            raw,
        )
