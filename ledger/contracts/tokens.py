"""Tokens: what the transaction chain moves, in thousandths (mT).

Owns: payments in tokens, and those in rights with them.
Refuses: payments to strangers, of nothing, of more than there is.

Rules:
- A member pays a member; both have accounts here. One payment is one business record.
- Where value may lie and that none is made: contracts/purse.py. Paying the company for rights: contracts/supply.py.
"""

from __future__ import annotations

from ledger.app import Context, Contract
from ledger.contracts import accounts, purse
from ledger.contracts.shelf import on
from wire.chain import kinds


def pay(ctx: Context, body: kinds.Pay) -> None:
    accounts.require_account(ctx, body.to)
    purse.move(ctx, ctx.account, body.to, body.amount)
    purse.record(ctx, ctx.account, body.to, body.amount, body.message or "")


CONTRACT = Contract(
    "tokens",
    handlers=dict([on(kinds.Pay, pay)]),
    genesis=purse.genesis,
    queries=purse.QUERIES,
    invariants=(purse.conserved,),
)
