"""The numbers that must never be used twice, kept on flash.

Owns: boot count, the counter of the last command taken, version of the configuration, number of the last station state.
Refuses: a number that is not above the last; forgetting one: it is on flash before anything that carries it leaves.
"""

from struct import pack, unpack

from firmware.store import Slots

_NAMES = ("boot", "command", "configuration", "state")
_RECORD = ">IQIQ"


class Numbers:
    def __init__(self, files):
        self._slots = Slots(files, "numbers")
        record = self._slots.load()
        self._set(unpack(_RECORD, record) if record is not None else (0, 0, 0, 0))

    def _set(self, values):
        self.boot, self.command, self.configuration, self.state = values

    def keep(self, name, value):
        """On flash first: if that fails (OSError), the number is not taken."""
        assert value > getattr(self, name)
        values = [value if each == name else getattr(self, each) for each in _NAMES]
        self._slots.save(pack(_RECORD, *values))
        self._set(values)
