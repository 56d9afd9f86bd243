"""Modbus RTU on a pseudo-terminal: a serial line whose far end is emulated, for programs that open a tty.

Owns: frames by silence, the line's pace towards the program, the pty. Refuses: what the slaves answer.
Invariants: no byte arrives sooner than a real line would bring it; closing leaves no descriptor behind.
"""

import asyncio
import os
import pty
import tty
from collections.abc import Callable, Sequence

from .modbus import RtuSlave

SILENCE_S = 0.005  # ends a frame; a host's scheduler is coarser than 3.5 characters


class RtuPty:
    """`clock` says the site's time in microseconds. The program opens `path`, at any baud rate."""

    def __init__(self, slaves: Sequence[RtuSlave], clock: Callable[[], int]) -> None:
        self.slaves = slaves
        self.path = ""
        self._clock = clock
        self._master = self._kept = -1
        self._frame = b""
        self._silence: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Within a running loop."""
        # Our own descriptor of the far side stays open: without it, a program that closes would hang the line up.
        self._master, self._kept = pty.openpty()
        tty.setraw(self._kept)
        self.path = os.ttyname(self._kept)
        asyncio.get_running_loop().add_reader(self._master, self._hear)

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self._master)
        if self._silence:
            self._silence.cancel()
        os.close(self._master)
        os.close(self._kept)
        self._master = -1

    def _hear(self) -> None:
        self._frame += os.read(self._master, 4096)
        if self._silence:
            self._silence.cancel()
        self._silence = asyncio.get_running_loop().call_later(SILENCE_S, self._heard)

    def _heard(self) -> None:
        frame, self._frame = self._frame, b""
        now_us = self._clock()
        for slave in self.slaves:
            for at_us, answer in slave.receive(frame, now_us):
                sent_s = 10 * (len(frame) + len(answer)) / slave.baudrate
                wait_s = max(0.0, (at_us - now_us) / 1e6 + sent_s - SILENCE_S)
                asyncio.get_running_loop().call_later(wait_s, self._say, answer)

    def _say(self, answer: bytes) -> None:
        if self._master >= 0:
            os.write(self._master, answer)
