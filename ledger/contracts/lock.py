"""The transaction lock: the same value on one of two chains at a time, by proof of the other's state and nothing else.

Owns: lock records, receipts, the totals and the rate.
Refuses: what is not proven, confirmed, in time and at this rate; an amount that does not convert.

Rules, the same on both chains (SPV mode):
- Lock: value moves to a fresh address, derived from the transaction; a record says to whom, how much it is over there
  at the rate here, and until which time of that chain it may be taken up. An amount with a remainder is refused.
- Unlock, by anyone: the record proven under a header at least c blocks above it. Before its time is over, at the same
  rate, once: the receipt is written with the credit. It comes out of the pool, which cannot give more than it has.
- Acknowledge, by anyone: the receipt proven, c blocks above it; the value locked joins the pool.
- Refund, by anyone: no receipt under a header whose time is not before the deadline. Every block that could still have
  credited it is before that header, so of unlock and refund only one can ever happen.
- The rate changes only on a closed lock with nothing under way on either side: the sister's totals are proven (closed
  since, or reopened at that rate already), the pool is topped up by the company to what circulates there at the new
  rate, and the lock reopens. A pool that holds more keeps it.
- Invariant after every block: what circulates, what is under way and the pool add up to the supply.

Every transfer is one business record on each side. A lock purse is named in the record, so a page can show it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from ledger.app import Context, Contract, Refused
from ledger.contracts import accounts, clients, parameters, purse
from ledger.contracts.shelf import Shelf, on
from ledger.state import Draft, Reader, freeze
from wire import cbor
from wire.chain import kinds
from wire.chain.kinds import AMOUNT, SCHEDULE, TRANSACTION
from wire.ids import id_text

EXCHANGE, PURCHASE = range(2)


class Record(NamedTuple):
    owner: bytes
    to: bytes  # on the sister
    amount: int
    credit: int  # there
    rate_mt: int
    rate_wh: int
    deadline_s: int  # by the sister's blocks
    purpose: int
    company: bytes  # of a purchase
    height: int
    purse: bytes


class Receipt(NamedTuple):
    to: bytes
    credit: int
    height: int


class Totals(NamedTuple):
    """What the sister has to know to trust a new rate."""

    chain: str  # which sort of chain this is
    sister: str
    closed: int
    epoch: int  # how often it was closed
    rate_mt: int
    rate_wh: int
    pending: int
    pending_amount: int
    circulation: int
    locks: int  # ever made
    last_height: int  # of the last lock or receipt


LOCKS = Shelf("lock", Record)
RECEIPTS = Shelf("receipt", Receipt)
TOTALS = Shelf("totals", Totals)


def totals(view: Reader) -> Totals:
    return TOTALS.need(view, b"", "no-lock")


def convert(row: Totals, amount: int) -> int:
    """Into the sister's value: mT into Wh or back."""
    up, down = (row.rate_wh, row.rate_mt) if row.chain == TRANSACTION else (row.rate_mt, row.rate_wh)
    if amount * up % down:
        raise Refused("remainder", f"{amount} does not convert at {up}/{down}")
    if amount * up // down > AMOUNT.high:
        raise Refused("bad-amount", "more than an amount can be")
    return amount * up // down


def lock(ctx: Context, to: bytes, amount: int, deadline_s: int, purpose: int = EXCHANGE, company: bytes = b"") -> None:
    row = totals(ctx.state)
    ctx.require(not row.closed, "lock-closed")
    ctx.require(deadline_s > ctx.time_s, "too-late", "its deadline is over")
    address = purse.lock_purse(ctx.tx_id)
    purse.move(ctx, ctx.account, address, amount)
    rate = row.rate_mt, row.rate_wh
    record = Record(
        ctx.account, to, amount, convert(row, amount), *rate, deadline_s, purpose, company, ctx.height, address
    )
    LOCKS.put(ctx.state, row.locks, record)
    _book(ctx, row, pending=1, pending_amount=amount, circulation=-amount, locks=1)
    purse.record(ctx, ctx.account, company or ctx.account, amount)
    ctx.emit("lock/locked", lock=row.locks, owner=ctx.account, amount=amount, purse=address, deadline_s=deadline_s)


def _lock(ctx: Context, body: kinds.Lock) -> None:
    lock(ctx, body.to, body.amount, body.deadline_s)


def _unlock(ctx: Context, body: kinds.Unlock) -> None:
    row = totals(ctx.state)
    ctx.require(RECEIPTS.get(ctx.state, body.lock) is None, "already", str(body.lock))
    height, value, proof = body.proof
    clients.prove(ctx, row.sister, height, LOCKS.key(body.lock), value, proof)
    packet = _packet(value)
    _require_confirmed(ctx, height, packet.height)
    ctx.require(ctx.time_s < packet.deadline_s, "too-late", "it is to be refunded")
    ctx.require((packet.rate_mt, packet.rate_wh) == (row.rate_mt, row.rate_wh), "other-rate")
    accounts.require_account(ctx, packet.to)
    purse.move(ctx, purse.POOL, packet.to, packet.credit)
    RECEIPTS.put(ctx.state, body.lock, Receipt(packet.to, packet.credit, ctx.height))
    _book(ctx, row, circulation=packet.credit)
    purse.record(ctx, packet.company or packet.to, packet.to, packet.credit)
    ctx.emit("lock/unlocked", lock=body.lock, to=packet.to, credit=packet.credit)


def _packet(value: bytes) -> Record:
    """The sister's record. It is proven, but not by that alone sane."""
    cells = freeze(cbor.decode(value))
    kinds_of = [bytes, bytes, int, int, int, int, int, int, bytes, int, bytes]
    if not isinstance(cells, tuple) or [type(cell) for cell in cells] != kinds_of:
        raise Refused("bad-packet", "no lock record")
    packet = Record(*cells)
    if packet.credit <= 0 or packet.amount <= 0 or packet.height <= 0:
        raise Refused("bad-packet", "an amount or a height is not above 0")
    return packet


def _require_confirmed(ctx: Context, under: int, height: int) -> None:
    wanted = height + parameters.get(ctx.state, "confirmations")
    ctx.require(under >= wanted, "unconfirmed", f"header {wanted} is needed")


def _acknowledge(ctx: Context, body: kinds.Acknowledge) -> None:
    row, record = totals(ctx.state), LOCKS.need(ctx.state, body.lock, "unknown-lock")
    height, value, proof = body.proof
    clients.prove(ctx, row.sister, height, RECEIPTS.key(body.lock), value, proof)
    cells = freeze(cbor.decode(value))
    if not isinstance(cells, tuple) or len(cells) != len(Receipt._fields) or not isinstance(cells[2], int):
        raise Refused("bad-packet", "no receipt")
    receipt = Receipt(*cells)
    ctx.require((receipt.to, receipt.credit) == (record.to, record.credit), "bad-packet", "of another lock")
    _require_confirmed(ctx, height, receipt.height)
    purse.move(ctx, record.purse, purse.POOL, record.amount)
    LOCKS.delete(ctx.state, body.lock)
    _book(ctx, row, pending=-1, pending_amount=-record.amount)
    ctx.emit("lock/done", lock=body.lock)


def _refund(ctx: Context, body: kinds.Refund) -> None:
    row, record = totals(ctx.state), LOCKS.need(ctx.state, body.lock, "unknown-lock")
    header = clients.prove(ctx, row.sister, body.height, RECEIPTS.key(body.lock), None, body.proof)
    ctx.require(header.time_ns >= record.deadline_s * clients.SECOND_NS, "too-early", "it can still be taken up")
    purse.move(ctx, record.purse, record.owner, record.amount)
    LOCKS.delete(ctx.state, body.lock)
    _book(ctx, row, pending=-1, pending_amount=-record.amount, circulation=record.amount)
    purse.record(ctx, record.company or record.owner, record.owner, record.amount, "refund")
    ctx.emit("lock/refunded", lock=body.lock, owner=record.owner, amount=record.amount)


def _book(ctx: Context, row: Totals, **changes: int) -> None:
    row = row._replace(**{name: getattr(row, name) + by for name, by in changes.items()})
    TOTALS.put(ctx.state, b"", row._replace(last_height=ctx.height))


# ---- the rate -------------------------------------------------------------------------------------------------------


def _close(ctx: Context, _body: kinds.CloseLock) -> None:
    accounts.require_role(ctx, accounts.COMPANY)
    row = totals(ctx.state)
    ctx.require(not row.closed, "lock-closed")
    TOTALS.put(ctx.state, b"", row._replace(closed=1, epoch=row.epoch + 1, last_height=ctx.height))
    ctx.emit("lock/closed", epoch=row.epoch + 1)


def _reopen(ctx: Context, body: kinds.ReopenLock) -> None:
    accounts.require_role(ctx, accounts.COMPANY)
    row = totals(ctx.state)
    ctx.require(row.closed == 1, "lock-open")
    ctx.require(row.pending == 0, "pending", f"{row.pending} under way")
    height, value, proof = body.proof
    clients.prove(ctx, row.sister, height, TOTALS.key(b""), value, proof)
    cells = freeze(cbor.decode(value))
    if not isinstance(cells, tuple) or len(cells) != len(Totals._fields):
        raise Refused("bad-packet", "no totals")
    there = Totals(*cells)
    follows = not there.closed and (there.rate_mt, there.rate_wh) == (body.rate_mt, body.rate_wh)
    ctx.require(there.epoch >= row.epoch and bool(there.closed or follows), "sister-open", "close it there too")
    ctx.require(not there.closed or there.pending == 0, "pending", f"{there.pending} under way there")
    row = row._replace(closed=0, epoch=there.epoch, rate_mt=body.rate_mt, rate_wh=body.rate_wh)
    up, down = (row.rate_mt, row.rate_wh) if row.chain == TRANSACTION else (row.rate_wh, row.rate_mt)
    wanted = -(-(there.circulation + there.pending_amount) * up // down)
    short = max(wanted - purse.balance(ctx.state, purse.POOL), 0)
    ctx.require(body.top_up == short, "top-up", f"{short} is missing in the pool")
    if short:
        purse.move(ctx, ctx.account, purse.POOL, short)
    TOTALS.put(ctx.state, b"", row._replace(circulation=row.circulation - short))
    ctx.emit("lock/reopened", rate_mt=row.rate_mt, rate_wh=row.rate_wh, top_up=short)


# ---- genesis, queries, invariant ------------------------------------------------------------------------------------


def _adds_up(draft: Draft) -> None:
    row = TOTALS.get(draft, b"")
    if row is not None:
        parts = row.circulation + row.pending_amount + purse.balance(draft, purse.POOL)
        assert parts == purse.SUPPLY.get(draft), "circulation, what is under way and the pool are not the supply"


def _show(view: Reader, _argument: Any) -> dict[str, Any]:
    """`query lock`: the totals, and what is under way."""
    under_way = [
        {
            "lock": int.from_bytes(number, "big"),
            "owner": id_text(record.owner),
            "to": id_text(record.to),
            "amount": record.amount,
            "credit": record.credit,
            "height": record.height,
            "deadline_s": record.deadline_s,
            "purse": record.purse.hex(),
        }
        for number, record in LOCKS.all(view)
    ]
    pool, supply = purse.balance(view, purse.POOL), purse.SUPPLY.get(view)
    return {**totals(view)._asdict(), "pool": pool, "supply": supply, "under_way": under_way}


def _awaits(view: Reader) -> int:
    """Up to which height somebody waits: what was locked or credited here is proven c blocks later."""
    row = TOTALS.get(view, b"")
    return row.last_height + parameters.get(view, "confirmations") if row is not None and row.last_height else 0


def contract(chain: str) -> Contract:
    """`awaits` wants blocks until the last lock or receipt is confirmed."""

    def genesis(ctx: Context, section: Any) -> None:
        """[sister's chain id, rate_mt, rate_wh]; without it nothing crosses."""
        if section is not None:
            circulation = purse.SUPPLY.get(ctx.state) - purse.balance(ctx.state, purse.POOL)
            TOTALS.put(ctx.state, b"", Totals(chain, section[0], 0, 0, section[1], section[2], 0, 0, circulation, 0, 0))

    assert chain in (TRANSACTION, SCHEDULE)
    return Contract(
        "lock",
        handlers=dict(
            [
                on(kinds.Lock, _lock),
                on(kinds.Unlock, _unlock),
                on(kinds.Acknowledge, _acknowledge),
                on(kinds.Refund, _refund),
                on(kinds.CloseLock, _close),
                on(kinds.ReopenLock, _reopen),
            ]
        ),
        genesis=genesis,
        queries={"lock": _show},
        invariants=(_adds_up,),
        awaits=_awaits,
    )
