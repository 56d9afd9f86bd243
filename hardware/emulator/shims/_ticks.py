"""Makes asyncio's timers follow the site clock in lock-step.

asyncio stamps a task that is ready to run with the host's own ticks, which no Python code can replace, and a task that
sleeps with `core.ticks`. Both stand in one queue, ordered modulo the period of ticks. So `core.ticks` is the site
clock moved far ahead of the host's ticks: what is ready always looks overdue, in the order in which it became ready.
Before the site clock has run out of the half period in which that holds, the sleepers are moved back.
"""

from asyncio import core

import _emulator as _e
import utime
from utime import ticks_add, ticks_diff

_AHEAD = 1 << 27  # 37 hours


def _shift():
    global _by
    _by = ticks_diff(ticks_add(utime.ticks_ms(), _AHEAD), _e.ms)


def _ticks():
    return ticks_add(_e.ticks(), _by)


def _rebase():
    queue = core._task_queue
    was = _by
    _shift()
    tasks = []
    while queue.peek():
        tasks.append(queue.pop())
    for t in tasks:
        d = t.data
        queue.push(t, ticks_add(t.ph_key, ticks_diff(_by, was)))
        t.data = d


_shift()
core.ticks = _ticks
_e.rebase = _rebase
_e.mark = _e.ms
