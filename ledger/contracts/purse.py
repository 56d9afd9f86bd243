"""Where value lies. A chain has one kind: tokens (mT) on the transaction chain, rights (Wh) on the schedule chain.

Owns: purses, the move between two, business records.
Refuses: moves of nothing or of more than there is.

Rules:
- All of it is made at genesis; nothing makes or destroys any later. Every move goes from one purse to another.
- A purse is an account's, an order's escrow, a lock's address, or the lock pool. None is ever below zero.
- Invariant after every block: what was put into purses is what was taken out of others.

Business records (`query record`): one for each payment, transfer across or delivered unit, as a person would tell it.
The lock's own movements are none. The state keeps the last `records_kept` and a hash over all; each is an event.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Any, NamedTuple

from ledger.app import Context, Refused
from ledger.contracts import accounts, parameters
from ledger.contracts.shelf import Counter, Shelf
from ledger.state import Draft, Reader
from wire import cbor
from wire.ids import id_bytes, id_text

POOL = b"pool"
_PREFIX = b"purse/"
SUPPLY = Counter("supply")


class Record(NamedTuple):
    giver: bytes
    taker: bytes
    amount: int
    message: str
    height: int
    tx: bytes


class RecordsHead(NamedTuple):
    made: int
    hash: bytes


RECORDS = Shelf("record", Record)
HEADS = Shelf("records", RecordsHead)


def order_purse(order: int) -> bytes:
    return b"order:" + order.to_bytes(8, "big")


def lock_purse(tx_id: bytes) -> bytes:
    """A fresh address, derived from the transaction that locks."""
    return b"lock:" + sha256(tx_id).digest()[:8]


def balance(view: Reader, purse: bytes) -> int:
    value = view.get(_PREFIX + purse)
    assert value is None or isinstance(value, int)
    return value or 0


def move(ctx: Context, source: bytes, target: bytes, amount: int) -> None:
    """Amounts of nothing are refused: they are mistakes, or fill the chain."""
    ctx.require(amount > 0, "bad-amount", "an amount is above 0")
    held = balance(ctx.state, source)
    ctx.require(held >= amount, "insufficient", f"{held} of {amount}")
    _write(ctx.state, source, held - amount)
    _write(ctx.state, target, balance(ctx.state, target) + amount)


def empty(ctx: Context, source: bytes, target: bytes) -> int:
    """All that is left there; 0 is no mistake here."""
    amount = balance(ctx.state, source)
    if amount:
        move(ctx, source, target, amount)
    return amount


def _write(draft: Draft, purse: bytes, amount: int) -> None:
    assert amount >= 0
    if amount:
        draft.put(_PREFIX + purse, amount)
    else:
        draft.delete(_PREFIX + purse)


def record(ctx: Context, giver: bytes, taker: bytes, amount: int, message: str = "") -> None:
    head = HEADS.get(ctx.state, b"") or RecordsHead(0, bytes(32))
    row = Record(giver, taker, amount, message, ctx.height, ctx.tx_id)
    RECORDS.put(ctx.state, head.made, row)
    kept = parameters.get(ctx.state, "records_kept")
    if head.made >= kept:
        RECORDS.delete(ctx.state, head.made - kept)
    HEADS.put(ctx.state, b"", RecordsHead(head.made + 1, sha256(head.hash + cbor.encode(list(row))).digest()))
    ctx.emit("record", number=head.made, giver=giver, taker=taker, amount=amount, message=message)


# ---- genesis, queries, invariant ------------------------------------------------------------------------------------


def genesis(ctx: Context, section: Any) -> None:
    """[in the pool, [[account, amount], …]]: all the value there will ever be."""
    total, balances = section or (0, ())
    _write(ctx.state, POOL, total)
    for who, amount in balances:
        account = accounts.called(ctx, who)
        accounts.require_account(ctx, account)
        _write(ctx.state, account, balance(ctx.state, account) + amount)
        total += amount
    SUPPLY.put(ctx.state, total)


def total(view: Reader) -> int:
    """The sum over all purses: always the supply."""
    return sum(value for _, value in view.scan(_PREFIX) if isinstance(value, int))


def conserved(draft: Draft) -> None:
    """What this block made of the purses it touched adds up to what was in them; at genesis, to the supply."""
    made = _grown(draft, SUPPLY.key)
    assert _grown(draft, _PREFIX) == made, "value was made or lost"


def _grown(draft: Draft, prefix: bytes) -> int:
    grown = 0
    for _, old, new in draft.changed(prefix):
        assert not (isinstance(new, int) and new < 0), "a purse is below zero"
        grown += (new if isinstance(new, int) else 0) - (old if isinstance(old, int) else 0)
    return grown


def show_balance(view: Reader, argument: Any) -> int:
    """`query balance`: an account's by its id, or any purse's by its bytes."""
    if isinstance(argument, str):
        argument = id_bytes(argument)
    if not isinstance(argument, bytes):
        raise Refused("bad-argument", "an id or a purse")
    return balance(view, argument)


def show_records(view: Reader, _argument: Any) -> list[dict[str, Any]]:
    """`query record`: who gave whom how much, oldest first."""
    return [
        {
            "number": int.from_bytes(number, "big"),
            "from": accounts.name_of(view, row.giver),
            "to": accounts.name_of(view, row.taker),
            "amount": row.amount,
            "message": row.message or None,
            "height": row.height,
            "from_id": id_text(row.giver),
            "to_id": id_text(row.taker),
        }
        for number, row in RECORDS.all(view)
    ]


QUERIES = {"balance": show_balance, "record": show_records}
