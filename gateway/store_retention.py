"""What a gateway's file gives up when it is old or the file is too large.

Owns: which messages may go, and keeping the position of a device whose last message goes.
Refuses: what no block holds, what the main node has not confirmed, what the schedule chain has not been sent.
Invariant: a device's position is the same before and after; a pass is small, so that a batch never waits long for one.
"""

from __future__ import annotations

from gateway.config import Keep
from gateway.registry import Registry
from gateway.store import Store

PASS = 2_000  # messages at a time
PAGES = 500  # given back to the file system at a time
DAY_MS = 86_400_000
POINTERS = ("forwarded", "forwarded-words")


async def give_up(
    store: Store, registry: Registry, keep: Keep, now_ms: int, main: bool, schedule: bool, most: int = PASS
) -> int:
    """One pass; how many messages went. `main` and `schedule`: whether there are such chains to wait for."""
    async with store.writing():
        last_n = _free_to_go(store, main, schedule)
        too_large = store.books.size_bytes() > keep.megabytes * 1_000_000
        clause = "n <= ?" if too_large else "n <= ? and at_ms < ?"
        values = (last_n,) if too_large else (last_n, now_ms - keep.days * DAY_MS)
        found = store.execute(f"select n from stored where {clause} order by n limit ?", (*values, most)).fetchall()
        if not found:
            return 0
        first, last = found[0][0], found[-1][0]
        _keep_positions(store, registry, first, last)
        store.execute("delete from stored where n between ? and ?", (first, last))
        store.execute(f"pragma incremental_vacuum({PAGES})").fetchall()
    return len(found)


def _free_to_go(store: Store, main: bool, schedule: bool) -> int:
    """The last message that nobody waits for any more."""
    where = "where main_height is null" if main else "where 0"
    first_unsent = store.execute(f"select min(first_n) from block {where}").fetchone()[0]
    sealed = int(store.execute("select coalesce(max(last_n), 0) from block").fetchone()[0])
    limits = [sealed if first_unsent is None else int(first_unsent) - 1]
    if schedule:
        limits += [int.from_bytes(store.get_meta(name) or b"", "big") for name in POINTERS]
    return min(limits)


def _keep_positions(store: Store, registry: Registry, first: int, last: int) -> None:
    """Devices of which nothing later is stored: where they stand is written down before it goes."""
    one = (
        "select distinct id from stored join device on device.n = stored.device where stored.n between ? and ?"
        " and next_seq is not null and not exists (select 1 from stored as later"
        " where later.device = stored.device and later.next_seq is not null and later.n > ?)"
    )
    for (device,) in store.execute(one, (first, last, last)).fetchall():
        known = registry.devices.get(device)
        track = store.track(known) if known is not None else None
        if known is not None and track is not None:
            store.put_place(device, track.position, known.since)
