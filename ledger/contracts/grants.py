"""Orders, grants and commands: what the mechanism's decisions are on the chain.

Owns: the rows of orders, grants and commands, and making the next command.
Refuses: nothing; who may make one is contracts/dispatch.py's and contracts/settlement.py's business.

Rules:
- A buyer's order holds its rights in escrow from the start; a seller's grant holds the station's from the moment it is
  connected. What is in escrow leaves it only as payment for proven units, or back where it came from.
- A grant is one connection: at most k units at one station for one order. It is open while connected, closing until it
  is known what was delivered, then closed.
- Each change of a station's open grants makes a new command: the station's whole order, with a counter that rises. The
  commands that list a grant have counters from `first` to `last`, without a gap.
"""

from __future__ import annotations

from hashlib import sha256
from typing import NamedTuple

from ledger.app import Context
from ledger.contracts import parameters
from ledger.contracts.shelf import Counter, Shelf
from ledger.dispatch import Side
from ledger.state import Reader
from wire.command import ACTIONS

OPEN, CLOSING, CLOSED = range(3)
IDLE, CHARGE, DISCHARGE = range(len(ACTIONS.names))
LIMIT_W_MAX = (1 << 31) - 1
COMMAND_GRANTS_MAX = 64
MICRO = 1_000_000  # energy is shared out in µWh, so that nothing is lost to rounding


class Order(NamedTuple):
    user: bytes
    side: int
    units: int
    limit_w: int
    meter: bytes
    paid: int  # units
    live: int  # 0: it ends as soon as its grants have closed


class Grant(NamedTuple):
    order: int
    user: bytes
    station: bytes
    meter: bytes
    side: int
    units: int
    loss_ppm: int
    limit_w: int
    status: int
    opened_s: int
    lease_until: int
    claim_until: int
    first: int
    last: int  # 0 while it is open
    paid: int  # units
    station_uwh: int  # its share of what the station's register moved
    user_uwh: int  # what was used of the user's register for it
    crossings: tuple[int, ...]  # the station's rows that complete units not yet paid
    moved_s: int  # when it last moved anything
    final_seq: int  # the station's last row that counts, by its receipt; -1 until then
    final_s: int


class Command(NamedTuple):
    """The last one, as the dispatch service signs it: wire/command.py."""

    id: bytes
    counter: int
    grants: tuple[int, ...]
    action: int
    limit_w: int
    energy_wh: int
    not_before: int
    lease_until: int


def _tuple(*grants: int) -> tuple[int, ...]:
    return grants


ORDERS = Shelf("order", Order)
GRANTS = Shelf("grant", Grant)
COMMANDS = Shelf("command", Command)
OPEN_AT = Shelf("open", _tuple)  # a station's open grants, oldest first
ORDERS_OF = Shelf("orders", _tuple)  # a user's, oldest first
NEXT_ORDER = Counter("next-order")
NEXT_GRANT = Counter("next-grant")


def full_uwh(ctx: Context, grant: Grant) -> int:
    return grant.units * parameters.get(ctx.state, "unit_wh") * MICRO


def open_grants(view: Reader, station: bytes) -> list[tuple[int, Grant]]:
    return [(number, GRANTS.need(view, number, "unknown-grant")) for number in OPEN_AT.get(view, station) or ()]


def prune(ctx: Context, number: int) -> None:
    """An old closed grant goes when a new one comes."""
    old = number - parameters.get(ctx.state, "grants_kept")
    if old >= 0:
        row = GRANTS.get(ctx.state, old)
        if row is not None and row.status == CLOSED:
            GRANTS.delete(ctx.state, old)


def renew(ctx: Context, number: int, grant: Grant) -> Grant:
    lease_until = ctx.time_s + parameters.get(ctx.state, "lease_s")
    claim_until = lease_until + parameters.get(ctx.state, "claim_s")
    grant = grant._replace(lease_until=lease_until, claim_until=claim_until)
    GRANTS.put(ctx.state, number, grant)
    return grant


def counter_of(view: Reader, station: bytes) -> int:
    row = COMMANDS.get(view, station)
    return 0 if row is None else row.counter


def command_id(chain_id: str, station: bytes, counter: int) -> bytes:
    return sha256(chain_id.encode() + station + counter.to_bytes(8, "big")).digest()[:16]


def command(ctx: Context, station: bytes) -> None:
    """The station's whole order anew, from its open grants: buyers discharge it, sellers charge it, both by what is
    left between them."""
    counter = counter_of(ctx.state, station) + 1
    numbers = []
    limit_w = energy_uwh = 0
    lease_until = ctx.time_s
    for number, grant in open_grants(ctx.state, station):
        sign = 1 if grant.side == Side.SELL else -1
        numbers.append(number)
        limit_w += sign * grant.limit_w
        energy_uwh += sign * max(full_uwh(ctx, grant) - grant.station_uwh, 0) if grant.limit_w else 0
        lease_until = max(lease_until, grant.lease_until)
    action = IDLE if not limit_w else CHARGE if limit_w > 0 else DISCHARGE
    row = Command(
        id=command_id(ctx.chain_id, station, counter),
        counter=counter,
        grants=tuple(numbers),
        action=action,
        limit_w=min(abs(limit_w), LIMIT_W_MAX),
        energy_wh=-(-abs(energy_uwh) // MICRO) if action != IDLE else 0,
        not_before=ctx.time_s,
        lease_until=lease_until if numbers else ctx.time_s + parameters.get(ctx.state, "lease_s"),
    )
    COMMANDS.put(ctx.state, station, row)
    ctx.emit("command", station=station, **row._asdict())
