"""Energy rights: what the schedule chain moves, in Wh. One right is one Wh at a station.

Owns: payments in rights.
Refuses: what contracts/tokens.py refuses.

Rules:
- Members pay each other as on the transaction chain; a station is a member. One payment is one business record.
- What a station is paid may be what a seller waits for: those who wait for it are tried again.
"""

from __future__ import annotations

from ledger.app import Context, Contract
from ledger.contracts import dispatch, purse, tokens
from ledger.contracts.shelf import on
from wire.chain import kinds


def _pay(ctx: Context, body: kinds.Pay) -> None:
    tokens.pay(ctx, body)
    dispatch.richer(ctx, body.to)


CONTRACT = Contract(
    "rights",
    handlers=dict([on(kinds.Pay, _pay)]),
    genesis=purse.genesis,
    queries=purse.QUERIES,
    invariants=(purse.conserved,),
)
