"""The site clock as services see it: what time it is, sleep until, and keep the clock while something is unanswered.

Owns: `SiteClock` (of an emulated site, from any process), `WallClock` (everywhere else), the page the time stands in.
Refuses: moving the clock (timeline.py). Invariants: both clocks have the same methods; reading the time calls nobody;
a service that dies holds nothing.

The page is a file of 72 bytes: magic, mode (0 real time, 1 lock-step), site microseconds since 1970 twice (equal, or a
write is under way), offset from the machine's monotonic clock in real time, speed, and the name of an abstract socket.
There a service says, line by line: `hold WHY`, `release WHY`, `sleep N MS`, `done N`, `took COUNT`, `gave COUNT`, and
hears `woke N`. From `woke N` until `done N` the clock stands still.
"""

import asyncio
import contextlib
import mmap
import os
import socket
import struct
import time
from collections.abc import Iterator
from pathlib import Path

_PAGE = struct.Struct("<8sIIqqqd24s")
_NOW = struct.Struct("<qq")
_NOW_AT = 16
_MAGIC = b"TGCLOCK1"
SIZE = _PAGE.size


def address_of(path: Path) -> str:
    """Where the emulator of this page listens."""
    *_, address = _PAGE.unpack(path.read_bytes()[:SIZE])
    return bytes(address).rstrip(b"\0").decode()


class ClockPage:
    """The writer's side: one page a site."""

    def __init__(self, path: Path, lock_step: bool, offset_us: int, now_us: int, address: str) -> None:
        self.path = path
        self._values = [_MAGIC, int(lock_step), 0, now_us, now_us, offset_us, 1.0, address.encode()]
        new = path.with_name(path.name + ".new")
        new.write_bytes(_PAGE.pack(*self._values))
        with new.open("r+b") as file:
            self._page = mmap.mmap(file.fileno(), SIZE)
        new.replace(path)

    def write(self, now_us: int) -> None:
        _NOW.pack_into(self._page, _NOW_AT, now_us, now_us)

    def close(self) -> None:
        self._page.close()
        self.path.unlink(missing_ok=True)


class WallClock:
    """The time of a site that is not emulated."""

    def now_us(self) -> int:
        return time.time_ns() // 1000

    def now_ms(self) -> int:
        return self.now_us() // 1000

    def now_ns(self) -> int:
        return self.now_us() * 1000

    async def sleep_until(self, at_ms: int) -> None:
        """Returns at once for a time that has passed."""
        while (left_ms := at_ms - self.now_ms()) > 0:
            await asyncio.sleep(left_ms / 1000)

    @contextlib.contextmanager
    def hold(self, why: str) -> Iterator[None]:
        """While something is unanswered that the site's time should wait for."""
        yield

    def took(self, count: int = 1) -> None:
        """The gateway has dealt with so many messages of boards."""

    def gave(self, count: int = 1) -> None:
        """The gateway has sent so many messages to boards."""

    def close(self) -> None: ...


class SiteClock(WallClock):
    """The clock of an emulated site. One asyncio loop a clock; now_*() from anywhere."""

    def __init__(self, path: Path, name: str = "service") -> None:
        fd = os.open(path, os.O_RDONLY)
        try:
            self._page = mmap.mmap(fd, SIZE, prot=mmap.PROT_READ)
        finally:
            os.close(fd)
        magic, mode, _, _, _, self._offset_us, _, address = _PAGE.unpack_from(self._page)
        if magic != _MAGIC:
            raise ValueError(f"{path} is no clock of a site")
        self.lock_step = bool(mode)
        self._name, self._address = name, bytes(address).rstrip(b"\0").decode()
        self._socket: socket.socket | None = None
        self._rest = b""
        self._number = 0
        self._asleep: dict[int, asyncio.Future[None]] = {}
        self._at_work: dict[asyncio.Task[object], int] = {}

    def now_us(self) -> int:
        if not self.lock_step:
            return time.monotonic_ns() // 1000 + int(self._offset_us)
        while True:
            now_us, again_us = _NOW.unpack_from(self._page, _NOW_AT)
            if now_us == again_us:
                return int(now_us)

    async def sleep_until(self, at_ms: int) -> None:
        """In lock-step the clock stands at `at_ms` until this task sleeps again or ends."""
        if not self.lock_step:
            await super().sleep_until(at_ms)
            return
        task = asyncio.current_task()
        assert task
        self._finish(task)
        self._number += 1
        number = self._number
        woken = self._asleep[number] = asyncio.get_running_loop().create_future()
        self._say(f"sleep {number} {at_ms}")
        try:
            await woken
        except asyncio.CancelledError:
            self._say(f"done {number}")
            raise
        finally:
            del self._asleep[number]
        if task not in self._at_work:
            task.add_done_callback(self._finish)
        self._at_work[task] = number

    def _finish(self, task: asyncio.Task[object]) -> None:
        number = self._at_work.pop(task, None)
        if number is not None:
            task.remove_done_callback(self._finish)
            self._say(f"done {number}")

    @contextlib.contextmanager
    def hold(self, why: str) -> Iterator[None]:
        if not self.lock_step:
            yield
            return
        self._say(f"hold {why}")
        try:
            yield
        finally:
            self._say(f"release {why}")

    def took(self, count: int = 1) -> None:
        if self.lock_step:
            self._say(f"took {count}")

    def gave(self, count: int = 1) -> None:
        if self.lock_step:
            self._say(f"gave {count}")

    def _say(self, line: str) -> None:
        if self._socket is None:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self._socket.connect("\0" + self._address)
            self._socket.sendall(f"name {self._name}\n".encode())
            asyncio.get_running_loop().add_reader(self._socket, self._hear)
        with contextlib.suppress(OSError):  # the emulator is gone; whoever runs us notices too
            self._socket.sendall(line.encode() + b"\n")

    def _hear(self) -> None:
        assert self._socket
        data = self._socket.recv(4096)
        if not data:
            asyncio.get_running_loop().remove_reader(self._socket)
            return
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            woken = self._asleep.get(int(line.removeprefix(b"woke ")))
            if woken and not woken.done():
                woken.set_result(None)

    def close(self) -> None:
        if self._socket:
            asyncio.get_running_loop().remove_reader(self._socket)
            self._socket.close()
        self._page.close()
