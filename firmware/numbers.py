"""The numbers that must never be used twice, kept on flash.

Owns: boot count, the counter of the last command taken, version of the configuration, number of the last station state.
Refuses: forgetting one: a number is on flash before anything that carries it leaves the device.
Invariant: all of them only rise.
"""

from struct import pack, unpack

from firmware.store import Slots

_RECORD = ">IQIQ"


class Numbers:
    def __init__(self, files):
        self._slots = Slots(files, "numbers")
        record = self._slots.load()
        values = unpack(_RECORD, record) if record is not None else (0, 0, 0, 0)
        self.boot, self.command, self.configuration, self.state = values

    def save(self):
        self._slots.save(pack(_RECORD, self.boot, self.command, self.configuration, self.state))
