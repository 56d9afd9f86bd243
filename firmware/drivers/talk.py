"""Readings that take several questions.

Owns: the conversation, one question after the other. Refuses: half a reading: it ends with a sample or with a fault.
Invariant: a reading that was dropped or failed begins anew with its first question.
"""

from struct import unpack_from

from . import Fault
from .modbus import Slave


class Talk:
    """A reading of several questions, written as a generator: it yields questions, is sent each answer's registers, may
    catch a Fault and ask something else, and returns the sample. A driver is a Talk with a `_reading` method.
    `raw` is the last answer, whole."""

    def __init__(self, line, address, timeout_ms):
        self.raw = b""
        self._slave = Slave(line, address, timeout_ms)
        self._steps = None

    def start(self, now_ms):
        self._steps = self._reading(now_ms)
        self._slave.start(next(self._steps), now_ms)

    def poll(self, now_ms):
        steps = self._steps
        if steps is None:
            return None
        try:
            heard = self._slave.poll(now_ms)
            if heard is None:
                return None
            self.raw = heard
            heard = unpack_from(">%dH" % ((len(heard) - 5) // 2), heard, 3)
        except Fault as fault:
            heard = fault
        self._steps = None  # unless it asks on, it is over: with a sample, or with a fault that comes out here
        try:
            asked = steps.throw(heard) if isinstance(heard, Fault) else steps.send(heard)
        except StopIteration as end:
            return end.value
        self._steps = steps
        self._slave.start(asked, now_ms)
        return None
