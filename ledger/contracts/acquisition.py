"""Acquisition: how a user sells surplus to the company's stations. Steps S1 to S5, each a transaction or an event.

Owns: the advance; the other steps are named here and live where they belong.
Refuses: advances by anybody but a company, or to anybody but a station.

S1 after a period is settled the company tops up its rights: `lock` on the transaction chain, `unlock` on the schedule
   chain; and advances the stations what they pay with: `advance`, here
S2 the mechanism chooses a station and the user feeds in: `order` to sell, "dispatch/granted", "command"
S3 the station verifies: `readings` of both meters; only what both show is a unit
S4 the station pays the user unit by unit: "settlement/unit", out of what its grant holds in escrow
S5 users and the company turn rights into tokens: `lock` on the schedule chain, `unlock` on the transaction chain

An advance is a payment of a company to a station, and a business record. Sellers who waited for it are tried again.
"""

from __future__ import annotations

from ledger.app import Context, Contract
from ledger.contracts import accounts, dispatch, purse
from ledger.contracts.shelf import on
from wire.chain import kinds


def _advance(ctx: Context, body: kinds.Advance) -> None:
    accounts.require_role(ctx, accounts.COMPANY)
    accounts.require_account(ctx, body.station, accounts.STATION)
    purse.move(ctx, ctx.account, body.station, body.amount)
    purse.record(ctx, ctx.account, body.station, body.amount, "advance")
    dispatch.richer(ctx, body.station)


CONTRACT = Contract("acquisition", handlers=dict([on(kinds.Advance, _advance)]))
