"""ATECC608 secure element on I2C: as much of it as a device's key needs.

Owns: sleep, idle and the watchdog, the I/O buffer, frames with their CRC, Info, Random, Nonce, GenKey, Sign, ECDH, and
Read of the configuration's lock bytes; how long each takes.
Refuses: what is not emulated, by the parse error that the chip has for what it does not know.
Invariants: a private key is in no answer; while it works or sleeps it acknowledges nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

_WORD_RESET, _WORD_SLEEP, _WORD_IDLE, _WORD_COMMAND = range(4)
_WAKE_LOW_US = 60
_WAKE_US = 1_500
_WATCHDOG_US = 1_300_000
_AWAKE: Final = b"\x11"
_BUFFER_END = 0xFF  # what is read beyond an answer
_UNLOCKED, _LOCKED = b"\x55", b"\x00"
_LOCK_WORD = 84 // 4  # the configuration's bytes 84 to 87: two others, then the locks of data and configuration


class Status(IntEnum):
    DONE = 0x00
    PARSE = 0x03
    ECC = 0x05
    EXECUTION = 0x0F
    COMMUNICATION = 0xFF


class Refused(Exception):
    """A command that the chip answers with a status."""

    def __init__(self, status: Status) -> None:
        super().__init__(status.name)
        self.status = status


@dataclass(frozen=True)
class Frame:
    """A command: what it is to do, with which key or address."""

    opcode: int
    mode: int
    key: int
    data: bytes


def crc16(data: bytes) -> bytes:
    """x^16 + x^15 + x^2 + 1, bits from the lowest, remainder not turned round, low byte first."""
    crc = 0
    for byte in data:
        for bit in range(8):
            feedback = (byte >> bit & 1) ^ crc >> 15
            crc = crc << 1 & 0xFFFF ^ (0x8005 if feedback else 0)
    return crc.to_bytes(2, "little")


def framed(data: bytes) -> bytes:
    counted = bytes((len(data) + 3,)) + data
    return counted + crc16(counted)


class Atecc608:
    """`locked` is what a part is once its configuration has been written; an unlocked one makes no keys."""

    def __init__(self, random: Callable[[int], bytes], address: int = 0x60, locked: bool = True) -> None:
        self.address = address
        self.keys: dict[int, ec.EllipticCurvePrivateKey] = {}
        self.locked = locked
        self._random = random
        self._digest: bytes | None = None  # the message digest buffer
        self._awake = False
        self._awake_until_us = 0
        self._ready_us = 0
        self._answer = b""
        self._read_at = 0
        # opcode -> (what it does, how long at most with the undivided clock)
        self._commands = {
            0x02: (self._read_config, 5_000),
            0x16: (self._nonce, 20_000),
            0x1B: (self._random_bytes, 23_000),
            0x30: (self._info, 5_000),
            0x40: (self._gen_key, 115_000),
            0x41: (self._sign, 115_000),
            0x43: (self._ecdh, 75_000),
        }

    # ---- the bus

    def wake(self, now_us: int, low_us: int) -> None:
        """The data line was low for so long."""
        if low_us >= _WAKE_LOW_US and not self._is_awake(now_us):
            self._awake = True
            self._ready_us = now_us + _WAKE_US
            self._awake_until_us = now_us + _WATCHDOG_US
            self._give(_AWAKE)

    def write(self, data: bytes, now_us: int) -> bool:
        if not self._listens(now_us):
            return False
        if data[:1] == bytes((_WORD_RESET,)):
            self._read_at = 0
        elif data[:1] in (bytes((_WORD_SLEEP,)), bytes((_WORD_IDLE,))):
            self._awake = False
            if data[0] == _WORD_SLEEP:
                self._digest = None
        elif data[:1] == bytes((_WORD_COMMAND,)):
            self._run(data[1:], now_us)
        return True

    def read(self, count: int, now_us: int) -> bytes | None:
        if not self._listens(now_us):
            return None
        part = self._answer[self._read_at : self._read_at + count]
        self._read_at += count
        return part.ljust(count, bytes((_BUFFER_END,)))

    def _is_awake(self, now_us: int) -> bool:
        if self._awake and now_us >= self._awake_until_us:
            self._awake, self._digest = False, None
        return self._awake

    def _listens(self, now_us: int) -> bool:
        return self._is_awake(now_us) and now_us >= self._ready_us

    def _give(self, data: bytes) -> None:
        self._answer, self._read_at = framed(data), 0

    # ---- commands

    def _run(self, raw: bytes, now_us: int) -> None:
        size = raw[0] if raw else 0
        if not 7 <= size <= len(raw) or raw[size - 2 : size] != crc16(raw[: size - 2]):
            self._give(bytes((Status.COMMUNICATION,)))
            return
        frame = Frame(raw[1], raw[2], int.from_bytes(raw[3:5], "little"), raw[5 : size - 2])
        command, takes_us = self._commands.get(frame.opcode, (self._unknown, 1_000))
        try:
            self._give(command(frame))
        except Refused as refused:
            self._give(bytes((refused.status,)))
        self._ready_us = now_us + takes_us

    def _unknown(self, frame: Frame) -> bytes:
        raise Refused(Status.PARSE)

    def _info(self, frame: Frame) -> bytes:
        if frame.mode:
            raise Refused(Status.PARSE)
        return b"\x00\x00\x60\x02"

    def _random_bytes(self, frame: Frame) -> bytes:
        return self._random(32) if self.locked else b"\xff\xff\x00\x00" * 8

    def _read_config(self, frame: Frame) -> bytes:
        if frame.mode != 0 or frame.key != _LOCK_WORD:
            raise Refused(Status.PARSE)
        return b"\x00\x00" + (_LOCKED if self.locked else _UNLOCKED) * 2

    def _nonce(self, frame: Frame) -> bytes:
        """Only passed through, and only into the message digest buffer."""
        if frame.mode != 0x43 or len(frame.data) != 32:
            raise Refused(Status.PARSE)
        self._digest = frame.data
        return bytes((Status.DONE,))

    def _gen_key(self, frame: Frame) -> bytes:
        self._slot(frame)
        if frame.mode == 0x04:
            if not self.locked:
                raise Refused(Status.EXECUTION)
            self.keys[frame.key] = ec.generate_private_key(ec.SECP256R1())
        elif frame.mode:
            raise Refused(Status.PARSE)
        public = self._key(frame).public_key()
        return public.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)[1:]

    def _sign(self, frame: Frame) -> bytes:
        """An external message from the digest buffer."""
        if frame.mode != 0xA0:
            raise Refused(Status.PARSE)
        key = self._key(frame)
        if self._digest is None:
            raise Refused(Status.EXECUTION)
        signature = key.sign(self._digest, ec.ECDSA(utils.Prehashed(SHA256())))
        self._digest = None
        return b"".join(number.to_bytes(32, "big") for number in utils.decode_dss_signature(signature))

    def _ecdh(self, frame: Frame) -> bytes:
        if frame.mode or len(frame.data) != 64:
            raise Refused(Status.PARSE)
        key = self._key(frame)
        try:
            peer = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), b"\x04" + frame.data)
        except ValueError as error:
            raise Refused(Status.ECC) from error
        return key.exchange(ec.ECDH(), peer)

    def _slot(self, frame: Frame) -> None:
        if frame.key > 15:
            raise Refused(Status.PARSE)

    def _key(self, frame: Frame) -> ec.EllipticCurvePrivateKey:
        self._slot(frame)
        if frame.key not in self.keys:
            raise Refused(Status.EXECUTION)
        return self.keys[frame.key]
