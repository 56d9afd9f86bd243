"""What the gateway must not lose: one SQLite file, one writer, one transaction a batch.

Owns: the tables; what a batch writes; what a start reads back. Normal start-up is the recovery.
Refuses: a file of a newer layout; writing on after a failed commit (the caller reads everything anew).
Invariant: when `commit` returns, the batch is on disk; until then nobody outside hears of it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from gateway.intake import Held, Stored
from gateway.sequence import Position, Track
from wire.chain.slave import START, SlaveBlock
from wire.report import Coarse

LAYOUT = 1
REFUSED_KEPT = 10_000

_TABLES = """
create table meta (key text primary key, value blob not null) without rowid;
create table position (
    device blob primary key, next_seq integer not null, head blob not null, import_wh integer, export_wh integer
) without rowid;
create table message (
    n integer primary key, device blob not null, kind text not null, seq integer, next_seq integer, head blob,
    suspect integer not null, urgent integer not null, at_ms integer not null, height integer, raw blob not null
);
create index message_by_device on message (device, next_seq);
create index message_by_block on message (height, n);
create table held (device blob, seq integer, kind text not null, raw blob not null, primary key (device, seq));
create table block (
    height integer primary key, hash blob not null, signed blob not null, main_height integer, main_index integer
);
create table entry (n integer primary key, device blob not null, raw blob not null);
create table enrolment (device blob primary key, at_ms integer not null, raw blob not null) without rowid;
create table counter (station blob primary key, counter integer not null) without rowid;
create table refused (n integer primary key, at_ms integer, device blob, reason text, detail text, raw blob);
"""


@dataclass(frozen=True)
class Row:
    """A stored message that waits to be sealed."""

    n: int
    size: int
    urgent: bool
    at_ms: int


@dataclass(frozen=True)
class Outgoing:
    """A stored message that the schedule chain wants."""

    n: int
    kind: str
    raw: bytes


class Store:
    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._db.execute("pragma journal_mode = wal")
        self._db.execute("pragma synchronous = full")  # a commit that returned survives a power cut
        layout = self._db.execute("pragma user_version").fetchone()[0]
        if layout == 0:
            self._db.executescript(f"begin; {_TABLES} pragma user_version = {LAYOUT}; commit;")
        elif layout != LAYOUT:
            raise ValueError(f"{path} has layout {layout}, this program knows {LAYOUT}: run the version that made it")

    def close(self) -> None:
        self._db.close()

    # ------------------------------------------------------------ a batch

    def begin(self) -> None:
        self._db.execute("begin immediate")

    def commit(self) -> None:
        self._db.execute("commit")

    def rollback(self) -> None:
        if self._db.in_transaction:
            self._db.execute("rollback")

    def put(self, stored: Stored, at_ms: int) -> list[Row]:
        """Stores a message, and with it those that were held for it."""
        rows = []
        if not stored.taken:
            n = self._insert(stored.device, stored.kind, None, None, None, 0, stored.urgent, at_ms, stored.raw)
            return [Row(n, len(stored.raw), stored.urgent, at_ms)]
        for taken in stored.taken:
            item = taken.item
            kind = "coarse" if isinstance(item, Coarse) else "report"
            place = (item.seq, item.next_seq, item.next_head)
            n = self._insert(stored.device, kind, *place, taken.suspect, stored.urgent, at_ms, taken.raw)
            rows.append(Row(n, len(taken.raw), stored.urgent, at_ms))
            self._db.execute("delete from held where device = ? and seq <= ?", (stored.device, item.seq))
        return rows

    def _insert(self, *values: object) -> int:
        cursor = self._db.execute(
            "insert into message (device, kind, seq, next_seq, head, suspect, urgent, at_ms, raw)"
            " values (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            values,
        )
        assert cursor.lastrowid is not None
        return cursor.lastrowid

    def put_position(self, device: bytes, position: Position) -> None:
        registers = position.registers or (None, None)
        self._db.execute(
            "insert or replace into position values (?, ?, ?, ?, ?)",
            (device, position.next_seq, position.head, *registers),
        )

    def put_held(self, held: Held) -> None:
        values = (held.device, held.seq, held.kind, held.raw)
        self._db.execute("insert or replace into held values (?, ?, ?, ?)", values)

    def put_block(self, block: SlaveBlock, rows: list[int]) -> None:
        height = block.header.height
        self._db.execute(
            "insert into block (height, hash, signed) values (?, ?, ?)", (height, block.header.hash(), block.signed)
        )
        self._db.executemany("update message set height = ? where n = ?", [(height, n) for n in rows])

    def put_refused(self, at_ms: int, device: bytes | None, reason: str, detail: str, raw: bytes) -> None:
        self._db.execute(
            "insert into refused (at_ms, device, reason, detail, raw) values (?, ?, ?, ?, ?)",
            (at_ms, device, reason, detail, raw[:1024]),
        )
        self._db.execute("delete from refused where n <= (select max(n) from refused) - ?", (REFUSED_KEPT,))

    def put_enrolment(self, device: bytes, at_ms: int, raw: bytes) -> None:
        self._db.execute("insert or replace into enrolment values (?, ?, ?)", (device, at_ms, raw))

    def put_entry(self, device: bytes, raw: bytes) -> None:
        self._db.execute("insert into entry (device, raw) values (?, ?)", (device, raw))

    def put_counter(self, station: bytes, counter: int) -> None:
        self._db.execute("insert or replace into counter values (?, ?)", (station, counter))

    def put_sent(self, height: int, main_height: int, main_index: int) -> None:
        values = (main_height, main_index, height)
        self._db.execute("update block set main_height = ?, main_index = ? where height = ?", values)

    # ------------------------------------------------------------ reading back

    def tracks(self) -> dict[bytes, Track]:
        tracks = {}
        for device, next_seq, head, imported, exported in self._db.execute("select * from position"):
            registers = None if imported is None else (imported, exported)
            tracks[device] = Track(Position(next_seq, head, registers))
        return tracks

    def held(self) -> list[Held]:
        rows = self._db.execute("select device, kind, seq, raw from held order by device, seq")
        return [Held(*row) for row in rows]

    def waiting(self) -> list[Row]:
        """Stored messages that no block holds yet, oldest first."""
        rows = self._db.execute("select n, length(raw), urgent, at_ms from message where height is null order by n")
        return [Row(n, size, bool(urgent), at_ms) for n, size, urgent, at_ms in rows]

    def known_head(self, device: bytes, seq: int) -> bytes | None:
        row = self._db.execute("select head from message where device = ? and next_seq = ?", (device, seq)).fetchone()
        return None if row is None else row[0]

    def raws(self, rows: list[int]) -> list[bytes]:
        marks = ",".join("?" * len(rows))
        found = self._db.execute(f"select raw from message where n in ({marks}) order by n", rows)
        return [raw for (raw,) in found]

    def tip(self) -> tuple[int, bytes]:
        """Height and hash of the last block."""
        row = self._db.execute("select height, hash from block order by height desc limit 1").fetchone()
        return (0, START) if row is None else (row[0], row[1])

    def block(self, height: int) -> SlaveBlock:
        signed = self._db.execute("select signed from block where height = ?", (height,)).fetchone()[0]
        rows = self._db.execute("select raw from message where height = ? order by n", (height,))
        return SlaveBlock(signed, [raw for (raw,) in rows])

    def unsent(self, most: int) -> list[int]:
        """Heights of blocks that the main node has not confirmed, oldest first."""
        rows = self._db.execute("select height from block where main_height is null order by height limit ?", (most,))
        return [height for (height,) in rows]

    def outgoing(self, after: int, most: int) -> list[Outgoing]:
        wanted = "kind in ('report', 'coarse', 'state', 'receipt')"
        found = f"select n, kind, raw from message where n > ? and {wanted} order by n limit ?"
        return [Outgoing(*row) for row in self._db.execute(found, (after, most))]

    def has_entry(self, raw: bytes) -> bool:
        return self._db.execute("select 1 from entry where raw = ?", (raw,)).fetchone() is not None

    def entries(self) -> Iterator[bytes]:
        for (raw,) in self._db.execute("select raw from entry order by n"):
            yield raw

    def enrolments(self) -> list[tuple[bytes, int, bytes]]:
        return list(self._db.execute("select device, at_ms, raw from enrolment"))

    def counters(self) -> dict[bytes, int]:
        return dict(self._db.execute("select station, counter from counter").fetchall())

    def counts(self) -> dict[str, int]:
        """For status and metrics."""
        one = "select count(*), coalesce(sum(next_seq - seq), 0), coalesce(sum(suspect > 0), 0) from message"
        messages, rows, suspect = self._db.execute(one).fetchone()
        sealed = self._db.execute("select coalesce(sum(next_seq - seq), 0) from message where height is not null")
        blocks, confirmed = self._db.execute("select count(*), count(main_height) from block").fetchone()
        return {
            "messages": messages,
            "readings": rows,
            "readings_sealed": sealed.fetchone()[0],
            "suspect": suspect,
            "blocks": blocks,
            "blocks_confirmed": confirmed,
            "refused": self._db.execute("select coalesce(max(n), 0) from refused").fetchone()[0],
            "held": self._db.execute("select count(*) from held").fetchone()[0],
        }

    def get_meta(self, key: str) -> bytes | None:
        row = self._db.execute("select value from meta where key = ?", (key,)).fetchone()
        return None if row is None else row[0]

    def put_meta(self, key: str, value: bytes) -> None:
        self._db.execute("insert or replace into meta values (?, ?)", (key, value))
