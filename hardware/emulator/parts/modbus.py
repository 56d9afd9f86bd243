"""Modbus RTU as a slave speaks it, and the parts whose registers the catalog lists.

Owns: frames, exceptions, broadcast, the rules of reads and writes, failures of the line's far end.
Refuses: answering a frame that is broken or for somebody else, as real slaves do.
Invariants: one frame in, at most one frame out, no sooner than the part's turnaround; no import from firmware, so that
the two ends of a line check each other.
"""

import random
from abc import abstractmethod
from collections.abc import Mapping, Sequence

from hardware.catalog import Part, Register

from ..port import Scheduled
from .gauge import Failure, Gauge

BROADCAST = 0
ILLEGAL_FUNCTION, ILLEGAL_ADDRESS, ILLEGAL_VALUE, DEVICE_FAILURE = 1, 2, 3, 4


def _crc(byte: int) -> int:
    for _ in range(8):
        byte = byte >> 1 ^ (0xA001 if byte & 1 else 0)
    return byte


_CRC = tuple(_crc(byte) for byte in range(256))


def crc16(data: bytes) -> bytes:
    """The CRC as it goes over the line."""
    crc = 0xFFFF
    for byte in data:
        crc = crc >> 8 ^ _CRC[(crc ^ byte) & 0xFF]
    return crc.to_bytes(2, "little")


class Refused(Exception):
    """What a slave answers with an exception."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class Registers:
    """What a slave does with a request, whatever carried it. Subclasses hold the registers."""

    max_count = 125

    @abstractmethod
    def read(self, function: int, address: int, count: int, now_us: int) -> Sequence[int]:
        """The registers, or Refused."""

    def write(self, address: int, values: Sequence[int], now_us: int) -> None:
        """Holding registers, or Refused."""
        raise Refused(ILLEGAL_FUNCTION)

    def special(self, function: int, body: bytes, now_us: int) -> bytes:
        """Functions that only this part has: the answer's PDU, or Refused."""
        raise Refused(ILLEGAL_FUNCTION)

    def respond(self, pdu: bytes, now_us: int) -> bytes | None:
        """The answer's PDU; None to a request of a length that its function cannot have."""
        function, body = pdu[0], pdu[1:]
        try:
            return self._respond(function, body, now_us)
        except Refused as refused:
            return bytes((function | 0x80, refused.code))

    def _respond(self, function: int, body: bytes, now_us: int) -> bytes | None:
        if function in (3, 4):
            if len(body) != 4:
                return None
            address, count = int.from_bytes(body[:2], "big"), int.from_bytes(body[2:], "big")
            if not 1 <= count <= self.max_count:
                raise Refused(ILLEGAL_VALUE)
            words = self.read(function, address, count, now_us)
            return bytes((function, 2 * count)) + b"".join(word.to_bytes(2, "big") for word in words)
        if function == 6:
            if len(body) != 4:
                return None
            self.write(int.from_bytes(body[:2], "big"), [int.from_bytes(body[2:], "big")], now_us)
            return bytes((6,)) + body
        if function == 16:
            count = int.from_bytes(body[2:4], "big")
            if len(body) != 5 + 2 * count or body[4] != 2 * count or not count:
                return None
            values = [int.from_bytes(body[at : at + 2], "big") for at in range(5, len(body), 2)]
            self.write(int.from_bytes(body[:2], "big"), values, now_us)
            return bytes((16,)) + body[:4]
        return self.special(function, body, now_us)


class RtuSlave:
    """A UartPart: registers behind an address on a serial line."""

    def __init__(self, registers: Registers, address: int, baudrate: int, turnaround_us: int, seed: int = 0) -> None:
        self.registers = registers
        self.address = address
        self.general: int | None = None  # an address that any part answers that is alone on its line
        self.baudrate = baudrate
        self.gap_us = 1_750 if baudrate > 19_200 else 38_500_000 // baudrate
        self.turnaround_us = turnaround_us
        self.failure = Failure.NONE
        self._random = random.Random(seed)

    def receive(self, data: bytes, now_us: int) -> Scheduled:
        if self.failure is Failure.DEAD:
            return []
        if self.failure is Failure.BABBLING:
            return [(now_us + 1_000, self._random.randbytes(self._random.randrange(1, 80)))]
        if len(data) < 4 or crc16(data[:-2]) != data[-2:]:
            return []
        if data[0] not in (self.address, self.general, BROADCAST):
            return []
        answer = self.registers.respond(data[1:-2], now_us)
        if answer is None or data[0] == BROADCAST:
            return []
        frame = data[:1] + answer
        return [(now_us + self.turnaround_us, frame + crc16(frame))]


class CatalogRegisters(Registers):
    """The registers of a catalog part: measured values are asked for when they are read, settings are kept."""

    gaps_read_zero = False

    def __init__(self, part: Part) -> None:
        self.part = part
        self.max_count = part.max_count
        self._at = {(r.function, r.address + word): (r, word) for r in part.registers for word in range(r.words)}
        self.settings = {r.name: float(r.default) for r in part.registers if r.function == 3}

    @abstractmethod
    def measured(self, now_us: int) -> Mapping[str, float]:
        """What the part measures, by register, in the register's own unit."""

    def changed(self, register: Register) -> None:
        """A setting was written."""

    def read(self, function: int, address: int, count: int, now_us: int) -> Sequence[int]:
        first, last = self._at.get((function, address)), self._at.get((function, address + count - 1))
        if first is None or last is None or first[1] != 0 or last[1] != last[0].words - 1:
            raise Refused(ILLEGAL_ADDRESS)  # not listed, or half a value
        values = self.settings if function == 3 else self.measured(now_us)
        return [self._word(function, address + at, values) for at in range(count)]

    def _word(self, function: int, address: int, values: Mapping[str, float]) -> int:
        found = self._at.get((function, address))
        if found is None:
            if self.gaps_read_zero:
                return 0
            raise Refused(ILLEGAL_ADDRESS)
        register, word = found
        return register.encode(values[register.name])[word]

    def write(self, address: int, values: Sequence[int], now_us: int) -> None:
        found = self._at.get((3, address))
        if found is None or not found[0].writable:
            raise Refused(ILLEGAL_ADDRESS)
        register = found[0]
        if len(values) != register.words:
            raise Refused(ILLEGAL_VALUE)
        self.settings[register.name] = float(register.raw(values))
        self.changed(register)


class MeterPart(RtuSlave):
    """A meter on a serial line: registers, and a gauge that can freeze and drift."""

    def __init__(
        self, registers: Registers, gauge: Gauge, part: Part, address: int, baudrate: int | None, seed: int
    ) -> None:
        super().__init__(
            registers, address, baudrate or part.baudrates[0], part.pace["turnaround_ms"] * 1000, seed
        )
        self.gauge = gauge

    def fail(self, failure: Failure, now_us: int) -> None:
        self.failure = failure
        self.gauge.fail(failure, now_us)
