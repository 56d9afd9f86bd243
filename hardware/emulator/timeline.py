"""The site's time in real time, and the queue of what happens when. Lock-step: lockstep.py, with the same methods.

Owns: the agenda, the offset from the wall clock. Refuses: what happens (boards, buses, plant, faults).
Invariants: site time never runs backwards; things due at one instant happen in the order in which they were asked for.

Times are integer microseconds of site time since 1970.
"""

import asyncio
import heapq
import time
from collections.abc import Callable
from typing import Protocol

FOREVER = 1 << 62
NEAR_US = 300
Event = list[object]
"""[due_us, order, callback or None]; `cancel` clears the callback."""


def cancel(event: Event | None) -> None:
    if event is not None:
        event[2] = None


class Agenda:
    """Callbacks in order of time, then of asking."""

    def __init__(self) -> None:
        self._heap: list[Event] = []
        self._order = 0

    def add(self, due_us: int, callback: Callable[[], None]) -> Event:
        self._order += 1
        event: Event = [due_us, self._order, callback]
        heapq.heappush(self._heap, event)
        return event

    def next_us(self) -> int:
        while self._heap and self._heap[0][2] is None:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else FOREVER  # type: ignore[return-value]

    def pop(self) -> Callable[[], None]:
        """The first callback; only after next_us() said when."""
        return heapq.heappop(self._heap)[2]  # type: ignore[return-value]


class Walker(Protocol):
    """A board as lock-step sees it."""

    awake_since: float  # wall time; 0 while it waits, negative once it computes for too long to be waited for
    next_us: int  # when it goes on unless something comes; FOREVER while it has nothing to wait for

    def fileno(self) -> int: ...

    def computes(self, limit_s: float) -> bool:
        """Whether it is really at work, and has been for less than this much processor time since it went on."""
        ...

    def hear(self) -> None: ...

    def advance(self, horizon_us: int) -> None:
        """Do what is due up to the horizon and go on if the wait ends by then."""


class Timeline:
    """Real time at speed 1: site time is the wall clock plus an offset."""

    lock_step = False

    def __init__(self, start_us: int | None = None) -> None:
        wall = time.time_ns() // 1000
        self.offset_us = (wall if start_us is None else start_us) - time.monotonic_ns() // 1000
        self._agenda = Agenda()
        self._timer: asyncio.Handle | None = None
        self._timer_us = FOREVER
        self.on_step: Callable[[int], None] | None = None

    def now_us(self) -> int:
        return time.monotonic_ns() // 1000 + self.offset_us

    def live_us(self) -> int:
        """What the time is for something that comes from outside."""
        return self.now_us()

    def at(self, due_us: int, callback: Callable[[], None], firm: bool = False) -> Event:
        """`firm`: in lock-step no board may have passed this instant when it happens."""
        event = self._agenda.add(due_us, callback)
        if due_us < self._timer_us:
            self._arm(due_us)
        return event

    def _arm(self, due_us: int) -> None:
        if self._timer:
            self._timer.cancel()
        self._timer_us = due_us
        loop, left_us = asyncio.get_running_loop(), due_us - self.now_us()
        # The loop's timers come in whole milliseconds; what is nearer is waited for in turns of the loop.
        self._timer = loop.call_soon(self._run) if left_us < NEAR_US else loop.call_later(left_us / 1e6, self._run)

    def _run(self) -> None:
        self._timer, self._timer_us = None, FOREVER
        while (due_us := self._agenda.next_us()) <= self.now_us():
            self._agenda.pop()()
        if due_us < self._timer_us:
            self._arm(due_us)

    def add(self, board: Walker) -> None:
        asyncio.get_running_loop().add_reader(board.fileno(), board.hear)

    def remove(self, board: Walker) -> None:
        asyncio.get_running_loop().remove_reader(board.fileno())

    def kick(self) -> None:
        """Something changed that might let the clock go on."""

    def hold(self, reason: str) -> None:
        """Keep the clock where it is, as long as it is held as often as it was released."""

    def release(self, reason: str) -> None: ...

    def close(self) -> None:
        if self._timer:
            self._timer.cancel()
