"""Two first runs at once: one works, the other waits and then finds the work done.

Owns: a lock on a file, freed by the kernel when its holder dies.
Refuses: locks that outlive a process; an interrupted set-up must not block the next one.
"""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pilot.console import say


@contextmanager
def only_one(lock: Path, work: str) -> Iterator[None]:
    """Hold `lock` while the body runs; say so when another process is at the same work."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("a") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"waiting for another tallygrid that is at it: {work}")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
