"""The gateway's file: what a commit means when it fails, a disk that is full or closed, files of an older layout."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.intake import Stored
from gateway.mqtt import Message
from gateway.service_batch import Batches
from gateway.service_clock import SiteTime
from gateway.store import Store
from gateway.store_layout import LAYOUT, LayoutError
from gateway.store_read import Books
from tests.gateway.rig import KEY, REGISTRAR, Wall, check_chain, config
from tests.softdevice import SoftDevice
from wire import envelope, topics
from wire.chain import slave
from wire.rows import HEAD_START


def batches(folder: Path, **changed: Any) -> Batches:
    settings = config(1, folder, **changed)
    return Batches(settings, KEY, SiteTime(Wall()), Store(folder / "gateway.db"), lambda words: None)


def message(device: SoftDevice, kind: str, raw: bytes) -> Message:
    return Message(topics.up(device.id, kind), raw, 1, 1, False, 1)


async def begun(folder: Path, device: SoftDevice) -> Batches:
    """With one device that has said hello."""
    found = batches(folder, block_age_ms=10)
    await found.enter(device.entry(REGISTRAR, KEY.kid))
    await found.take([message(device, "hello", device.hello())])
    return found


class FailingCommit:
    """A connection whose next commit raises, before or after it has done its work."""

    def __init__(self, db: sqlite3.Connection, after: bool) -> None:
        self._db = db
        self._after = after
        self.armed = True

    def execute(self, statement: str, *values: Any) -> Any:
        if statement == "commit" and self.armed:
            self.armed = False
            if self._after:
                self._db.execute(statement)
            raise sqlite3.OperationalError("disk I/O error")
        return self._db.execute(statement, *values)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._db, name)


@pytest.mark.parametrize("after", [False, True], ids=["failed", "persisted, but an error came back"])
def test_a_commit_that_fails_is_tried_again_and_nothing_is_doubled(tmp_path: Path, after: bool) -> None:
    async def story() -> None:
        device = SoftDevice("one")
        found = await begun(tmp_path, device)
        reports = [message(device, "report", device.report()) for _ in range(3)]
        await found.take(reports[:1])
        found.store._db = FailingCommit(found.store._db, after)  # type: ignore[assignment]
        with pytest.raises(sqlite3.OperationalError):
            await found.take(reports)
        found.recover()
        assert (found.durable(device.id).next_seq == 30) is after  # type: ignore[union-attr]
        await found.take(reports)
        await asyncio.sleep(0.02)
        await found.take([])
        assert check_chain(Books.open(tmp_path / "gateway.db"))[1:] == [one.payload for one in reports]

    asyncio.run(story())


def full(store: Store) -> Callable[[], None]:
    """No page more than there are; returns what gives space back."""
    store._db.execute("pragma wal_checkpoint(truncate)")
    store._db.execute(f"pragma max_page_count = {store._db.execute('pragma page_count').fetchone()[0]}")
    return lambda: store._db.execute("pragma max_page_count = 1000000")  # type: ignore[return-value]


def closed(store: Store) -> Callable[[], None]:
    store._db.execute("pragma query_only = on")
    return lambda: store._db.execute("pragma query_only = off")  # type: ignore[return-value]


@pytest.mark.parametrize("spoil, words", [(full, "full"), (closed, "readonly")])
def test_a_disk_that_takes_nothing(tmp_path: Path, spoil: Callable[[Store], Callable[[], None]], words: str) -> None:
    """Nothing is taken, memory stays what the disk says, and it goes on by itself."""

    async def story() -> None:
        device = SoftDevice("one")
        found = await begun(tmp_path, device)
        many = [message(device, "report", device.report()) for _ in range(40)]
        repair = spoil(found.store)
        with pytest.raises(sqlite3.OperationalError, match=words):
            await found.take(many)
        found.recover()
        assert found.durable(device.id).next_seq == 0  # type: ignore[union-attr]
        repair()
        await found.take(many)
        assert found.durable(device.id).next_seq == 400  # type: ignore[union-attr]

    asyncio.run(story())


def test_a_file_that_cannot_be_opened_says_why(tmp_path: Path) -> None:
    path = tmp_path / "gateway.db"
    path.write_bytes(b"no database at all, but long enough to be taken for the head of one" * 20)
    with pytest.raises(LayoutError, match="not a database"):
        Store(path)
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(LayoutError, match="cannot be opened"):
        Store(tmp_path / "file" / "gateway.db")


def test_a_newer_layout_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "gateway.db"
    Store(path).close()
    db = sqlite3.connect(path)
    db.execute(f"pragma user_version = {LAYOUT + 1}")
    db.close()
    with pytest.raises(LayoutError, match="run the version that made it"):
        Store(path)


LAYOUT_1 = """
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
pragma user_version = 1;
"""


def write_layout_1(path: Path, device: SoftDevice) -> list[bytes]:
    """Entry, three reports sealed in two blocks, one that waits, one held; the messages in order."""
    entry = device.entry(REGISTRAR, KEY.kid)
    reports = [device.report() for _ in range(4)]
    device.report()
    held = device.report()
    db = sqlite3.connect(path)
    db.executescript(LAYOUT_1)
    db.execute("insert into entry values (1, ?, ?)", (device.id, entry))
    previous = slave.START
    for height, body in ((1, [entry, *reports[:2]]), (2, reports[2:3])):
        block = slave.seal(
            KEY, body, alliance=3, gateway=KEY.kid, height=height, previous=previous, urgency=0, time_s=1_750_000_000
        )
        previous = block.header.hash()
        db.execute("insert into block values (?, ?, ?, ?, ?)", (height, previous, block.signed, None, None))
    values = [(1, device.id, "entry", None, None, None, 0, 1, 5, 1, entry)]
    for number, raw in enumerate(reports):
        height = (1, 1, 2, None)[number]
        row = (number + 2, device.id, "report", 10 * number, 10 * number + 10, HEAD_START, 0, 0, 5, height, raw)
        values.append(row)  # type: ignore[arg-type]
    db.executemany(f"insert into message values ({','.join('?' * 11)})", values)
    db.execute("insert into position values (?, 40, ?, 200, 0)", (device.id, HEAD_START))
    db.execute("insert into held values (?, 50, 'report', ?)", (device.id, held))
    db.execute("insert into meta values ('forwarded', x'0000000000000003')")
    db.execute("insert into counter values (?, 7)", (device.id,))
    db.commit()
    db.close()
    return [entry, *reports]


def test_a_file_of_layout_1_goes_on_where_it_was(tmp_path: Path) -> None:
    device = SoftDevice("old")
    messages = write_layout_1(tmp_path / "gateway.db", device)

    async def story() -> None:
        found = batches(tmp_path, block_age_ms=10)
        assert found.height == 2
        assert found.store.counters() == {device.id: 7}
        position = found.durable(device.id)
        assert position is not None and position.next_seq == 40
        await found.take([])
        books = Books.open(tmp_path / "gateway.db")
        assert check_chain(books) == messages
        assert books.counts()["held"] == 1
        assert books.get_meta("forwarded-words") == (3).to_bytes(8, "big")

    asyncio.run(story())
    aside = sqlite3.connect(tmp_path / "gateway.db.layout-1")
    assert aside.execute("pragma user_version").fetchone()[0] == 1
    assert aside.execute("select count(*) from message").fetchone()[0] == 5


def test_readers_from_outside_see_the_columns_they_know(tmp_path: Path) -> None:
    async def story() -> None:
        device = SoftDevice("one")
        found = await begun(tmp_path, device)
        await found.take([message(device, "report", device.report())])
        await asyncio.sleep(0.02)
        await found.take([])
        db = sqlite3.connect(f"file:{tmp_path}/gateway.db?mode=ro", uri=True)
        rows = db.execute("select n, device, kind, suspect, height from message order by n").fetchall()
        assert rows == [(1, device.id, "entry", 0, 1), (2, device.id, "report", 0, 2)]

    asyncio.run(story())


def test_messages_are_numbered_on_behind_those_that_are_gone(tmp_path: Path) -> None:
    async def story() -> None:
        device = SoftDevice("one")
        found = await begun(tmp_path, device)
        async with found.store.writing():
            found.store.execute("delete from stored")
        found.store.close()
        again = Store(tmp_path / "gateway.db")
        assert again.next_n == 2
        async with again.writing():
            rows = again.put(Stored(device.id, "entry", envelope.sign(KEY, "x", b"")), 1)
        assert [n for n, _ in rows] == [2]

    asyncio.run(story())
