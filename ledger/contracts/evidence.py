"""Readings: how far the chain has followed each device, and the energy between two rows that may back a claim.

Owns: each device's position and the intervals between its rows.
Refuses: rows out of order, heads that do not fit, senders who have no business with the device.

Rules:
- A device's reports come in the order of their rows: each begins where the last one ended, with the head that it had.
  So an interval of a register is seen once, and what is made of it is made then, or never.
- Only to where no grant needs the device yet may its reports jump forward: a new beginning, and nothing between backs
  a claim. A coarse report of the device jumps at any time, likewise.
- Only the device's gateway, its account or a company sends its reports: who could send a later one first could take
  away what lies before.
- Nothing is backed by an interval that ends or begins in a suspect row, ends in a takeover, or has an end without a
  time or with one that is still to come.
- The station's rows say which command was in force: from the row of the event that it was taken, until the next, a
  safe state or a start.
- Once a device has signed with a newer key, an older one is over.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from ledger.app import Context, Refused
from ledger.contracts import accounts, devices, parameters
from ledger.contracts.devices import Device
from ledger.contracts.grants import GRANTS
from ledger.contracts.shelf import Shelf
from ledger.state import Reader
from wire import envelope, report, units
from wire import rows as wire_rows
from wire.chain.kinds import EVIDENCE
from wire.ids import id_text, kid_of
from wire.report import Coarse, Report
from wire.rows import EVENTS, HEAD_START, NONE

HOUR_S = 3_600
REPORT, ATTESTED, COARSE = range(len(EVIDENCE.names))
START, SAFE_ENTERED = EVENTS.index("start"), EVENTS.index("safe entered")
TAKEOVER, COMMAND = EVENTS.index("takeover"), EVENTS.index("command")


class Position(NamedTuple):
    """Behind the last row that was taken."""

    next_seq: int
    head: bytes
    time_s: int  # of the last row that had a time
    imported_wh: int
    exported_wh: int
    sound: int  # whether an interval may begin here
    counter: int  # of the command in force; 0 is none
    key_index: int
    bought_uwh: int  # seen and not yet used for a claim, by direction; contracts/settlement.py
    sold_uwh: int


class Interval(NamedTuple):
    """Energy between two rows, one after the other."""

    seq: int  # of the row it ends in
    from_s: int
    until_s: int
    imported_wh: int
    exported_wh: int
    counter: int


def _grants(*grants: int) -> tuple[int, ...]:
    return grants


POSITIONS = Shelf("position", Position)
NEEDED_BY = Shelf("needed", _grants)  # the grants not yet closed that a device's rows count for


def position(view: Reader, device: bytes) -> Position:
    return POSITIONS.get(view, device) or Position(0, HEAD_START, 0, 0, 0, 0, 0, 0, 0, 0)


def take(ctx: Context, kind: int, raw: bytes) -> tuple[bytes, list[Interval]]:
    """Checks one signed report and moves its device's position; what may back a claim comes back. Writes nothing where
    it refuses."""
    payload = envelope.split(raw).payload
    if kind == COARSE:
        coarse = Coarse.decode(payload)
        _open(ctx, coarse.id, raw, Coarse.DOMAIN)
        _jump(ctx, coarse)
        return coarse.id, []
    rows = report.decode(payload, attested=kind == ATTESTED)
    if kind == ATTESTED:
        ctx.require(rows.gateway == devices.in_force(ctx.state, rows.id).gateway, "wrong-id", "another gateway's word")
    index = _open(ctx, rows.id, raw, report.ATTESTED_DOMAIN if kind == ATTESTED else wire_rows.DOMAIN)
    return rows.id, list(_follow(ctx, rows, index))


def _open(ctx: Context, device: bytes, raw: bytes, domain: str) -> int:
    """The index of the key it is signed with."""
    row = devices.in_force(ctx.state, device)
    _require_sender(ctx, row)
    public_keys = devices.signing_keys(ctx.state, device)
    devices.open_word(ctx.state, device, raw, domain)
    kid = envelope.split(raw).kid
    return next(index for index, key in enumerate(public_keys) if kid_of(key) == kid)


def _require_sender(ctx: Context, device: Device) -> None:
    allowed = ctx.account in (device.account, device.gateway)
    ctx.require(allowed or accounts.role_of(ctx.state, ctx.account) == accounts.COMPANY, "not-allowed")


def _jump(ctx: Context, coarse: Coarse) -> None:
    """Onward to the end of a range of which only the ends are known."""
    at = position(ctx.state, coarse.id)
    ctx.require(coarse.next_seq > at.next_seq, "old-rows", f"position {at.next_seq}")
    ctx.require(coarse.seq != at.next_seq or coarse.head == at.head, "bad-link", "another head")
    imported_wh, exported_wh = coarse.last or (at.imported_wh, at.exported_wh)
    time_s = coarse.time_s if coarse.time_s <= _latest_s(ctx, coarse.quality) else 0
    at = at._replace(next_seq=coarse.next_seq, head=coarse.next_head, time_s=time_s, sound=0, counter=0)
    POSITIONS.put(ctx.state, coarse.id, at._replace(imported_wh=imported_wh, exported_wh=exported_wh))


def _follow(ctx: Context, rows: Report, key_index: int) -> Iterator[Interval]:
    at = position(ctx.state, rows.id)
    ctx.require(key_index >= at.key_index, "unknown-key", "the device has a newer key")
    if rows.seq != at.next_seq:
        ctx.require(rows.seq > at.next_seq, "old-rows", f"position {at.next_seq}")
        ctx.require(_before_grants(ctx, rows), "gap", f"position {at.next_seq}, a grant needs all rows")
        at = at._replace(sound=0, counter=0, time_s=0)
    else:
        ctx.require(rows.head == at.head, "bad-link", "another head at this row")
    at = at._replace(next_seq=rows.seq, key_index=key_index)
    intervals = []
    latest_s = _latest_s(ctx, rows.quality)
    time_s = rows.time_s
    for row in rows.rows:
        time_s += row[0]
        at, interval = _step(at, row, time_s if time_s <= latest_s else 0)
        if interval is not None:
            intervals.append(interval)
    POSITIONS.put(ctx.state, rows.id, at._replace(head=rows.next_head))
    return iter(intervals)


def _interval(at: Position, row: list[Any], time_s: int) -> Interval | None:
    """The energy of a step, if it can have flowed in its time. (A boot's first row is judged by that alone.)"""
    imported_wh, exported_wh = row[1] - at.imported_wh, row[2] - at.exported_wh
    longest_s = max(time_s - at.time_s, 0) + 1
    if (imported_wh + exported_wh - 2) * HOUR_S > units.POWER_W_MAX * longest_s:
        return None
    return Interval(at.next_seq, at.time_s, time_s, imported_wh, exported_wh, at.counter)


def _latest_s(ctx: Context, quality: int) -> int:
    """Up to when a time that a device gives is one."""
    return ctx.time_s + parameters.get(ctx.state, "drift_s") if quality != NONE else -1


def _before_grants(ctx: Context, rows: Report) -> bool:
    needed = NEEDED_BY.get(ctx.state, rows.id) or ()
    opened = [GRANTS.need(ctx.state, number, "unknown-grant").opened_s for number in needed]
    return not opened or (rows.quality != NONE and rows.time_s <= min(opened))


def _step(at: Position, row: list[Any], time_s: int) -> tuple[Position, Interval | None]:
    """One row on. `time_s` is 0 where it has none."""
    event, value = row[7].get(0, (None, 0)) if len(row) > 7 else (None, 0)
    placed = time_s and at.time_s and event != START  # else power says nothing about the interval
    dt = max(time_s - at.time_s, 0) if placed else 0
    suspect = units.suspect_values(row) or units.suspect_step((at.imported_wh, at.exported_wh), [dt, *row[1:]])
    sound = not suspect and time_s > 0
    interval = None
    if sound and at.sound and event != TAKEOVER:
        interval = _interval(at, row, time_s)
    counter = value if event == COMMAND else 0 if event in (START, SAFE_ENTERED) else at.counter
    at = at._replace(
        next_seq=at.next_seq + 1,
        time_s=time_s or at.time_s,
        imported_wh=row[1],
        exported_wh=row[2],
        sound=int(sound or (event == TAKEOVER and time_s > 0)),
        counter=counter,
    )
    return at, interval


def need(ctx: Context, device: bytes, grant: int) -> None:
    """From now on the device's rows may not jump over its grant's time."""
    grants = NEEDED_BY.get(ctx.state, device) or ()
    if grant not in grants:
        NEEDED_BY.put(ctx.state, device, (*grants, grant))


def release(ctx: Context, device: bytes, grant: int) -> None:
    left = tuple(one for one in NEEDED_BY.get(ctx.state, device) or () if one != grant)
    if left:
        NEEDED_BY.put(ctx.state, device, left)
        return
    NEEDED_BY.delete(ctx.state, device)
    at = POSITIONS.get(ctx.state, device)
    if at is not None:
        POSITIONS.put(ctx.state, device, at._replace(bought_uwh=0, sold_uwh=0))


def require_fresh(ctx: Context, device: bytes, seconds: int) -> None:
    at = POSITIONS.get(ctx.state, device)
    if at is None or at.time_s < ctx.time_s - seconds:
        raise Refused("stale-meter", id_text(device))
