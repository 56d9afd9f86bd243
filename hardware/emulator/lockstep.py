"""The site's time in lock-step with its boards: as fast as they compute, or at a multiple of real time.

Owns: when the clock moves on, who holds it and for how long, which boards go on together.
Refuses: what happens (boards, buses, plant, faults) and why something holds.
Invariants: the clock moves only when every board waits, has taken what came for it, and nothing holds it; nothing holds
it for longer than PATIENCE_S of wall time, and what would have is counted in `overdue`.

A step is deterministic: boards act on parts and plant only in `advance`, one after the other, while none computes.
"""

import asyncio
import select
import time
from collections import Counter
from collections.abc import Callable

from .timeline import FOREVER, Agenda, Event, Timeline, Walker

PATIENCE_S = 2.0
LOOKAHEAD_US = 500_000
_SLICE_S = 0.004  # of wall time, then the other tasks of this process have their turn


class LockStep(Timeline):
    """Site time moves when every board waits: as fast as possible, or at most `speed` times real time.

    Boards that are due within `lookahead_us` of the earliest go on together, each at its own time, so that they compute
    at once and need few words: it is how long a message may take from one to another. 0: every instant for itself."""

    lock_step = True

    def __init__(
        self, start_us: int | None = None, speed: float | None = None, lookahead_us: int = LOOKAHEAD_US
    ) -> None:
        super().__init__(start_us)
        self._now_us = super().now_us() if start_us is None else start_us
        self._firm = Agenda()
        self._lookahead_us = lookahead_us
        self._epoll = select.epoll()
        self.network = select.epoll()  # sockets whose bytes must be taken before time moves (link.py)
        self._boards: dict[int, Walker] = {}
        self._holds: Counter[str] = Counter()
        self._held_since = 0.0
        self.overdue: Counter[str] = Counter()  # what took longer than PATIENCE_S, by reason
        self.unread: list[Callable[[], bool]] = []  # says whether a board has bytes that it will take at once
        self._unread_since = 0.0
        self._again: asyncio.Handle | None = None
        self._pumping = self._soon = False
        self.set_speed(speed)
        asyncio.get_running_loop().add_reader(self._epoll.fileno(), self.pump)

    def set_speed(self, speed: float | None) -> None:
        """Site seconds per wall second; None: as many as possible; 0: none, the site stands."""
        self.speed = speed
        self._pace_wall, self._pace_us = time.monotonic(), self._now_us
        self.kick()

    def now_us(self) -> int:
        return self._now_us

    def _paced_us(self) -> int:
        """Where the pace allows the clock to be now."""
        if self.speed is None:
            return FOREVER
        return self._pace_us + int((time.monotonic() - self._pace_wall) * self.speed * 1e6)

    def live_us(self) -> int:
        """What the time is for something that comes from outside: between two events, if the clock is paced."""
        if self.speed is None:
            return self._now_us
        return max(self._now_us, min(self._paced_us(), self._due()[0]))

    def at(self, due_us: int, callback: Callable[[], None], firm: bool = False) -> Event:
        event = (self._firm if firm else self._agenda).add(due_us, callback)
        self.kick()
        return event

    def add(self, board: Walker) -> None:
        self._boards[board.fileno()] = board
        self._epoll.register(board.fileno(), select.EPOLLIN)

    def remove(self, board: Walker) -> None:
        self._boards.pop(board.fileno())
        self._epoll.unregister(board.fileno())
        self.kick()

    def hold(self, reason: str) -> None:
        if not self._holds:
            self._held_since = time.monotonic()
        self._holds[reason] += 1

    def release(self, reason: str) -> None:
        if self._holds[reason] > 1:
            self._holds[reason] -= 1
        else:
            del self._holds[reason]
        self._held_since = time.monotonic()
        if not self._holds:
            self.kick()

    def kick(self) -> None:
        if not (self._pumping or self._soon):
            self._again_in(0)

    def _again_in(self, wait_s: float) -> None:
        if self._again:
            self._again.cancel()
        loop = asyncio.get_running_loop()
        self._soon = wait_s == 0
        self._again = loop.call_soon(self.pump) if self._soon else loop.call_later(wait_s, self.pump)

    def pump(self) -> None:
        """Move the clock as far as it goes in one slice of wall time."""
        if self._again:
            self._again.cancel()
        self._again, self._soon = None, False
        self._pumping = True
        try:
            wait_s = self._pump(time.monotonic() + _SLICE_S)
        finally:
            self._pumping = False
        if wait_s is not None:
            self._again_in(wait_s)

    def _pump(self, end: float) -> float | None:
        """None: something outside will kick; otherwise the wall seconds after which to try again."""
        while True:
            busy = self._awake() or self._unread()
            heard = self._epoll.poll(_SLICE_S if busy else 0)
            for fd, _ in heard:
                board = self._boards.get(fd)
                if board:
                    board.hear()
            now = time.monotonic()
            if not (busy or heard):  # in this order: a board says that it is awake before it takes bytes
                if self.network.poll(0):
                    return 0
                if self._held(now):
                    return PATIENCE_S
                wait_s = self._step()
                if wait_s != 0:
                    return wait_s
            if now > end:
                return 0

    def _unread(self) -> bool:
        unread = False
        for guard in self.unread:
            unread |= guard()
        if not unread:
            self._unread_since = 0.0
            return False
        now = time.monotonic()
        self._unread_since = self._unread_since or now
        if now - self._unread_since < PATIENCE_S:
            return True
        if self._unread_since > 0:
            self.overdue["bytes that a board does not take"] += 1
            self._unread_since = -PATIENCE_S  # counted once
        return False

    def _awake(self) -> bool:
        """Is a board computing? One that does so for very long no longer counts."""
        awake = False
        now = 0.0
        for board in self._boards.values():
            if board.awake_since > 0:
                now = now or time.monotonic()
                if now - board.awake_since < PATIENCE_S or board.computes(PATIENCE_S):
                    awake = True
                elif self._epoll.poll(0):  # we are what was slow: hear first what has been said meanwhile
                    return True
                else:
                    board.awake_since = -1.0
                    self.overdue["a board that does not come back"] += 1
        return awake

    def _held(self, now: float) -> bool:
        if not self._holds:
            return False
        if now - self._held_since < PATIENCE_S:
            return True
        self.overdue.update(self._holds)
        self._holds.clear()
        return False

    def _due(self) -> tuple[int, Agenda | None, int]:
        """The next instant, the agenda that it belongs to (None: a board's), and the next firm one."""
        firm_us, other_us = self._firm.next_us(), self._agenda.next_us()
        board_us = min([b.next_us for b in self._boards.values() if not b.awake_since], default=FOREVER)
        if firm_us <= min(other_us, board_us):
            return firm_us, self._firm, firm_us
        return (other_us, self._agenda, firm_us) if other_us <= board_us else (board_us, None, firm_us)

    def _step(self) -> float | None:
        """Move to the next instant: 0 after it, None when there is none, else how long the pace wants to wait."""
        due_us, agenda, firm_us = self._due()
        if due_us >= FOREVER:
            return None
        if self.speed is not None and due_us > self._paced_us():
            if not self.speed:
                return None
            return max((due_us - self._paced_us()) / self.speed / 1e6, 0.0002)
        if due_us > self._now_us:
            self._now_us = due_us
            if self.on_step:
                self.on_step(due_us)
        if agenda:
            agenda.pop()()
            return 0
        horizon_us = min(due_us + self._lookahead_us, firm_us)
        for board in list(self._boards.values()):
            if board.next_us <= horizon_us and not board.awake_since:
                board.advance(horizon_us)
        return 0

    def close(self) -> None:
        super().close()
        asyncio.get_running_loop().remove_reader(self._epoll.fileno())
        if self._again:
            self._again.cancel()
        self._epoll.close()
        self.network.close()
