"""Whether the meters of a run and its street agree on the energy: registers as reported against the grid's own totals.

Owns: finding each board's first and last reading of the run, and what its place moved between those very moments.
Refuses: a judgement where it cannot be had, with the reason: too short a run, an emulator that began anew.
Invariant: of a meter only signed readings count, as they lie in the gateway's blocks.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from gateway.store_read import Books
from hardware.emulator.grid import balance_error
from hardware.site.model import Site
from pilot.errors import Unavailable
from pilot.witness import Moment, moments
from wire import envelope, report, rows
from wire.enrol import Entry
from wire.errors import WireError

READINGS_MIN = 5  # seconds between the first and the last


class Register(NamedTuple):
    time_s: int
    net_wh: int


def energy_balance_error(site: Site, gateway_db: Path, grid_log: Path) -> float:
    seen = moments(grid_log) if grid_log.exists() else []
    if len(seen) < READINGS_MIN:
        raise Unavailable("the run was too short")
    by_time = {moment.time_s: moment for moment in seen}
    store = Books.open(gateway_db)
    entries = [Entry.decode(envelope.split(raw).payload) for raw in store.entries()]
    boards = {entry.device: entry.name for entry in entries}
    ends: dict[str, list[Register]] = {}
    for device, register in _registers(store):
        if register.time_s in by_time and register.time_s + 1 in by_time and device in boards:
            first_and_last = ends.setdefault(boards[device], [register, register])
            first_and_last[1] = register
    store.close()
    before, after = seen[0].totals, seen[-1].totals
    metered_wh = {}
    for board in site.boards:
        first, last = ends.get(board.name, [Register(0, 0)] * 2)
        place = board.sensors[0].at
        if place not in before.places_wh:
            continue  # a part of a house, or the transformer: measured once more, not energy of its own
        if last.time_s - first.time_s < READINGS_MIN:
            raise Unavailable(f"{board.name} has too few readings")
        moved_wh = _at(by_time, place, last.time_s) - _at(by_time, place, first.time_s)
        off_wh = last.net_wh - first.net_wh - moved_wh
        metered_wh[place] = after.places_wh[place] - before.places_wh[place] + off_wh
    return balance_error(before, after, metered_wh)


def _at(by_time: dict[int, Moment], place: str, time_s: int) -> float:
    """In the middle of the second in which the row was made: rows carry whole seconds."""
    before, after = (by_time[second].totals.places_wh[place] for second in (time_s, time_s + 1))
    return (before + after) / 2


def _registers(store: Books) -> Iterator[tuple[bytes, Register]]:
    """Of every row made with a good clock, in order."""
    for height in range(1, store.tip()[0] + 1):
        for raw in store.block(height).body:
            try:
                found = report.decode(envelope.split(raw).payload)
            except WireError:
                continue  # another kind of message
            time_s = found.time_s
            for row in found.rows:
                time_s += row[0]
                if found.quality == rows.SYNCED:
                    yield found.id, Register(time_s, row[1] - row[2])
