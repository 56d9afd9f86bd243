"""Modbus RTU as a master speaks it: questions, the one answer that fits each, and turns on a shared line.

Owns: frames and their CRC, time-outs, silence between frames, who may speak, the rest of a slave that stays dead.
Refuses: an answer that is not whole, not checked, not from this slave or not to this question; waiting for anything.
Invariants: one question is under way on a line at a time; after a silent slave the line stays deaf for as long again,
so that a late answer is thrown away and never taken for the next one; at most one UART read a poll.

The CRC is kept with its two bytes swapped, so that it takes the big-endian words of an answer as they are unpacked:
two table steps a word instead of two rounds of the loop, which is half the instructions of a reading.
"""

from array import array
from struct import unpack_from

from . import BABBLE, CRC, EXCEPTION, FUNCTION, RESTING, SHORT, SILENT, SLAVE, Fault, since

READ_HOLDING = 3
READ_INPUT = 4
WRITE = 16

GAP_MS = 30  # a frame that does not grow for so long has ended, whatever the scheduler did meanwhile
STRIKES = 3  # silent answers in a row before a slave on a shared line is left to rest
REST_MS = 2_000  # the first rest; each is twice the one before
REST_MS_MAX = 60_000


def _tables():
    """Remainders of the reflected polynomial 0xA001, bytes swapped: of a word's second byte, and of its first."""
    second = array("H", bytes(512))
    crc = 1
    step = 128
    while step:  # by doubling: 255 steps instead of 2,048
        crc = (crc >> 1) ^ (0xA001 if crc & 1 else 0)
        for at in range(0, 256, 2 * step):
            second[step + at] = crc ^ second[at]
        step >>= 1
    for at in range(256):
        second[at] = second[at] >> 8 | (second[at] & 0xFF) << 8
    first = array("H", ((crc << 8) & 0xFF00 ^ second[crc >> 8] for crc in second))
    return first, second


_FIRST, _SECOND = _tables()


def _swapped_crc(data):
    crc = 0xFFFF
    for byte in data:
        crc = (crc << 8) & 0xFF00 ^ _SECOND[crc >> 8 ^ byte]
    return crc


def crc16(data):
    """The CRC of RTU frames, which goes over the line low byte first; over a frame that carries its own it is 0."""
    crc = _swapped_crc(data)
    return crc >> 8 | (crc & 0xFF) << 8


def frame(body):
    return body + crc16(body).to_bytes(2, "little")


def question(address, function, register, count):
    """A read, ready for Slave.start: what to send, and length, head, its length, words, CRC so far of the answer."""
    head = bytes((address, function, 2 * count))
    return (
        frame(bytes((address, function, register >> 8, register & 0xFF, 0, count))),
        5 + 2 * count,
        head,
        3,
        ">%dH" % (count + 1),
        _swapped_crc(head),
    )


def order(address, register, values):
    """A write of consecutive holding registers, in the same form; its answer repeats where and how many."""
    head = bytes((address, WRITE, register >> 8, register & 0xFF, 0, len(values)))
    body = bytearray(head)
    body.append(2 * len(values))
    for value in values:
        body.append((value >> 8) & 0xFF)
        body.append(value & 0xFF)
    return frame(bytes(body)), 8, head, 6, ">H", _swapped_crc(head)


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
    """One address on a line: start(question), then poll until the answer's words or a Fault come out."""

    def __init__(self, line, address, timeout_ms=300):
        self.line = line
        self.address = address
        self.timeout_ms = timeout_ms
        self.raw = b""  # the last answer that was taken, whole
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
        """The answer's words (the last is its CRC), None while it is not there. Faults end the question."""
        line = self.line
        if line.owner is not self:
            return self._wait_turn(now_ms)
        _, length, head, skip, shape, crc = self._asked
        count = line.any()
        if count < length:
            return self._wait_more(count, now_ms)
        answer = line.read(count)
        self._asked = line.owner = None
        line.mark_ms = now_ms
        line.hold_ms = line.silence_ms
        if count != length:
            raise Fault(BABBLE, count)
        if answer.startswith(head):
            words = unpack_from(shape, answer, skip)
            first = _FIRST
            second = _SECOND
            for word in words:
                crc ^= word
                crc = first[crc >> 8] ^ second[crc & 0xFF]
            if not crc:
                self._strikes = 0
                self.raw = answer
                return words
        raise self._misfit(answer, head)

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
                head = self._asked[2]
                answer = self.line.read(count)
                self._asked = None
                self.line.hold(now_ms, self.line.silence_ms)
                raise self._misfit(answer, head)
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

    def _misfit(self, answer, head):
        """What is wrong with bytes that are not the answer."""
        if len(answer) < 5:
            return Fault(SHORT, len(answer))
        if crc16(answer):
            return Fault(CRC, len(answer))
        self._strikes = 0
        if answer[0] != head[0]:
            return Fault(SLAVE, answer[0])
        if answer[1] == head[1] | 0x80:
            return Fault(EXCEPTION, answer[2])
        if answer[1] != head[1]:
            return Fault(FUNCTION, answer[1])
        return Fault(SHORT, len(answer))


class Talk:
    """A reading of several questions, written as a generator: it yields questions, is sent the words of each answer,
    may catch a Fault and ask something else, and returns the sample. A driver is a Talk with a `_reading` method."""

    def __init__(self, line, address, timeout_ms):
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
        except Fault as fault:
            heard = fault
        if heard is None:
            return None
        self._steps = None  # unless it asks on, it is over: with a sample, or with a fault that comes out here
        try:
            asked = steps.throw(heard) if isinstance(heard, Fault) else steps.send(heard)
        except StopIteration as end:
            return end.value
        self._steps = steps
        self._slave.start(asked, now_ms)
        return None
