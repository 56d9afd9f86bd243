"""One round of readings: every sensor is asked, all are listened to at once, nobody waits for a dead one.

Owns: rounds and their deadline, one sample made from the sensors of several phases, who has not answered for how long.
Refuses: passing an old sample off as a new one.
Invariant: a round ends before the next is due; a reading that takes longer goes on into the next round.
"""

import asyncio

from firmware.drivers import Sample

POLL_MS = 10


class Sensors:
    """`mains` are what the device measures with, `others` what else must be asked (batteries, inverters)."""

    def __init__(self, mains, others, ticks_ms):
        self.mains = mains
        self.others = others
        self._all = mains + others
        self._ticks_ms = ticks_ms
        waits = [watched.driver.wait_ms for watched in mains]
        self._wait_ms = min(waits) if waits else 0

    async def round(self, deadline_ms):
        """The sample of the mains sensors, None if one of them gave none within `deadline_ms`."""
        ticks_ms = self._ticks_ms
        start_ms = now_ms = ticks_ms()
        for watched in self._all:
            watched.begin(now_ms)
        await asyncio.sleep_ms(min(self._wait_ms, deadline_ms))
        while True:
            now_ms = ticks_ms()
            waiting = False
            for watched in self._all:
                if watched.open:
                    watched.listen(now_ms)
                    waiting |= watched.open
            if not waiting or (now_ms - start_ms) & 0x3FFFFFFF >= deadline_ms:
                break
            await asyncio.sleep_ms(POLL_MS)
        for watched in self._all:
            watched.end()
        return self._combined()

    def _combined(self):
        mains = self.mains
        if len(mains) == 1:
            return mains[0].sample
        for watched in mains:
            if watched.sample is None:
                return None
        return combine(mains) if mains else None


def combine(mains):
    """One sample of the sensors of single phases: powers and registers are sums, voltages and currents stay apart."""
    volts, amps = [0, 0, 0], [0, 0, 0]
    watts = milliwatts = 0
    energies = [None, None]
    for place, watched in enumerate(mains):
        phase = (watched.phase or place + 1) - 1
        sample = watched.sample
        volts[phase] = sample.voltage_mv or 0
        amps[phase] = sample.current_ma or 0
        watts += sample.power_w
        milliwatts += sample.power_mw
        for i, wh in enumerate((sample.import_wh, sample.export_wh)):
            if wh is not None:
                energies[i] = (energies[i] or 0) + wh
    first = mains[0].sample
    return Sample(
        tuple(volts), tuple(amps), watts, milliwatts, energies[0], energies[1],
        first.frequency_mhz, None, first.soc_permille, first.temperature_dc, first.stored_wh, None,
    )  # fmt: skip
