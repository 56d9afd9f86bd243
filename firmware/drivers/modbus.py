"""Modbus RTU as a master speaks it: questions, the one answer that fits each, and turns on a shared line.

Owns: frames and their CRC, time-outs, silence between frames, who may speak, the rest of a slave that stays dead.
Refuses: an answer that is not whole, not checked, not from this slave or not to this question; waiting for anything.
Invariants: one question is under way on a line at a time; after a silent slave the line stays deaf for as long again,
so that a late answer is thrown away and never taken for the next one; at most one UART read a poll.
"""

import sys

from . import BABBLE, CRC, EXCEPTION, FUNCTION, RESTING, SHORT, SILENT, SLAVE, Fault, since

# MicroPython puts the architecture of its native code here, 0 for none.
if getattr(sys.implementation, "_mpy", 0) >> 10 & 15:
    from .crc_native import remainder
else:
    from .crc_plain import remainder

READ_HOLDING = 3
READ_INPUT = 4
WRITE = 16

GAP_MS = 30  # a frame that does not grow for so long has ended, whatever the scheduler did meanwhile
STRIKES = 3  # silent answers in a row before a slave on a shared line is left to rest
REST_MS = 2_000  # the first rest; each is twice the one before
REST_MS_MAX = 60_000


def crc16(data):
    """The CRC of RTU frames, which goes over the line low byte first."""
    return remainder(data, len(data))


def frame(body):
    return body + crc16(body).to_bytes(2, "little")


def question(address, function, register, count):
    """A read, ready for Slave.start: what to send, the length of its answer, how the answer begins."""
    body = bytes((address, function, register >> 8, register & 0xFF, 0, count))
    return frame(body), 5 + 2 * count, bytes((address, function, 2 * count))


def order(address, register, values):
    """A write of consecutive holding registers, in the same form; its answer repeats where and how many."""
    head = bytes((address, WRITE, register >> 8, register & 0xFF, 0, len(values)))
    body = bytearray(head)
    body.append(2 * len(values))
    for value in values:
        body.append((value >> 8) & 0xFF)
        body.append(value & 0xFF)
    return frame(bytes(body)), 8, head


class Line:
    """A UART with one master and any number of slaves. `direction` switches a transceiver that cannot do it itself."""

    def __init__(self, uart, baud, direction=None):
        self.baud = baud
        self.any = uart.any
        self.read = uart.read
        self.write = uart.write if direction is None else self._write_directed
        self._uart = uart
        self._direction = direction
        self.silence_ms = 2 + 38_500 // baud  # 3.5 characters of 11 bits end a frame
        self.slaves = 0
        self.owner = None
        self.mark_ms = 0  # from here on
        self.hold_ms = 0  # nobody may speak for so long
        self._noise_ms = self._noise_last_ms = 0

    def hold(self, now_ms, hold_ms):
        """Nobody's turn, and not before so long."""
        self.owner = None
        self.mark_ms = now_ms
        self.hold_ms = hold_ms

    def quiet(self, now_ms):
        """May somebody speak? What came unasked is thrown away, and then there must be silence first."""
        if self.owner is not None or since(now_ms, self.mark_ms) < self.hold_ms:
            return False
        if not self.any():
            return True
        self.read()
        if since(now_ms, self._noise_last_ms) > 4 * GAP_MS:
            self._noise_ms = now_ms
        self._noise_last_ms = now_ms
        self.hold(now_ms, self.silence_ms)
        return False

    def noise_ms(self):
        """How long the last noise went on whenever somebody wanted to speak."""
        return since(self._noise_last_ms, self._noise_ms)

    def _write_directed(self, data):
        self._direction(1)
        self._uart.write(data)
        self._uart.flush()  # 8 to 30 bytes; the slave answers no sooner than 3.5 characters later
        self._direction(0)


class Slave:
    """One address on a line: start(question), then poll until the answer's bytes or a Fault come out."""

    def __init__(self, line, address, timeout_ms=300):
        self.line = line
        self.address = address
        self.timeout_ms = timeout_ms
        self._asked = None
        self._since_ms = 0
        self._seen = 0
        self._grew_ms = 0
        self._strikes = 0
        self._struck_ms = 0
        self._rest_ms = 0
        line.slaves += 1

    def wait_ms(self, asked):
        """No answer can be whole sooner than this after the question: time for the loop to sleep."""
        return (len(asked[0]) + asked[1]) * 10_000 // self.line.baud

    def start(self, asked, now_ms):
        line = self.line
        self._asked = asked
        self._since_ms = now_ms
        self._seen = 0
        # Line.quiet spelt out: this is on the way of every reading
        if line.owner is None:
            if (now_ms - line.mark_ms) & 0x3FFFFFFF >= line.hold_ms and not self._rest_ms and not line.any():
                line.owner = self
                line.write(asked[0])
        elif line.owner is self:
            line.hold(now_ms, self.timeout_ms)  # the question before was dropped: its answer may still come

    def poll(self, now_ms):
        """The whole answer, CRC included, None while it is not there. Faults end the question."""
        line = self.line
        if line.owner is not self:
            return self._wait_turn(now_ms)
        asked = self._asked
        count = line.any()
        if count < asked[1]:
            return self._wait_more(count, now_ms)
        answer = line.read(count)
        self._asked = line.owner = None
        line.mark_ms = now_ms
        line.hold_ms = line.silence_ms
        if count == asked[1] and not remainder(answer, count) and answer.startswith(asked[2]):
            self._strikes = 0
            return answer
        raise self._misfit(answer, asked)

    def _wait_turn(self, now_ms):
        if self._asked is None:
            return
        line = self.line
        if self._rest_ms:
            if since(now_ms, self._struck_ms) < self._rest_ms:
                self._asked = None
                raise Fault(RESTING, self._rest_ms)
            self._rest_ms = 0
        if line.quiet(now_ms):
            line.owner = self
            self._since_ms = now_ms
            line.write(self._asked[0])
        elif line.owner is None:
            if line.noise_ms() > self.timeout_ms:
                self._asked = None
                raise Fault(BABBLE)
        elif since(now_ms, line.owner._since_ms) > 4 * line.owner.timeout_ms:
            line.hold(now_ms, 0)  # its driver is no longer polled

    def _wait_more(self, count, now_ms):
        if count != self._seen:
            self._seen = count
            self._grew_ms = now_ms
        elif count:
            if since(now_ms, self._grew_ms) >= GAP_MS:
                asked = self._asked
                answer = self.line.read(count)
                self._asked = None
                self.line.hold(now_ms, self.line.silence_ms)
                raise self._misfit(answer, asked)
        elif since(now_ms, self._since_ms) >= self.timeout_ms:
            self._asked = None
            self.line.hold(now_ms, self.timeout_ms)
            self._strike(now_ms)
            raise Fault(SILENT, self._strikes)

    def _strike(self, now_ms):
        self._strikes += 1
        if self._strikes >= STRIKES and self.line.slaves > 1:
            self._rest_ms = min(REST_MS << min(self._strikes - STRIKES, 5), REST_MS_MAX)
            self._struck_ms = now_ms

    def _misfit(self, answer, asked):
        """What is wrong with bytes that are not the answer."""
        size = len(answer)
        if size > asked[1] or size < 5:
            return Fault(BABBLE if size > 5 else SHORT, size)
        if remainder(answer, size):
            return Fault(CRC, size)
        self._strikes = 0
        head = asked[2]
        if answer[0] != head[0]:
            return Fault(SLAVE, answer[0])
        if answer[1] == head[1] | 0x80:
            return Fault(EXCEPTION, answer[2])
        if answer[1] != head[1]:
            return Fault(FUNCTION, answer[1])
        return Fault(SHORT, size)
