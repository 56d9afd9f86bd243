"""The device's key in a Microchip ATECC608 on I2C: made there, and never out of it.

Owns: the driver (waking, frames, CRC, waiting, repeating) and the signer on top.
Refuses: a part that is not an ATECC608, or whose configuration is not locked: it would make no keys, and its
configuration is written once, on the bench (docs/hardware.md).
Invariants: the part sleeps between two uses; an answer is taken only with its CRC; only `generate` makes a key.

The bus must run at 100 kHz or less: the part wakes by a data line that is low for 60 us, the eight bits of address 0.
A signature blocks the caller for up to 170 ms.
"""

from hashlib import sha256

from firmware.crypto import p256
from wire.ids import kid_of

_INFO, _READ, _NONCE, _RANDOM, _GENKEY, _SIGN, _ECDH = 0x30, 0x02, 0x16, 0x1B, 0x40, 0x41, 0x43
_REWIND, _SLEEP, _COMMAND = b"\x00", b"\x01", b"\x03"
_AWAKE = b"\x04\x11\x33\x43"
_TRIES = 3
_WAKE_MS = 2
_POLL_MS = 2
_LONGEST_MS = 1000  # a divided clock takes 665 ms to sign

_WORDS = {
    0x03: "does not know the command",
    0x05: "refuses the point",
    0x07: "failed its self-test",
    0x08: "failed its health test",
    0x0F: "cannot do that now: no such key, or not locked",
    0xEE: "was about to fall asleep",
    0xFF: "heard a broken frame",
}


class ElementError(OSError):
    """The part is silent, garbled, or says no. `status` is what it said, or None."""

    def __init__(self, words: str, status: "int | None" = None) -> None:
        super().__init__("ATECC608 " + words)
        self.status = status


def crc16(data: bytes) -> bytes:
    """x^16 + x^15 + x^2 + 1, bits from the lowest, remainder not turned round, low byte first."""
    crc = 0
    for byte in data:
        for bit in range(8):
            feedback = (byte >> bit ^ crc >> 15) & 1
            crc = crc << 1 & 0xFFFF ^ feedback * 0x8005
    return bytes((crc & 255, crc >> 8))


class Atecc608:
    """One part. `i2c` is a machine.I2C, sleep_ms that of time."""

    def __init__(self, i2c, sleep_ms, address: int = 0x60) -> None:
        self._i2c = i2c
        self._sleep_ms = sleep_ms
        self._address = address

    def check(self) -> None:
        """Raises ElementError unless this is an ATECC608 that is ready for use."""
        (revision,) = self.use((_INFO, 0, 0, b"", 4))
        if revision[2] != 0x60:
            raise ElementError("is another part: " + repr(revision))
        (lock,) = self.use((_READ, 0, 84 // 4, b"", 4))
        if lock[3] != 0:
            raise ElementError("is not configured: its configuration zone is open")

    def generate(self, slot: int) -> bytes:
        """Make a new key in this slot; its public key. A key that stood there is gone."""
        return b"\x04" + self.use((_GENKEY, 4, slot, b"", 64))[0]

    def public_key(self, slot: int) -> bytes:
        return b"\x04" + self.use((_GENKEY, 0, slot, b"", 64))[0]

    def sign(self, slot: int, digest: bytes) -> bytes:
        """The random number before it renews the generator's seed, as the maker's own library does."""
        return self.use((_RANDOM, 0, 0, b"", 32), (_NONCE, 0x43, 0, digest, 1), (_SIGN, 0xA0, slot, b"", 64))[2]

    def shared_secret(self, slot: int, public_key: bytes) -> bytes:
        return self.use((_ECDH, 0, slot, public_key[1:], 32))[0]

    def use(self, *commands) -> "list[bytes]":
        """Wake, run (opcode, mode, key, data, size of the answer) one after another, sleep; the answers.

        What the part refuses it would refuse again; what was garbled on the way is done anew, a new key as well.
        """
        for left in range(_TRIES - 1, -1, -1):
            try:
                self._wake()
                return [self._run(*command) for command in commands]
            except ElementError as error:
                if not left or error.status in (0x03, 0x05, 0x0F):
                    raise
            finally:
                self._sleep()
        raise AssertionError

    def _wake(self) -> None:
        """One that a reset of ours left awake must sleep first."""
        for _ in range(_TRIES):
            try:
                self._i2c.writeto(0, b"")
            except OSError:  # nobody acknowledges address 0
                pass
            self._sleep_ms(_WAKE_MS)
            try:
                if self._read(4, 0) == _AWAKE:
                    return
            except ElementError:
                continue
            self._sleep()
        raise ElementError("does not wake")

    def _sleep(self) -> None:
        try:
            self._i2c.writeto(self._address, _SLEEP)
        except OSError:  # it sleeps, or is gone, which the next use will say
            pass

    def _run(self, opcode: int, mode: int, key: int, data: bytes, size: int) -> bytes:
        frame = bytes((7 + len(data), opcode, mode, key & 255, key >> 8)) + data
        try:
            self._i2c.writeto(self._address, _COMMAND + frame + crc16(frame))
        except OSError:
            raise ElementError("does not take a command") from None
        answer = self._answer(3 + size)
        if answer[0] == 4 and answer[1]:
            raise ElementError(_WORDS.get(answer[1], "says %d" % answer[1]), answer[1])
        if answer[0] != 3 + size:
            raise ElementError("answers %d bytes instead of %d" % (answer[0], 3 + size))
        return answer[1:-2]

    def _answer(self, size: int) -> bytes:
        """A frame with a good CRC; what was garbled on the way is read again, it still stands in the part's buffer."""
        for _ in range(_TRIES):
            raw = self._read(size, _LONGEST_MS)
            end = raw[0] - 2
            if 2 <= end <= size - 2 and crc16(raw[:end]) == raw[end : end + 2]:
                return raw[: end + 2]
        raise ElementError("answers without a good CRC")

    def _read(self, size: int, longest_ms: int) -> bytes:
        """The first bytes of its buffer; it acknowledges nothing while it works."""
        for _ in range(longest_ms // _POLL_MS + 1):
            try:
                self._i2c.writeto(self._address, _REWIND)
                return self._i2c.readfrom(self._address, size)
            except OSError:
                self._sleep_ms(_POLL_MS)
        raise ElementError("does not answer")


class Atecc608Signer:
    """A signer (see signer.py) by the key in one slot of a part; make the key first, once, with `part.generate`."""

    def __init__(self, part: Atecc608, slot: int = 0) -> None:
        self._part = part
        self._slot = slot
        self.public_key = part.public_key(slot)
        self.kid = kid_of(self.public_key)

    def sign(self, message: bytes) -> bytes:
        return self._part.sign(self._slot, sha256(message).digest())

    def shared_secret(self, public_key: bytes) -> bytes:
        p256.check_public(public_key)
        return self._part.shared_secret(self._slot, public_key)
