"""One chain on disk: its state and its blocks in one SQLite file.

Owns: the tables, one transaction a block (state, block, index, `app_hash`), reading back, backups.
Refuses: a second process on one file, another format, a damaged file, a block that is not the next; as StoreError.
Invariants: after a crash at any instruction the file holds exactly the blocks whose `write` returned, and perhaps the
one that was being written, whole; readers never see half a block.
"""

from __future__ import annotations

import fcntl
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import IO, Any, NamedTuple

from ledger.app import Event, Place, Result
from ledger.state import Diff, freeze
from wire import cbor

FORMAT = 1
BLOCK_BYTES_MAX = 64 << 20

SCHEMA = """
create table meta(name text primary key, value blob) without rowid;
create table state(key blob primary key, value blob not null) without rowid;
create table blocks(
    height integer primary key, time_ns integer not null, app_hash blob not null, light blob, txs blob, results blob
);
create table txs(
    account blob, sequence integer, height integer not null, place integer not null, primary key(account, sequence)
) without rowid;
"""


class StoreError(Exception):
    """The file cannot be used, or cannot be written. The text says what to do."""


class Block(NamedTuple):
    """A block that is in force. `light` is a LightBlock's bytes where the engine makes its own headers."""

    height: int
    time_ns: int
    app_hash: bytes  # of the state after it
    txs: tuple[bytes, ...] = ()
    results: tuple[Result, ...] = ()
    light: bytes | None = None


class Head(NamedTuple):
    height: int
    app_hash: bytes


class Store:
    def __init__(self, path: Path, connect: Callable[..., Any] = sqlite3.connect) -> None:
        self.path = path
        self._lock = _lock(path)
        try:
            self._open(connect)
        except sqlite3.Error as error:
            self._lock.close()
            raise self._damaged(error) from error
        except BaseException:
            self._lock.close()
            raise

    def _open(self, connect: Callable[..., Any]) -> None:
        self._write = connect(self.path, isolation_level=None, check_same_thread=False)
        self._write.execute("pragma journal_mode=wal")
        self._write.execute("pragma synchronous=full")
        self._read = connect(self.path, isolation_level=None, check_same_thread=False)
        self._is_new = not self._read.execute("select 1 from sqlite_master where name='meta'").fetchone()
        if not self._is_new and self._meta("format") != bytes([FORMAT]):
            raise StoreError(f"{self.path}: written in another format")

    def close(self) -> None:
        self._read.close()
        self._write.close()
        self._lock.close()

    # ------------------------------------------------------------ writing

    def create(self, chain_id: str, genesis: bytes, diff: Diff) -> None:
        """The state at height 0 and the document it came from."""

        def fill(db: Any) -> None:
            for statement in SCHEMA.split(";"):
                db.execute(statement)
            rows = {"format": bytes([FORMAT]), "chain": chain_id.encode(), "genesis": genesis}
            db.executemany("insert into meta values(?, ?)", rows.items())
            self._put(db, 0, diff)

        assert self._is_new
        self._transaction(fill)
        self._is_new = False

    def write(self, diff: Diff, block: Block, places: Sequence[Place]) -> None:
        """All of a block, or nothing. Returns once it is on the disk."""

        def fill(db: Any) -> None:
            self._put(db, block.height, diff)
            db.execute(
                "insert into blocks values(?, ?, ?, ?, ?, ?)",
                (
                    block.height,
                    block.time_ns,
                    block.app_hash,
                    block.light,
                    cbor.encode(list(block.txs)) if block.txs else None,
                    encode_results(block.results) if block.txs else None,
                ),
            )
            if places:
                rows = [(account, sequence, block.height, place) for account, sequence, place in places]
                db.executemany("insert into txs values(?, ?, ?, ?)", rows)

        head = self.head()
        if head is None or block.height != head.height + 1:
            raise StoreError(f"{self.path}: block {block.height} on {head}")
        self._transaction(fill)

    def replace(self, height: int, diff: Diff) -> None:
        """The state of a snapshot in place of what was here, and no blocks before it."""

        def fill(db: Any) -> None:
            for table in ("state", "blocks", "txs"):
                db.execute(f"delete from {table}")
            self._put(db, height, diff)

        self._transaction(fill)

    def _put(self, db: Any, height: int, diff: Diff) -> None:
        gone = [(key,) for key, value in diff.changes.items() if value is None]
        rows = [(key, value) for key, value in diff.changes.items() if value is not None]
        if gone:
            db.executemany("delete from state where key=?", gone)
        if rows:
            db.executemany("insert or replace into state values(?, ?)", rows)
        db.execute("insert or replace into meta values('head', ?)", (height.to_bytes(8, "big") + diff.app_hash,))

    def _transaction(self, fill: Callable[[Any], None]) -> None:
        db = self._write
        try:
            db.execute("begin immediate")
            try:
                fill(db)
                db.execute("commit")
            except BaseException:
                if db.in_transaction:
                    db.execute("rollback")
                raise
        except sqlite3.Error as error:
            raise StoreError(f"{self.path}: {error}; the next start goes on from what the disk has") from error

    # ------------------------------------------------------------ reading

    def head(self) -> Head | None:
        """None before genesis."""
        if self._is_new:
            return None
        raw = self._meta("head")
        return Head(int.from_bytes(raw[:8], "big"), raw[8:])

    @property
    def chain_id(self) -> str:
        return self._meta("chain").decode()

    @property
    def genesis(self) -> bytes:
        return self._meta("genesis")

    def _meta(self, name: str) -> bytes:
        found = self._ask("select value from meta where name=?", name).fetchone()
        return found[0] if found else b""

    def rows(self) -> Iterator[tuple[bytes, bytes]]:
        """The state, in the order of its keys."""
        try:
            yield from self._ask("select key, value from state order by key")
        except sqlite3.Error as error:
            raise self._damaged(error) from error

    def block(self, height: int) -> Block | None:
        row = self._ask("select height, time_ns, app_hash, txs, results, light from blocks where height=?", height)
        found = row.fetchone()
        if found is None:
            return None
        height, time_ns, app_hash, txs, results, light = found
        raws: Any = cbor.decode(txs, size=BLOCK_BYTES_MAX) if txs else ()
        return Block(height, time_ns, app_hash, tuple(raws), decode_results(results) if results else (), light)

    def find(self, account: bytes, sequence: int) -> tuple[int, int] | None:
        """Height and place of the transaction that used that number up."""
        found = self._ask("select height, place from txs where account=? and sequence=?", account, sequence).fetchone()
        return (found[0], found[1]) if found else None

    def _ask(self, sql: str, *values: Any) -> Any:
        try:
            return self._read.execute(sql, values)
        except sqlite3.Error as error:
            raise self._damaged(error) from error

    def _damaged(self, error: Exception | str) -> StoreError:
        return StoreError(f"{self.path}: {error}; `restore` brings a backup back")

    def backup(self, target: Path) -> None:
        """A whole copy as of one moment, while the chain goes on."""
        copy = sqlite3.connect(target)
        try:
            self._read.backup(copy)
        except sqlite3.Error as error:
            raise StoreError(f"{target}: {error}") from error
        finally:
            copy.close()


def _lock(path: Path) -> IO[str]:
    """Held until it is closed, or until the process is gone."""
    lock = open(f"{path}.lock", "w")  # noqa: SIM115
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.close()
        raise StoreError(f"{path}: in use by another process") from None
    return lock


def encode_results(results: Sequence[Result]) -> bytes:
    """CBOR, as `cbor.encode` has it; put together here because names and ids come again and again."""
    pieces = [cbor.head(cbor.ARRAY, len(results))]
    add = pieces.append
    for result in results:
        pieces += (_ARRAY_OF_3, _encoded(result.reason), _encoded(result.detail), _array(len(result.events)))
        for event in result.events:
            pieces += (_ARRAY_OF_2, _encoded(event.kind), _array(len(event.fields)))
            for name, value in event.fields.items():
                add(_ARRAY_OF_2)
                add(_encoded(name))
                add(_encoded(value))
    return b"".join(pieces)


_encoded = lru_cache(16_384)(cbor.encode)
_array = lru_cache(256)(partial(cbor.head, cbor.ARRAY))
_ARRAY_OF_2, _ARRAY_OF_3 = cbor.head(cbor.ARRAY, 2), cbor.head(cbor.ARRAY, 3)


def decode_results(raw: bytes) -> tuple[Result, ...]:
    rows: Any = cbor.decode(raw, 16, BLOCK_BYTES_MAX)
    return tuple(
        Result(
            reason, detail, tuple(Event(kind, {name: freeze(value) for name, value in fields}) for kind, fields in es)
        )
        for reason, detail, es in rows
    )
