"""Time as the service sees it: the site clock that was handed in, beside a clock that never steps.

Owns: `WallClock`, what may be missing from a clock, noticing that the site clock jumped.
Refuses: correcting anybody's clock.
Invariants: ages and waits inside the gateway are by the machine's monotonic clock; times in messages by the site's. For
`DOUBT_S` after a jump beats call the time stale, so that no device takes it over without another word.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any, Protocol

from wire.rows import STALE, SYNCED

STEP_MS = 2_000
DOUBT_S = 600
NAP_MS = 1_000


class Clock(Protocol):
    """The site clock. It may also have `sleep_until`, `took`, `gave`, `hold` and `lock_step`: an emulated one stands
    still while a message is under way."""

    def now_ms(self) -> int: ...


class WallClock:
    """The time of a site that is not emulated."""

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000


class SiteTime:
    def __init__(self, clock: Clock) -> None:
        self.now_ms = clock.now_ms
        self.took: Callable[[int], None] = getattr(clock, "took", _nothing)
        self.gave: Callable[[int], None] = getattr(clock, "gave", _nothing)
        self.lock_step: bool = getattr(clock, "lock_step", False)
        self._sleep_until: Any = getattr(clock, "sleep_until", None)
        self._hold: Any = getattr(clock, "hold", None)
        self._offset_ms = clock.now_ms() - mono_ms()
        self._doubt_until_ms = 0

    def now_s(self) -> int:
        return self.now_ms() // 1_000

    async def sleep_until(self, at_ms: int) -> None:
        """Returns at once for a time that has passed, and never later than the clock said now that it would be."""
        if self.lock_step:
            await self._sleep_until(at_ms)
            return
        until_ms = mono_ms() + at_ms - self.now_ms()
        while (left_ms := min(at_ms - self.now_ms(), until_ms - mono_ms())) > 0:
            await asyncio.sleep(min(left_ms, NAP_MS) / 1_000)

    def hold(self, why: str) -> AbstractContextManager[None]:
        """While something is unanswered that the site's time should wait for."""
        return self._hold(why) if self._hold is not None else _no_hold()

    def stepped_ms(self) -> int:
        """How far the clock jumped since the last look; 0 where it did not."""
        if self.lock_step:
            return 0
        offset_ms = self.now_ms() - mono_ms()
        step_ms, self._offset_ms = offset_ms - self._offset_ms, offset_ms
        if abs(step_ms) < STEP_MS:
            return 0
        self._doubt_until_ms = mono_ms() + DOUBT_S * 1_000
        return step_ms

    def doubted(self) -> bool:
        return mono_ms() < self._doubt_until_ms

    def quality(self) -> int:
        return STALE if self.doubted() else SYNCED


def mono_ms() -> int:
    return time.monotonic_ns() // 1_000_000


def _nothing(_: int) -> None:
    """A clock that does not wait for us need not hear what is under way."""


@contextlib.contextmanager
def _no_hold() -> Iterator[None]:
    yield
