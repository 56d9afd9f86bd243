"""The tables of a gateway's file, and how an older file becomes one of today.

Owns: the layout's number, its tables, one step from each layout to the next.
Refuses: a file of a newer layout; a step on a file that could not be copied aside first.
Invariant: a migration is one transaction; before it the file is copied to NAME.layout-N.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

from wire import envelope, state
from wire.enrol import Entry

LAYOUT = 2
KINDS = ("entry", "report", "attested", "coarse", "state", "receipt")  # by their number in the file

_SHOWN = ("entry", "report", "report", "coarse", "state", "receipt")

# A message's n rises in the order of storing; blocks are ranges of n, so that sealing changes no message. The view
# `message` is for readers from outside: it keeps its columns when the tables change.
TABLES = """
create table meta (key text primary key, value blob not null) without rowid;
create table device (n integer primary key, id blob not null unique);
create table place (
    device integer primary key, next_seq integer not null, head blob not null, import_wh integer, export_wh integer,
    time_s integer not null, key integer not null, since integer not null
);
create table stored (
    n integer primary key, device integer not null, kind integer not null, seq integer, next_seq integer,
    suspect integer not null, urgent integer not null, at_ms integer not null, raw blob not null
);
create index stored_by_row on stored (device, next_seq) where next_seq is not null;
create table held (
    device integer, seq integer, kind integer not null, key integer not null, raw blob not null,
    primary key (device, seq)
) without rowid;
create table block (
    height integer primary key, first_n integer not null, last_n integer not null, hash blob not null,
    signed blob not null, urgency integer not null, at_ms integer not null, main_height integer, main_index integer
);
create index block_by_last on block (last_n);
create table entry (n integer primary key, device blob not null, raw blob not null unique, sent integer not null);
create table enrolment (device blob primary key, at_ms integer not null, raw blob not null) without rowid;
create table number (device integer primary key, number integer not null);
create table receipt (device integer, identity blob, primary key (device, identity)) without rowid;
create table counter (station blob primary key, counter integer not null) without rowid;
create table refused (n integer primary key, at_ms integer, device blob, reason text, detail text, raw blob);
create table tally (word text primary key, count integer not null) without rowid;
create table alarm (
    word text, about text, detail text not null, first_ms integer not null, last_ms integer not null,
    count integer not null, primary key (word, about)
) without rowid;
create view message as
    select stored.n as n, id as device, KIND as kind, seq, next_seq, suspect, urgent, at_ms, raw,
    (select height from block where last_n >= stored.n order by last_n limit 1) as height
    from stored join device on device.n = stored.device;
""".replace("KIND", "case kind " + " ".join(f"when {n} then '{name}'" for n, name in enumerate(_SHOWN)) + " end")


class LayoutError(Exception):
    """The file cannot be used as it is; the text says what to do."""


def open_file(path: Path) -> sqlite3.Connection:
    """The one connection that writes, on a file of today's layout."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        db.execute("pragma journal_mode = wal")
        db.execute("pragma synchronous = full")  # a commit that returned survives a power cut
        layout = db.execute("pragma user_version").fetchone()[0]
    except (OSError, sqlite3.Error) as error:
        raise LayoutError(f"{path} cannot be opened: {error}") from None
    if layout > LAYOUT:
        raise LayoutError(f"{path} has layout {layout}, this program knows {LAYOUT}: run the version that made it")
    if layout == 0:
        db.execute("pragma auto_vacuum = incremental")
        db.executescript(f"begin; {TABLES} pragma user_version = {LAYOUT}; commit;")
    elif layout < LAYOUT:
        _migrate(db, path, layout)
    return db


def _migrate(db: sqlite3.Connection, path: Path, layout: int) -> None:
    aside = path.with_name(f"{path.name}.layout-{layout}")
    if not aside.exists():
        try:
            with sqlite3.connect(aside.with_suffix(".new")) as copy:
                db.backup(copy)
            copy.close()
            aside.with_suffix(".new").replace(aside)
        except (OSError, sqlite3.Error) as error:
            raise LayoutError(f"{path} is of an older version and could not be copied to {aside}: {error}") from None
    db.execute("begin immediate")
    try:
        for step in range(layout, LAYOUT):
            STEPS[step](db)
        db.execute(f"pragma user_version = {LAYOUT}")
        db.execute("commit")
    except BaseException:
        db.execute("rollback")
        raise


def _from_1(db: sqlite3.Connection) -> None:
    """Devices get numbers; heads and positions are no longer kept beside the messages that show them; a block is a
    range. What was not sealed keeps its order; what was sealed is in order already."""
    old = ("meta", "position", "message", "held", "block", "entry", "enrolment", "counter", "refused")
    for name in old:
        db.execute(f"alter table {name} rename to old_{name}")
    for index in ("message_by_device", "message_by_block"):
        db.execute(f"drop index {index}")
    for statement in TABLES.split(";"):
        db.execute(statement)
    for name in ("meta", "enrolment", "counter", "refused"):
        db.execute(f"insert into {name} select * from old_{name}")
    db.execute("insert into meta select 'forwarded-words', value from old_meta where key = 'forwarded'")
    db.execute("insert into entry select n, device, raw, 0 from old_entry")
    db.execute("insert into device (id) select device from old_message union select device from old_position")
    kind = " ".join(f"when '{name}' then {number}" for number, name in enumerate(KINDS))
    number = "(select n from device where id = old.device)"
    db.execute(
        f"insert into stored select n, {number}, case kind {kind} end, seq, next_seq, suspect, urgent, at_ms, raw"
        " from old_message as old order by n"
    )
    held = db.execute(f"select {number}, seq, case kind {kind} end, 0, raw from old_held as old").fetchall()
    db.executemany("insert into held values (?, ?, ?, ?, ?)", held)
    db.execute(
        "insert into block select height, (select min(n) from old_message as m where m.height = old.height),"
        " (select max(n) from old_message as m where m.height = old.height), hash, signed, 0, 0,"
        " main_height, main_index"
        " from old_block as old"
    )
    serials: dict[bytes, int] = {}
    for device, raw in db.execute("select device, raw from entry order by n"):
        serials[device] = Entry.decode(envelope.split(raw).payload).serial
    for device, *place in db.execute(
        "select device, next_seq, head, import_wh, export_wh from old_position"
    ).fetchall():
        since = serials.get(device, 0)
        values = (device, *place, since)
        db.execute("insert into place select n, ?2, ?3, ?4, ?5, 0, 0, ?6 from device where id = ?1", values)
    for (device,) in db.execute("select n from device").fetchall():
        _number_states(db, device)
    for name in old:
        db.execute(f"drop table old_{name}")


def _number_states(db: sqlite3.Connection, device: int) -> None:
    """The highest number of a station's states, which layout 1 did not keep."""
    raws = db.execute("select raw from stored where device = ? and kind = ?", (device, KINDS.index("state")))
    numbers = [state.State.decode(envelope.split(raw).payload).number for (raw,) in raws]
    if numbers:
        db.execute("insert into number values (?, ?)", (device, max(numbers)))


STEPS: dict[int, Callable[[sqlite3.Connection], None]] = {1: _from_1}
