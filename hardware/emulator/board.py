"""One board: a process of real MicroPython, its power, its resets, and its place on the timeline.

Owns: the process, the packet socket, reset causes, what survives a reset (RTC, RTC memory) and what does not.
Refuses: what the peripherals do (devices.py), the clock's policy (timeline.py), when something fails (faults.py).
Invariants: no power, no process; a process that dies by itself is a reset, as a panic is on the chip; the firmware's
files are read from the flash image and from nowhere else.
"""

import asyncio
import os
import signal
import socket
import struct
import subprocess
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from typing import IO

from . import messages
from .flash import Flash, PowerFailed
from .timeline import FOREVER, Agenda, Event, Timeline, cancel

EPOCH_2000_S = 946_684_800
RTC_EVERY_US = 2 * 86_400 * 1_000_000
SHIMS = Path(__file__).parent / "shims"

Handler = Callable[[bytes], bytes | None]


class Cause(IntEnum):
    """machine.reset_cause() of an ESP32. A brown-out reads as power-on there; what tells them apart is that the RTC and
    its memory live through a brown-out."""

    POWER_ON = 1
    HARD = 2
    WATCHDOG = 3
    DEEP_SLEEP = 4
    SOFT = 5


@dataclass(frozen=True, kw_only=True)
class BoardSpec:
    """What distinguishes one board from another. `seed` makes its random bytes repeatable; None leaves them real."""

    name: str
    micropython: Path
    heap_kb: int = 160
    unique_id: bytes = b"\x24\x0a\xc4\x00\x00\x01"
    epoch_s: int = EPOCH_2000_S
    boot_us: int = 300_000  # ROM, bootloader and MicroPython's own start
    seed: bytes | None = None


@dataclass(slots=True)
class Tally:
    """What happened to a board since the emulator started."""

    boots: int = 0
    packets: int = 0
    resets: dict[str, int] = field(default_factory=dict)


class Board:
    """A walker of the timeline. Peripherals register themselves in `handlers` and in `at_reset`."""

    def __init__(self, spec: BoardSpec, timeline: Timeline, flash: Flash, shims: Path = SHIMS) -> None:
        self.spec = spec
        self.timeline = timeline
        self.flash = flash
        self.handlers: dict[int, Handler] = {}
        self.at_reset: list[Callable[[], None]] = []
        self.tally = Tally()
        self.log: deque[str] = deque(maxlen=200)
        self.on_line: Callable[[str], None] | None = None
        self.on_boot: Callable[[], None] | None = None
        self.on_power_off: Callable[[], None] | None = None
        self.process: subprocess.Popen[bytes] | None = None
        self.powered = False
        self.rtc_offset_us: int | None = None  # RTC minus site time; None: it starts at the chip's epoch
        self.rtc_memory = b""
        self.last_reset = ""
        self._shims = shims
        self._cause = Cause.POWER_ON
        self._boot: Event | None = None
        self._has_booted = self._hung = False
        self._sock: socket.socket | None = None
        self._output: IO[bytes] | None = None
        self._line = b""
        self._outbox: list[bytes] = []
        self._reader = messages.Reader()
        # lock-step
        self.awake_since = 0.0
        self._used_s = -1.0
        self.next_us = FOREVER
        self._now_us = timeline.now_us()
        self._agenda = Agenda()
        self._deadline_us = FOREVER
        self._wants_bytes = self._polls_sockets = False
        self._arrivals: list[tuple[int, bytes]] = []  # what UARTs receive, and when
        self._woken = False
        self._waiting = False
        self._answer_due = False
        letters: dict[str, Handler] = {"W": self._wait, "A": self._awoken, "R": self._asked_reset, "B": self._booted}
        self.handlers.update({ord(letter): handler for letter, handler in letters.items()})

    # ---- time

    def now_us(self) -> int:
        """The board's own time: in lock-step it may be ahead of the site's by the lookahead."""
        return self._now_us if self.timeline.lock_step else self.timeline.now_us()

    def at(self, due_us: int, callback: Callable[[], None]) -> Event:
        """Something that concerns this board alone; forgotten when it loses its process."""
        if not self.timeline.lock_step:
            process = self.process
            return self.timeline.at(due_us, lambda: callback() if self.process is process else None)
        event = self._agenda.add(due_us, callback)
        if self._waiting:
            self._plan()
            self.timeline.kick()
        return event

    def _plan(self) -> None:
        self.next_us = min(self._agenda.next_us(), self._deadline_us)
        if self._wants_bytes and self._arrivals:
            self.next_us = min(self.next_us, self._arrivals[0][0])

    def advance(self, horizon_us: int) -> None:
        """Do what is due up to the horizon, and go on if the wait ends by then."""
        if self._hung:
            self.next_us = FOREVER
        elif self._woken and not self._answer_due:
            self._now_us = max(self._now_us, self.timeline.now_us())
            self._go(horizon_us)
        elif self._work(horizon_us):
            self._go(horizon_us)
        elif self._waiting:
            self._plan()

    def _work(self, horizon_us: int) -> bool:
        """What is due while the board waits; true if the wait is over."""
        while (due_us := self._agenda.next_us()) <= min(horizon_us, self._deadline_us):
            self._now_us = max(self._now_us, due_us)
            self._agenda.pop()()
            if not self._waiting:
                return False
            if self._woken and not self._answer_due:
                return True
        if self._arrivals and self._wants_bytes and self._arrivals[0][0] < min(horizon_us, self._deadline_us):
            self._deadline_us = self._arrivals[0][0]
        if self._deadline_us > horizon_us:
            return False
        self._now_us = max(self._now_us, self._deadline_us)
        return True

    def _go(self, horizon_us: int) -> None:
        self._waiting = self._woken = self._answer_due = False
        self._used_s = -1.0
        self.awake_since = time.monotonic()
        self._deadline_us = FOREVER
        # What a part will say by then must not be slept through.
        until_us = max(self._now_us, min(horizon_us, self._agenda.next_us() - 1))
        while self._arrivals and self._arrivals[0][0] <= until_us:
            at_us, data = self._arrivals.pop(0)
            if at_us <= self._now_us:
                self._outbox.append(messages.pack("D", data))
            else:  # the millisecond after its last bit
                self._outbox.append(messages.pack("F", struct.pack("<I", at_us // 1000 + 1 & messages.WRAP) + data))
        self._send(until_us)

    def _wait(self, payload: bytes) -> None:
        if not self.timeline.lock_step:
            return
        ms, wants = messages.wait(payload)
        self._wants_bytes, self._polls_sockets = bool(wants & 1), bool(wants & 2)
        self._suspend(FOREVER if ms < 0 else (self._now_us // 1000 + ms) * 1000)
        if self._woken:
            self.next_us = self._now_us

    def _suspend(self, deadline_us: int) -> None:
        self._waiting = True
        self.awake_since = 0.0
        self._deadline_us = deadline_us
        self._plan()

    def _awoken(self, payload: bytes) -> None:
        if self._waiting and not self._hung:
            self._now_us = max(self._now_us, self.timeline.live_us())
            self._go(self._now_us)

    @property
    def listens(self) -> bool:
        """Whether bytes on a socket end its wait."""
        return self._waiting and self._polls_sockets and not self._answer_due

    # ---- talking

    def computes(self, limit_s: float) -> bool:
        """A busy machine gives it less; a board that blocks or loops for ever is told apart from one that is slow."""
        assert self.process
        state, used_s = _processor(self.process.pid)
        if self._used_s < 0:  # first looked at
            self._used_s = used_s
        return state in "RD" and used_s - self._used_s < limit_s and not self._hung

    def fileno(self) -> int:
        assert self._sock
        return self._sock.fileno()

    def hear(self) -> None:
        """Take one packet of the board."""
        assert self._sock
        try:
            packet = self._sock.recv(65536)
        except BlockingIOError:
            return
        except ConnectionResetError:
            packet = b""
        if not packet:
            self._died()
            return
        for ms, us, found in self._reader.feed(packet):
            self.tally.packets += 1
            if self.timeline.lock_step:
                self._catch_up(ms, us)
            self._take(found)

    def _catch_up(self, ms: int, us: int) -> None:
        """The board has moved its own time; not beyond ours while it waits and its parts go on."""
        now_ms = self._now_us // 1000
        ahead_ms = ms - now_ms & messages.WRAP
        if ahead_ms <= messages.WRAP // 2:
            self._now_us = max(self._now_us, (now_ms + ahead_ms) * 1000 + us)

    def _take(self, found: list[tuple[int, bytes]]) -> None:
        for letter, payload in found:
            handler = self.handlers.get(letter)
            if handler is None or self._sock is None:
                continue
            try:
                reply = handler(payload)
            except PowerFailed:
                self.power_off("power failed in a flash operation")
                return
            if reply is not None:
                self.answer(reply)

    def tell(self, letter: str, payload: bytes = b"", wakes: bool = False) -> None:
        """To the board; in lock-step it leaves when the board goes on. `wakes`: it ends the board's wait."""
        if self._sock is None:
            return
        self._outbox.append(messages.pack(letter, payload))
        if not self.timeline.lock_step:
            self._send(0)
        elif wakes:
            self._woken = True
            if self._waiting and not self._answer_due:
                self.next_us = self._now_us
                self.timeline.kick()

    def receive(self, at_us: int, data: bytes) -> None:
        """A UART has received bytes at this instant, or will have; `data` begins with its number."""
        if not self.timeline.lock_step:
            self.at(at_us, lambda: self.tell("D", data))
            return
        self._arrivals.append((at_us, data))
        self._arrivals.sort(key=_when)
        if self._waiting:
            self._plan()

    def answer(self, reply: bytes) -> None:
        self._outbox.append(messages.pack("Y", reply))
        self._send(self._now_us)

    def answer_at(self, due_us: int, reply: bytes) -> None:
        """The reply to a question that takes the board's time, like an erase."""
        if due_us <= self.now_us():
            self.answer(reply)
        elif not self.timeline.lock_step:
            self.at(due_us, lambda: self.answer(reply))
        else:
            self._suspend(due_us)
            self._answer_due = True
            self._outbox.append(messages.pack("Y", reply))

    def soon(self, act: Callable[[], None]) -> None:
        """Do what touches parts or plant: now, in lock-step as soon as every board has come so far."""
        if self.timeline.lock_step:
            self.at(self._now_us, act)
        else:
            act()

    def ask_parts(self, act: Callable[[], bytes], takes_us: int = 0) -> None:
        """The same for a question, whose reply takes its time."""
        if not self.timeline.lock_step:
            self.answer_at(self.now_us() + takes_us, act())
            return

        def reply() -> None:
            self.answer_at(self._now_us + max(takes_us, 1), act())

        self.soon(reply)
        self._suspend(FOREVER)
        self._answer_due = True

    def _send(self, until_us: int) -> None:
        assert self._sock
        stream = messages.packets(self._outbox, self._now_us, until_us)
        self._outbox.clear()
        try:
            sent = self._sock.send(stream)
        except (BlockingIOError, ConnectionError):
            sent = 0
        if sent < len(stream):  # it hangs with a full buffer and cannot be told anything any more
            self._note("the board does not listen")
            self.timeline.at(self.timeline.now_us(), lambda: self.reset(Cause.HARD, "panic"))

    # ---- power and resets

    def power_on(self) -> None:
        if not self.powered:
            self.powered = True
            self._start(Cause.POWER_ON, "power-on")

    def power_off(self, why: str = "power cut") -> None:
        """Deep power loss: everything but the flash cells is gone."""
        if not self.powered:
            return
        self.powered = False
        self.last_reset = why
        self._stop()
        self.rtc_offset_us = None
        self.rtc_memory = b""
        if self.on_power_off:
            self.on_power_off()

    def hang(self) -> None:
        """The processor stops dead, as behind an endless loop with interrupts off; only a watchdog helps."""
        if self.process is not None:
            self._hung = True
            self.process.send_signal(signal.SIGSTOP)

    def reset(self, cause: Cause, why: str, after_us: int = 0) -> None:
        """Restart with RTC and its memory kept. A brown-out is a reset with Cause.POWER_ON."""
        if not self.powered:
            return
        self.tally.resets[why] = self.tally.resets.get(why, 0) + 1
        self._stop()
        self._start(cause, why, after_us)

    def _start(self, cause: Cause, why: str, after_us: int = 0) -> None:
        self._cause, self.last_reset = cause, why
        self._boot = self.timeline.at(self.timeline.now_us() + after_us + self.spec.boot_us, self._spawn)

    def _asked_reset(self, payload: bytes) -> None:
        cause, after_ms = struct.unpack("<BI", payload)
        name = {Cause.HARD: "machine.reset", Cause.SOFT: "soft reset", Cause.DEEP_SLEEP: "deep sleep"}[Cause(cause)]
        self.reset(Cause(cause), name, after_ms * 1000)

    def _spawn(self) -> None:
        self._boot = None
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        ours.setblocking(False)
        self._now_us = self.timeline.now_us()
        if self.rtc_offset_us is None:
            self.rtc_offset_us = self.spec.epoch_s * 1_000_000 - self._now_us
        self.tally.boots += 1
        self._has_booted = self._hung = False
        ours.send(messages.packets([self._hello()], self._now_us, self._now_us))
        environment = {
            "MICROPYPATH": str(self._shims),
            "TALLYGRID_LINK": str(theirs.fileno()),
            "TALLYGRID_FLASH": str(self.flash.path),
        }
        self.process = subprocess.Popen(
            [self.spec.micropython, "-X", f"heapsize={self.spec.heap_kb}k", "-m", "_boot"],
            pass_fds=(theirs.fileno(),), env=environment, process_group=0,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        theirs.close()
        self._sock, self._output = ours, self.process.stdout
        assert self._output
        os.set_blocking(self._output.fileno(), False)
        asyncio.get_running_loop().add_reader(self._output.fileno(), self.read_output)
        self.awake_since, self._used_s = time.monotonic(), -1.0
        self._waiting = self._woken = self._answer_due = self._wants_bytes = self._polls_sockets = False
        self._deadline_us = self.next_us = FOREVER
        self._agenda, self._reader, self._arrivals = Agenda(), messages.Reader(), []
        self.timeline.add(self)

    def _hello(self) -> bytes:
        seed = b"" if self.spec.seed is None else self.spec.seed + self._now_us.to_bytes(8, "big")
        head = struct.pack("<BBIqq", self.timeline.lock_step, self._cause, self.flash.blocks, self._rtc()[0],
                           self.spec.epoch_s)  # fmt: skip
        return messages.pack("H", head + self.spec.unique_id + seed)

    def _rtc(self) -> tuple[int, int]:
        """Seconds of the chip's epoch and milliseconds."""
        assert self.rtc_offset_us is not None
        seconds, us = divmod(self.now_us() + self.rtc_offset_us, 1_000_000)
        return seconds - self.spec.epoch_s, us // 1000

    def tell_rtc(self) -> None:
        if self.process is not None:
            self.tell("S", struct.pack("<qH", *self._rtc()), wakes=True)  # heard now, or it is wrong
            self.at(self.now_us() + RTC_EVERY_US, self.tell_rtc)

    def _booted(self, payload: bytes) -> None:
        self._has_booted = True
        self.at(self.now_us() + RTC_EVERY_US, self.tell_rtc)
        if self.on_boot:
            self.on_boot()

    def _stop(self) -> None:
        cancel(self._boot)
        self._boot = None
        for forget in self.at_reset:
            forget()
        if self.process is None:
            return
        assert self._sock and self._output
        self.timeline.remove(self)
        asyncio.get_running_loop().remove_reader(self._output.fileno())
        self.process.kill()
        self.read_output()
        self.process.wait()
        self._output.close()
        self._sock.close()
        self._outbox.clear()
        self.process = self._sock = self._output = None
        self._waiting = False
        self.awake_since = 0.0
        self.next_us = FOREVER

    def _died(self) -> None:
        assert self.process
        self.process.wait()
        code = self.process.returncode
        self.read_output()
        self._note(f"the interpreter ended with {signal.Signals(-code).name if code < 0 else code}")
        if self._has_booted:
            self.reset(Cause.HARD, "panic")
        else:  # neither would the next try
            self.power_off("does not start")

    def read_output(self) -> None:
        """What the board printed since the last time. It prints character by character."""
        try:
            text = self._output.read() if self._output else None
        except BlockingIOError:
            return
        *lines, self._line = (self._line + (text or b"")).split(b"\n")
        for line in lines:
            self._note(line.decode("utf-8", "replace").rstrip("\r"))

    def _note(self, line: str) -> None:
        self.log.append(line)
        if self.on_line:
            self.on_line(line)


def _processor(pid: int) -> tuple[str, float]:
    """A process's state letter and the processor seconds it has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return fields[0], (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _when(arrival: tuple[int, bytes]) -> int:
    return arrival[0]
