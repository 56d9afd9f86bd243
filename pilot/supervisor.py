"""Starts the pilot's parts in order, watches them, starts again what dies, stops all of them.

Owns: child processes, their logs, processor time and memory.
Refuses: a part that dies three times in a minute: the pilot stops and says why.
Invariant: whatever ends the pilot, no child outlives it: each dies with its parent (PR_SET_PDEATHSIG).
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pilot.errors import Unavailable

DEATHS_MAX = 3
DEATHS_S = 60.0
STOP_S = 8.0
TAIL = 20
_PR_SET_PDEATHSIG = 1
_TICK = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass
class Part:
    name: str
    command: Sequence[str]
    log: Path
    on_line: Callable[[str], None] = lambda line: None
    process: asyncio.subprocess.Process | None = None
    deaths: deque[float] = field(default_factory=deque)
    tail: deque[str] = field(default_factory=lambda: deque(maxlen=TAIL))
    cpu_s: float = 0.0  # of processes that have ended
    rss_mb: float = 0.0  # the highest seen, all processes of the part together
    stopping: bool = False


class Supervisor:
    def __init__(self, environment: dict[str, str], say: Callable[[str], None]) -> None:
        self.parts: dict[str, Part] = {}
        self.failed = asyncio.Event()
        self.why = ""
        self.restarts = 0
        self._environment = environment
        self._say = say
        self._watchers: list[asyncio.Task[None]] = []

    async def start(self, part: Part) -> None:
        self.parts[part.name] = part
        await self._spawn(part)
        self._watchers.append(asyncio.create_task(self._watch(part), name=f"watch {part.name}"))

    async def _spawn(self, part: Part) -> None:
        try:
            part.process = await asyncio.create_subprocess_exec(
                *part.command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                env=self._environment,
                preexec_fn=_die_with_parent,
                start_new_session=True,
            )
        except OSError as error:
            raise Unavailable(f"{part.name} cannot be started: {error}") from None

    async def _watch(self, part: Part) -> None:
        while True:
            assert part.process is not None
            await self._read(part)
            status = await part.process.wait()
            if part.stopping:
                return
            now = time.monotonic()
            part.deaths.append(now)
            while now - part.deaths[0] > DEATHS_S:
                part.deaths.popleft()
            reason = part.tail[-1] if part.tail else f"exit status {status}"
            if len(part.deaths) >= DEATHS_MAX:
                self.why = f"{part.name} died {DEATHS_MAX} times in a minute: {reason} (see {part.log})"
                self.failed.set()
                return
            self._say(f"{part.name} died ({reason}); started again")
            self.restarts += 1
            await asyncio.sleep(0.3)
            if part.stopping:
                return
            try:
                await self._spawn(part)
            except Unavailable as lack:
                self.why = str(lack)
                self.failed.set()
                return

    async def _read(self, part: Part) -> None:
        assert part.process is not None and part.process.stdout is not None
        with part.log.open("ab", buffering=0) as log:
            while line := await part.process.stdout.readline():
                log.write(line)
                text = line.decode(errors="replace").rstrip()
                part.tail.append(text)
                part.on_line(text)

    async def stop(self) -> None:
        """In reverse order, each given time to end well."""
        for part in reversed(self.parts.values()):
            part.stopping = True
            process = part.process
            if process is None or process.returncode is not None:
                continue
            self.measure(part)
            process.send_signal(signal.SIGTERM)
            try:
                await asyncio.wait_for(process.wait(), STOP_S)
            except TimeoutError:
                _kill_group(process.pid)
                await process.wait()
            _kill_group(process.pid)
        for watcher in self._watchers:
            watcher.cancel()
        await asyncio.gather(*self._watchers, return_exceptions=True)

    def measure(self, part: Part) -> dict[str, float]:
        """Processor seconds and memory of a part's own process; its children are told apart by the caller."""
        if part.process is not None and part.process.returncode is None:
            cpu_s, rss_mb = usage(part.process.pid)
            part.cpu_s = max(part.cpu_s, cpu_s)
            part.rss_mb = max(part.rss_mb, rss_mb)
        return {"cpu_s": round(part.cpu_s, 2), "rss_mb": round(part.rss_mb, 1)}


def usage(pid: int) -> tuple[float, float]:
    """Processor seconds and resident megabytes, 0 where the process is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0, 0.0
    return (int(fields[11]) + int(fields[12])) / _TICK, int(fields[21]) * _PAGE / 1e6


def children(pid: int) -> list[int]:
    try:
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def _die_with_parent() -> None:
    """In the child, before the program: SIGTERM when the parent ends, however it ends."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _kill_group(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)


def python(*words: str) -> list[str]:
    return [sys.executable, "-m", *words]
