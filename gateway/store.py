"""What the gateway must not lose: one SQLite file, one writer, one transaction a batch.

Owns: what a batch writes; what intake remembers. Normal start-up is the recovery: memory is a cache of this file.
Refuses: two writers at a time (`writing` waits); writing on after a failed commit (the caller reads everything anew).
Invariant: when `writing` ends without an error, the batch is on disk; until then nobody outside hears of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from gateway.alarms import Alarm
from gateway.intake import Held, Stored
from gateway.registry import Device
from gateway.sequence import Item, Position, Track
from gateway.store_layout import KINDS, open_file
from gateway.store_read import Books, open_rows
from wire.chain.slave import SlaveBlock
from wire.report import Coarse
from wire.rows import NONE

REFUSED_KEPT = 10_000
NUMBERS_MAX = 50_000

_INSERT = "insert into stored values (?, ?, ?, ?, ?, ?, ?, ?, ?)"
_ENTRY, _REPORT, _ATTESTED, _COARSE, _STATE, _RECEIPT = range(len(KINDS))


class Store:
    """`next_n` is the number of the next message."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lock = asyncio.Lock()
        self.on_failure: Callable[[], None] = lambda: None  # memory follows the disk before anybody else may write
        self._db = open_file(path)
        self.books = Books(self._db)
        self._thread = ThreadPoolExecutor(1, "commit")
        self._pending: list[tuple[object, ...]] = []
        self._numbers: dict[bytes, int] = {}
        self.next_n = self._next_n()

    def _next_n(self) -> int:
        one = "select max(coalesce((select max(n) from stored), 0), coalesce((select max(last_n) from block), 0))"
        return int(self._db.execute(one).fetchone()[0]) + 1

    def close(self) -> None:
        self._thread.shutdown()
        self._db.close()

    # ------------------------------------------------------------ a batch

    @contextlib.asynccontextmanager
    async def writing(self) -> AsyncIterator[None]:
        """One transaction. The disk is waited for in a thread: devices are heard meanwhile."""
        async with self.lock:
            self._db.execute("begin immediate")
            try:
                yield
                self._flush()
                await self._commit()
            except BaseException:
                self._give_up()
                raise

    async def _commit(self) -> None:
        """A commit that began is waited for, also by who is told to stop: what it did must be known."""
        work = asyncio.get_running_loop().run_in_executor(self._thread, self._db.execute, "commit")
        try:
            await asyncio.shield(work)
        except asyncio.CancelledError:
            await asyncio.wait([work])
            raise

    @contextlib.contextmanager
    def writing_now(self) -> Iterator[None]:
        """One transaction of who runs alone: tools, and the start."""
        assert not self.lock.locked()
        self._db.execute("begin immediate")
        try:
            yield
            self._flush()
            self._db.execute("commit")
        except BaseException:
            self._give_up()
            raise

    def _give_up(self) -> None:
        self._pending.clear()
        self._numbers.clear()
        if self._db.in_transaction:
            self._db.execute("rollback")
        self.next_n = self._next_n()
        self.on_failure()

    def _flush(self) -> None:
        if self._pending:
            self._db.executemany(_INSERT, self._pending)
            self._pending.clear()

    def number_of(self, device: bytes) -> int:
        """The device's own number in this file."""
        number = self._numbers.get(device)
        if number is None:
            row = self._db.execute("select n from device where id = ?", (device,)).fetchone()
            if row is None:
                row = (self._db.execute("insert into device (id) values (?)", (device,)).lastrowid,)
            if len(self._numbers) >= NUMBERS_MAX:
                self._numbers.clear()
            number = self._numbers[device] = int(row[0])
        return number

    def put(self, stored: Stored, at_ms: int) -> list[tuple[int, bytes]]:
        """Stores a message, and with it those that were held for it; number and bytes of each."""
        device = self.number_of(stored.device)
        rows = []
        for item, raw, suspect in stored.taken:
            kind = KINDS.index(stored.kind) if raw is stored.raw else _kind_of(item)
            self._pending.append(
                (self.next_n, device, kind, item.seq, item.next_seq, suspect, stored.urgent, at_ms, raw)
            )
            rows.append((self.next_n, raw))
            self.next_n += 1
        if len(stored.taken) > 1:
            last = stored.taken[-1].item.seq
            self._db.execute("delete from held where device = ? and seq <= ?", (device, last))
        if not stored.taken:
            kind = KINDS.index(stored.kind)
            self._pending.append((self.next_n, device, kind, None, None, 0, stored.urgent, at_ms, stored.raw))
            rows.append((self.next_n, stored.raw))
            self.next_n += 1
        if stored.number is not None:
            self._db.execute("insert or replace into number values (?, ?)", (device, stored.number))
        if stored.receipt is not None:
            self._db.execute("insert or ignore into receipt values (?, ?)", (device, stored.receipt))
        return rows

    def put_place(self, device: bytes, position: Position, since: int) -> None:
        """Where a device is taken over; `since` is the serial of the entry that brought it here."""
        registers = position.registers or (None, None)
        values = (self.number_of(device), position.next_seq, position.head, *registers)
        values = (*values, position.time_s, position.key, since)
        self._db.execute("insert or replace into place values (?, ?, ?, ?, ?, ?, ?, ?)", values)

    def put_held(self, held: Held, key: int) -> None:
        values = (self.number_of(held.device), held.seq, KINDS.index(held.kind), key, held.raw)
        self._db.execute("insert or replace into held values (?, ?, ?, ?, ?)", values)

    def put_block(
        self, block: SlaveBlock, first_n: int, last_n: int, at_ms: int, main: tuple[int, int] | None = None
    ) -> None:
        header = block.header
        values = (header.height, first_n, last_n, header.hash(), block.signed, header.urgency, at_ms)
        self._db.execute("insert into block values (?, ?, ?, ?, ?, ?, ?, ?, ?)", (*values, *(main or (None, None))))

    def put_refused(self, at_ms: int, device: bytes | None, reason: str, detail: str, raw: bytes) -> None:
        self._db.execute(
            "insert into refused (at_ms, device, reason, detail, raw) values (?, ?, ?, ?, ?)",
            (at_ms, device, reason, detail, raw),
        )
        self._db.execute("delete from refused where n <= (select max(n) from refused) - ?", (REFUSED_KEPT,))

    def add(self, word: str, count: int) -> None:
        """To a tally that outlives restarts."""
        one = "insert into tally values (?, ?) on conflict (word) do update set count = count + excluded.count"
        self._db.execute(one, (word, count))

    def put_alarm(self, word: str, about: str, alarm: Alarm | None) -> None:
        if alarm is None:
            self._db.execute("delete from alarm where word = ? and about = ?", (word, about))
        else:
            values = (word, about, alarm.detail, alarm.first_ms, alarm.last_ms, alarm.count)
            self._db.execute("insert or replace into alarm values (?, ?, ?, ?, ?, ?)", values)

    def put_enrolment(self, device: bytes, at_ms: int, raw: bytes) -> None:
        self._db.execute("insert or replace into enrolment values (?, ?, ?)", (device, at_ms, raw))

    def put_entry(self, device: bytes, raw: bytes) -> None:
        self._db.execute("insert into entry (device, raw, sent) values (?, ?, 0)", (device, raw))
        self._db.execute("delete from enrolment where device = ?", (device,))

    def put_entry_sent(self, raw: bytes) -> None:
        self._db.execute("update entry set sent = 1 where raw = ?", (raw,))

    def put_counter(self, station: bytes, counter: int) -> None:
        self._db.execute("insert or replace into counter values (?, ?)", (station, counter))

    def put_sent(self, height: int, main_height: int, main_index: int) -> None:
        values = (main_height, main_index, height)
        self._db.execute("update block set main_height = ?, main_index = ? where height = ?", values)

    def put_meta(self, key: str, value: bytes) -> None:
        self._db.execute("insert or replace into meta values (?, ?)", (key, value))

    def execute(self, statement: str, values: tuple[Any, ...] = ()) -> sqlite3.Cursor:
        """For this store's own parts (retention, restoring), inside `writing`."""
        self._flush()
        return self._db.execute(statement, values)

    # ------------------------------------------------------------ what intake remembers

    def track(self, device: Device) -> Track | None:
        self._flush()
        number = self._known_number(device.id)
        row = self._db.execute("select * from place where device = ?", (number,)).fetchone()
        if row is None or row[7] < device.since:
            return None
        _, next_seq, head, imported, exported, time_s, key, _ = row
        position = Position(next_seq, head, None if imported is None else (imported, exported), time_s, key)
        last = "select kind, raw from stored where device = ? and next_seq > ? order by next_seq desc limit 1"
        found = self._db.execute(last, (number, next_seq)).fetchone()
        if found is not None:
            item, kid = open_rows(*found)
            position = _behind(item, device.kids.index(kid) if kid in device.kids else key)
        track = Track(position)
        held = self._db.execute("select kind, raw, key from held where device = ?", (number,))
        for kind, raw, held_key in held.fetchall():
            item, _ = open_rows(kind, raw)
            if item.next_seq > position.next_seq:
                track.held[item.seq] = (item, raw, held_key)
        return track

    def _known_number(self, device: bytes) -> int:
        row = self._db.execute("select n from device where id = ?", (device,)).fetchone()
        return 0 if row is None else int(row[0])

    def head_at(self, device: bytes, seq: int) -> bytes | None:
        """The stored head before a row, where it is the border of a report that is still here."""
        self._flush()
        one = "select kind, raw from stored where device = ? and next_seq = ?"
        found = self._db.execute(one, (self._known_number(device), seq)).fetchone()
        return None if found is None else open_rows(*found)[0].next_head

    def number(self, device: bytes) -> int:
        row = self._db.execute("select number from number where device = ?", (self._known_number(device),)).fetchone()
        return -1 if row is None else int(row[0])

    def answered(self, device: bytes, receipt: bytes) -> bool:
        one = "select 1 from receipt where device = ? and identity = ?"
        return self._db.execute(one, (self._known_number(device), receipt)).fetchone() is not None

    # ------------------------------------------------------------ what the service begins with

    def waiting(self) -> list[tuple[int, bytes, bool]]:
        """Stored messages that no block holds yet, oldest first."""
        one = "select n, raw, urgent from stored where n > (select coalesce(max(last_n), 0) from block) order by n"
        return [(n, raw, bool(urgent)) for n, raw, urgent in self._db.execute(one)]

    def has_entry(self, raw: bytes) -> bool:
        return self._db.execute("select 1 from entry where raw = ?", (raw,)).fetchone() is not None

    def alarms(self) -> list[Alarm]:
        return [Alarm(*row) for row in self._db.execute("select * from alarm")]

    def counters(self) -> dict[bytes, int]:
        return dict(self._db.execute("select station, counter from counter").fetchall())

    def get_meta(self, key: str) -> bytes | None:
        row = self._db.execute("select value from meta where key = ?", (key,)).fetchone()
        return None if row is None else row[0]


def _kind_of(item: Item) -> int:
    if isinstance(item, Coarse):
        return _COARSE
    return _ATTESTED if item.gateway else _REPORT


def _behind(item: Item, key: int) -> Position:
    if isinstance(item, Coarse):
        registers = None if item.last is None else (item.last[0], item.last[1])
        return Position(item.next_seq, item.next_head, registers, 0 if item.quality == NONE else item.time_s, key)
    last = item.rows[-1]
    time_s = 0 if item.quality == NONE else item.time_s + sum(row[0] for row in item.rows)
    return Position(item.next_seq, item.next_head, (last[1], last[2]), time_s, key)
