"""The gateway's disk, read only: messages as they come, sealed blocks, refused messages, the names of boards.

Owns: the queries and how far they have come.
Refuses: writing, waiting for the writer, more than a handful of messages at once.
Invariant: a file that is not there yet is an empty one.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, Protocol

from pilot.page.boards import DAY_S, Notice, Stored
from wire import envelope
from wire.chain.slave import SlaveHeader
from wire.enrol import Entry

BATCH = 400
LEAD_S = 3_600  # before midnight, to find the reading that the day begins with
BLOCKS_SHOWN = 12
NEWCOMER = ("unknown-key",)  # what a board hears until the registrar has entered it


class Sealed(NamedTuple):
    """A slave block and what became of it."""

    height: int
    time_s: int
    urgency: int
    messages: int
    main_height: int | None


class Cabinet(Protocol):
    """What the page asks of a gateway."""

    def names(self) -> dict[bytes, str]: ...
    def messages(self) -> list[Stored]:
        """Those that came since the last time, at most a handful; none when there are no more."""
        ...

    def blocks(self) -> list[Sealed]:
        """The last ones, newest first."""
        ...

    def refused(self) -> list[Notice]:
        """Messages refused since the last time."""
        ...

    def waiting(self) -> int:
        """Messages that no block holds yet."""
        ...


class GatewayDisk:
    """A gateway's SQLite file, from the messages of today on."""

    def __init__(self, path: Path, now_s: int, offset_min: int) -> None:
        self._path = path
        local_s = now_s + offset_min * 60
        self._since_ms = (local_s - local_s % DAY_S - offset_min * 60 - LEAD_S) * 1_000
        self._db: sqlite3.Connection | None = None
        self._message = self._refused = 0

    def _open(self) -> sqlite3.Connection | None:
        if self._db is None and self._path.exists():
            db = sqlite3.connect(f"file:{self._path}?mode=ro", uri=True, timeout=1.0)
            self._message = _first(db, self._since_ms) - 1
            self._db = db
        return self._db

    def _rows(self, query: str, *values: object) -> list[tuple[object, ...]]:
        db = self._open()
        return [] if db is None else db.execute(query, values).fetchall()

    def names(self) -> dict[bytes, str]:
        entries = (
            Entry.decode(envelope.split(raw).payload) for (raw,) in self._bytes("select raw from entry order by n")
        )
        return {entry.device: entry.name for entry in entries}

    def _bytes(self, query: str) -> Iterator[tuple[bytes]]:
        db = self._open()
        if db is not None:
            yield from db.execute(query)

    def messages(self) -> list[Stored]:
        if self._open() is None:
            return []
        columns = "n, device, kind, at_ms, suspect, raw"
        rows = self._rows(f"select {columns} from message where n > ? order by n limit ?", self._message, BATCH)
        found = [Stored(*row) for row in rows]  # type: ignore[arg-type]
        if found:
            self._message = found[-1].n
        return found

    def blocks(self) -> list[Sealed]:
        found = []
        rows = self._rows("select signed, main_height from block order by height desc limit ?", BLOCKS_SHOWN)
        for signed, main_height in rows:
            assert isinstance(signed, bytes) and (main_height is None or isinstance(main_height, int))
            header = SlaveHeader.decode(envelope.split(signed).payload)
            found.append(Sealed(header.height, header.time_s, header.urgency, header.count, main_height))
        return found

    def refused(self) -> list[Notice]:
        found = []
        query = "select n, at_ms, device, reason, detail from refused where n > ? order by n limit ?"
        db = self._open()
        for n, at_ms, device, reason, detail in [] if db is None else db.execute(query, (self._refused, BATCH)):
            self._refused = n
            words = f"the gateway refused a message: {reason}" + (f" ({detail})" if detail else "")
            found.append(Notice(at_ms // 1_000, device or "somebody", words, reason not in NEWCOMER))
        return found

    def waiting(self) -> int:
        rows = self._rows("select count(*) from message where height is null")
        return int(str(rows[0][0])) if rows else 0


def _first(db: sqlite3.Connection, since_ms: int) -> int:
    """The first message not before that time, by halving: n and at_ms rise together, and only n has an index."""
    low, high = 1, 1 + int(db.execute("select coalesce(max(n), 0) from message").fetchone()[0])
    while low < high:
        middle = (low + high) // 2
        at_ms = db.execute("select at_ms from message where n >= ? order by n limit 1", (middle,)).fetchone()[0]
        low, high = (middle + 1, high) if at_ms < since_ms else (low, middle)
    return low
