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
        self._sample = Sample()
        self.wait_ms = self._slave.wait_ms(self._question)

    def start(self, now_ms):
        self._slave.start(self._question, now_ms)

    def poll(self, now_ms):
        answer = self._slave.poll(now_ms)
        return None if answer is None else self._take(answer)

    def _take(self, words):
        """Word n of the answer is at bytes 3 + 2n; 32-bit values come low word first."""
        volts = words[3] << 8 | words[4]
        amps = words[7] << 24 | words[8] << 16 | words[5] << 8 | words[6]
        power = words[11] << 24 | words[12] << 16 | words[9] << 8 | words[10]
        hertz = words[17] << 8 | words[18]
        factor = words[20]
        if volts > 3000 or amps > 120_000 or power > 330_000 or hertz > 700 or factor > 100:
            raise Fault(RANGE)
        energy = words[15] << 24 | words[16] << 16 | words[13] << 8 | words[14]
        sample = self._sample
        sample.voltage_mv = volts * 100
        sample.current_ma = amps
        sample.frequency_mhz = hertz * 100
        sample.power_factor_milli = factor * 10
        sample.raw = words
        watts = (power + 5) // 10
        if self._export:
            sample.power_w = -watts
            sample.power_mw = power * -100
            sample.export_wh = energy
        else:
            sample.power_w = watts
            sample.power_mw = power * 100
            sample.import_wh = energy
        return sample
