"""Keys in the order of their bytes, for a state of a million of them.

Owns: a list of short sorted lists, so that a new key moves hundreds of its neighbours and not all of them.
Refuses: nothing; a key stands in it once, however often it is added.
Invariant: runs are sorted, not empty (but for the first of none), at most RUN keys long, and rise one after the other.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator

RUN = 1_024


class KeyOrder:
    def __init__(self) -> None:
        self._runs: list[list[bytes]] = [[]]
        self._firsts: list[bytes] = [b""]  # of each run; the first run takes whatever is below the second's

    def add(self, key: bytes) -> None:
        place = bisect_right(self._firsts, key) - 1
        run = self._runs[place]
        at = bisect_left(run, key)
        if at < len(run) and run[at] == key:
            return
        run.insert(at, key)
        if len(run) > RUN:
            half = len(run) // 2
            self._runs.insert(place + 1, run[half:])
            self._firsts.insert(place + 1, run[half])
            del run[half:]

    def remove(self, key: bytes) -> None:
        place = bisect_right(self._firsts, key) - 1
        run = self._runs[place]
        del run[bisect_left(run, key)]
        if not run and place:
            del self._runs[place], self._firsts[place]

    def scan(self, prefix: bytes) -> Iterator[bytes]:
        """All keys that begin so, rising."""
        place = bisect_right(self._firsts, prefix) - 1
        at = bisect_left(self._runs[place], prefix)
        for run in self._runs[place:]:
            for i in range(at, len(run)):
                if not run[i].startswith(prefix):
                    return
                yield run[i]
            at = 0
