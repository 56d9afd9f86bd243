"""The wires between a board and its parts: serial lines at the pace of their baud rate, and I2C.

Owns: when bytes are on a line, frames by silence, what garbles them (wrong settings, collisions, faults).
Refuses: what parts answer (`parts/`). Invariants: nobody hears a byte before its last bit; a dead bus is silent.
"""

import random
from collections.abc import Callable, Sequence
from typing import Protocol

from .port import I2cPart, Sleeper, Talker, UartPart, UartPort
from .timeline import Event, cancel

ENODEV = 19
ETIMEDOUT = 110
FIFO = 120  # an ESP32 hands over received bytes at this fill, or when the line falls silent


class Host(Protocol):
    """The board that drives a bus."""

    def now_us(self) -> int: ...

    def at(self, due_us: int, callback: Callable[[], None]) -> Event: ...


class UartLine:
    """One serial line of a board with every part on it."""

    def __init__(self, host: Host, port: UartPort, deliver: Callable[[int, bytes], None], seed: int = 0) -> None:
        self.parts: Sequence[UartPart] = port.parts
        self.dead = False
        self.flip_permille = 0  # of bytes that get one bit flipped, either way
        self._host, self._port, self._deliver = host, port, deliver
        self.random = random.Random(seed)
        self._baud, self._char_us, self._wired = 115_200, 87.0, True
        self._frame = b""
        self._frame_end: Event | None = None
        self._sent_us = 0  # when the board's own last bit was out
        self._line_us = 0  # when the last answer is over
        self._babble: Event | None = None
        self._talkers = [part for part in port.parts if isinstance(part, Talker)]
        self._gap_us = max((part.gap_us for part in port.parts), default=0)

    def configure(self, baud: int, tx: int, rx: int, bits: int, parity: int, stop: int) -> None:
        self._baud = baud
        self._char_us = (1 + bits + (parity >= 0) + stop) * 1_000_000 / baud
        self._wired = (self._port.tx in (None, tx) or tx < 0) and (self._port.rx in (None, rx) or rx < 0)
        for part in self._talkers:
            self._listen(part)

    def forget(self) -> None:
        """The board lost its process, and with it what it had in the air and in its buffers."""
        cancel(self._frame_end)
        self._frame, self._frame_end = b"", None

    def write(self, data: bytes) -> None:
        now_us = self._host.now_us()
        self._sent_us = max(now_us, self._sent_us) + int(len(data) * self._char_us)
        self._frame += self._noisy(data)
        cancel(self._frame_end)
        self._frame_end = self._host.at(self._sent_us + self._gap_us, self._heard)

    def sent(self) -> bool:
        return self._host.now_us() >= self._sent_us

    def _heard(self) -> None:
        frame, self._frame, self._frame_end = self._frame, b"", None
        self._spread(frame, self._sent_us, None)

    def _spread(self, burst: bytes, end_us: int, speaker: UartPart | None) -> None:
        """Everybody but the speaker hears a burst; a part at another speed sees only noise, and says nothing."""
        if self.dead or not self._wired:
            return
        for part in self.parts:
            if part is not speaker and part.baudrate == self._baud:
                for at_us, reply in part.receive(burst, end_us):
                    self._answer(part, max(at_us, end_us), reply)

    def _answer(self, part: UartPart, at_us: int, reply: bytes) -> None:
        if at_us < self._line_us:  # two speak at once: neither can be read
            reply = self.random.randbytes(len(reply))
        start = 0
        while start < len(reply):
            chunk = reply[start : start + FIFO]
            start += len(chunk)
            end_us = at_us + int(start * self._char_us)
            self._arrives(end_us, chunk)
            self._line_us = end_us
        if len(self.parts) > 1:
            self._host.at(self._line_us, lambda: self._spread(reply, self._line_us, part))

    def _arrives(self, at_us: int, data: bytes) -> None:
        if not self.dead and self._wired:
            self._deliver(at_us, self._noisy(data))

    def _noisy(self, data: bytes) -> bytes:
        if not self.flip_permille:
            return data
        noisy = bytearray(data)
        for i in range(len(noisy)):
            if self.random.randrange(1000) < self.flip_permille:
                noisy[i] ^= 1 << self.random.randrange(8)
        return bytes(noisy)

    def _listen(self, part: Talker) -> None:
        due_us = part.next_us(self._host.now_us())
        if due_us is not None:
            self._host.at(due_us, lambda: self._unasked(part))

    def _unasked(self, part: Talker) -> None:
        now_us = self._host.now_us()
        if part.baudrate == self._baud:
            self._answer(part, now_us, part.speak(now_us))
        self._listen(part)

    def babble(self, on: bool) -> None:
        """A part that cannot stop talking: bursts of noise ten times a second, and nothing else gets through."""
        cancel(self._babble)
        self._babble = None
        if on:
            self._babbling()

    def _babbling(self) -> None:
        noise = self.random.randbytes(self.random.randrange(1, 60))
        self._line_us = self._host.now_us() + 100_000
        self._arrives(self._host.now_us(), noise)
        self._babble = self._host.at(self._line_us, self._babbling)


class I2cBus:
    """One I2C bus of a board."""

    def __init__(self, host: Host, parts: Sequence[I2cPart]) -> None:
        self.parts = {part.address: part for part in parts}
        self.dead = False
        self.hz = 400_000
        self._host = host

    def transfer(self, address: int, data: bytes, count: int) -> tuple[int, bytes]:
        """(errno, bytes read). Address 255 lists who acknowledges."""
        if self.dead:
            return ETIMEDOUT, b""
        now_us = self._host.now_us()
        if address == 255:
            return 0, bytes(sorted(self.parts))
        if address == 0:
            low_us = 8 * 1_000_000 // self.hz  # its bits hold the data line low
            for each in self.parts.values():
                if isinstance(each, Sleeper):
                    each.wake(now_us, low_us)
        part = self.parts.get(address)
        if part is None or ((data or not count) and not part.write(data, now_us)):
            return ENODEV, b""
        if not count:
            return 0, b""
        read = part.read(count, now_us)
        return (ENODEV, b"") if read is None else (0, read)

    def takes_us(self, sent: int, read: int) -> int:
        return (sent + read + 2) * 9 * 1_000_000 // self.hz
