"""What can be asked of a gateway's file: for sending on, for people, for export. Reads only.

Owns: `Books`, over the writer's own connection or one that sees what is committed.
Refuses: changing anything.
Invariant: a block is its header and the messages of its range, byte for byte as they were stored.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from gateway.sequence import Item
from gateway.store_layout import KINDS, LAYOUT, LayoutError
from wire import envelope, report
from wire.chain.slave import START, SlaveBlock
from wire.report import Coarse

_COARSE, _ATTESTED = KINDS.index("coarse"), KINDS.index("attested")


class Message(NamedTuple):
    """A stored message; `suspect` is an index into wire.units.SUSPECT."""

    n: int
    device: bytes
    kind: str
    suspect: int
    at_ms: int
    raw: bytes


class Sealed(NamedTuple):
    height: int
    first_n: int
    last_n: int
    hash: bytes
    signed: bytes
    urgency: int
    at_ms: int
    main_height: int | None
    main_index: int | None


class Books:
    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    @classmethod
    def open(cls, path: Path) -> Books:
        """What is committed in a file of today's layout, while a gateway may be writing it."""
        try:
            db = sqlite3.connect(f"file:{path}?mode=ro", uri=True, check_same_thread=False)
            layout = db.execute("pragma user_version").fetchone()[0]
        except sqlite3.Error as error:
            raise LayoutError(f"{path} cannot be read: {error}") from None
        if layout != LAYOUT:
            db.close()
            raise LayoutError(f"{path} has layout {layout}, not {LAYOUT}: start the gateway once, which migrates it")
        return cls(db)

    def close(self) -> None:
        self._db.close()

    # ------------------------------------------------------------ blocks

    def tip(self) -> tuple[int, bytes]:
        """Height and hash of the last block."""
        row = self._db.execute("select height, hash from block order by height desc limit 1").fetchone()
        return (0, START) if row is None else (row[0], row[1])

    def sealed(self, height: int) -> Sealed | None:
        row = self._db.execute("select * from block where height = ?", (height,)).fetchone()
        return None if row is None else Sealed(*row)

    def block(self, height: int) -> SlaveBlock:
        row = self.sealed(height)
        assert row is not None, f"block {height} is not stored"
        raws = self._db.execute("select raw from stored where n between ? and ? order by n", (row.first_n, row.last_n))
        return SlaveBlock(row.signed, [raw for (raw,) in raws])

    def block_bytes(self, block: Sealed) -> int:
        one = "select sum(length(raw)) from stored where n between ? and ?"
        return int(self._db.execute(one, (block.first_n, block.last_n)).fetchone()[0]) + len(block.signed)

    def unsent(self, most: int) -> list[Sealed]:
        """Blocks that the main node has not confirmed, oldest first."""
        rows = self._db.execute("select * from block where main_height is null order by height limit ?", (most,))
        return [Sealed(*row) for row in rows]

    def backlog(self) -> tuple[int, int]:
        """Blocks that the main node has not confirmed, and how many of them are urgent."""
        one = "select count(*), coalesce(sum(urgency), 0) from block where main_height is null"
        count, urgent = self._db.execute(one).fetchone()
        return count, urgent

    def blocks(self, most: int) -> list[Sealed]:
        """The last ones, newest first."""
        return [Sealed(*row) for row in self._db.execute("select * from block order by height desc limit ?", (most,))]

    # ------------------------------------------------------------ messages

    def messages(self, after: int, kinds: tuple[str, ...], most: int) -> list[Message]:
        """Stored behind message `after`, in order of storing."""
        numbers = ",".join(str(KINDS.index(kind)) for kind in kinds)
        found = self._db.execute(
            "select stored.n, id, kind, suspect, at_ms, raw from stored left join device on device.n = device"
            f" where stored.n > ? and kind in ({numbers}) order by stored.n limit ?",
            (after, most),
        )
        return [_message(row) for row in found]

    def rows_from(self, device: bytes, seq: int, most: int) -> list[Message]:
        """Reports of one device that hold rows from `seq` on, in the order of its rows."""
        found = self._db.execute(
            "select stored.n, id, kind, suspect, at_ms, raw from device join stored on stored.device = device.n"
            " where id = ? and next_seq > ? order by next_seq limit ?",
            (device, seq, most),
        )
        return [_message(row) for row in found]

    def last_rows(self, device: bytes, most: int) -> list[Message]:
        """The newest reports of one device, newest first."""
        found = self._db.execute(
            "select stored.n, id, kind, suspect, at_ms, raw from device join stored on stored.device = device.n"
            " where id = ? and next_seq is not null order by next_seq desc limit ?",
            (device, most),
        )
        return [_message(row) for row in found]

    def height_of(self, n: int) -> int | None:
        """The block that holds message n."""
        row = self._db.execute("select height, first_n from block where last_n >= ? order by last_n", (n,)).fetchone()
        return row[0] if row is not None and row[1] <= n else None

    def last_n(self) -> int:
        return int(self._db.execute("select coalesce(max(n), 0) from stored").fetchone()[0])

    # ------------------------------------------------------------ registry

    def entries(self) -> Iterator[bytes]:
        for (raw,) in self._db.execute("select raw from entry order by n"):
            yield raw

    def unsent_entries(self, most: int) -> list[bytes]:
        return [raw for (raw,) in self._db.execute("select raw from entry where sent = 0 order by n limit ?", (most,))]

    def enrolments(self) -> list[tuple[bytes, int, bytes]]:
        return list(self._db.execute("select device, at_ms, raw from enrolment order by at_ms"))

    def positions(self) -> dict[bytes, int]:
        """How many rows of each device are stored (durably, here or before it came)."""
        found = self._db.execute(
            "select id, max(place.next_seq, coalesce((select max(stored.next_seq) from stored"
            " where stored.device = device.n), 0)) from device join place on place.device = device.n"
        )
        return dict(found.fetchall())

    # ------------------------------------------------------------ for people

    def counts(self) -> dict[str, int]:
        one = "select count(*), coalesce(sum(next_seq - seq), 0), coalesce(sum(suspect > 0), 0) from stored"
        messages, rows, suspect = self._db.execute(one).fetchone()
        last = "select coalesce(max(last_n), 0) from block"
        sealed = f"select coalesce(sum(next_seq - seq), 0) from stored where n <= ({last})"
        blocks, confirmed = self._db.execute("select count(*), count(main_height) from block").fetchone()
        tallies = self.tallies()
        return {
            "messages": messages,
            "readings": rows,
            "readings_sealed": self._db.execute(sealed).fetchone()[0],
            "suspect": suspect,
            "blocks": blocks,
            "blocks_confirmed": confirmed,
            "refused": sum(count for word, count in tallies.items() if word.startswith("refused:")),
            "held": self._db.execute("select count(*) from held").fetchone()[0],
        }

    def tallies(self) -> dict[str, int]:
        return dict(self._db.execute("select word, count from tally").fetchall())

    def refused(self, most: int) -> list[dict[str, Any]]:
        names = ("n", "at_ms", "device", "reason", "detail", "raw")
        rows = self._db.execute("select * from refused order by n desc limit ?", (most,))
        return [dict(zip(names, row, strict=True)) for row in rows]

    def alarms(self) -> list[dict[str, Any]]:
        names = ("word", "about", "detail", "first_ms", "last_ms", "count")
        rows = self._db.execute("select * from alarm order by first_ms")
        return [dict(zip(names, row, strict=True)) for row in rows]

    def size_bytes(self) -> int:
        """What the file holds; pages that are free count as free."""
        pages, free, size = (
            int(self._db.execute(f"pragma {name}").fetchone()[0])
            for name in ("page_count", "freelist_count", "page_size")
        )
        return (pages - free) * size

    def get_meta(self, key: str) -> bytes | None:
        row = self._db.execute("select value from meta where key = ?", (key,)).fetchone()
        return None if row is None else row[0]


def _message(row: tuple[Any, ...]) -> Message:
    n, device, kind, suspect, at_ms, raw = row
    return Message(n, device or b"", KINDS[kind], suspect, at_ms, raw)


def open_rows(kind: int, raw: bytes) -> tuple[Item, bytes]:
    """A stored report of whatever kind, and the kid it is signed with. It was checked before it was stored."""
    signed = envelope.split(raw)
    if kind == _COARSE:
        return Coarse.decode(signed.payload), signed.kid
    return report.decode(signed.payload, attested=kind == _ATTESTED), signed.kid
