"""PZEM-004T v3 and v4: a single-phase meter on a UART, Modbus RTU at 9,600 baud. The two versions speak alike.

Owns: its one block of registers and their units.
Refuses: numbers outside what the part can measure.
Invariants: the part knows no direction (its power is a magnitude), so whoever wires it says which way it counts; it
hangs on the mains it measures, and is silent when that is gone. Catalog: pzem004t_v3.toml, pzem004t_v4.toml.
"""

from . import RANGE, Fault, Sample
from .modbus import READ_INPUT, Slave, question

BAUD = 9600


class PZEM004T:
    """`export` is for one that measures a generator: power is then negative and its register the export register."""

    def __init__(self, line, address=1, export=False):
        self._slave = Slave(line, address)
        self._question = question(address, READ_INPUT, 0, 10)
        self._export = export
        self.wait_ms = self._slave.wait_ms(self._question)

    def start(self, now_ms):
        self._slave.start(self._question, now_ms)

    def poll(self, now_ms):
        words = self._slave.poll(now_ms)
        if words is None:
            return None
        # 32-bit values come low word first; the last two words are the alarm and the CRC
        volts, amps, amps_high, power, power_high, energy, energy_high, hertz, factor, _, _ = words
        if amps_high:
            amps |= amps_high << 16
        if power_high:
            power |= power_high << 16
        if energy_high:
            energy |= energy_high << 16
        if volts > 3000 or amps > 120_000 or power > 330_000 or hertz > 700 or factor > 100:
            raise Fault(RANGE)
        watts = (power + 5) // 10
        power *= 100
        exported = None
        if self._export:
            watts, power, energy, exported = -watts, -power, None, energy
        raw = self._slave.raw
        return Sample(
            volts * 100, amps, watts, power, energy, exported, hertz * 100, factor * 10, None, None, None, raw
        )
