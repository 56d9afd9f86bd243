"""Supply: how a user comes to energy from the company's stations. Steps S1 to S8, each a transaction or an event.

Owns: the purchase and the settlement of a period; the other steps are named here and live elsewhere.
Refuses: purchases of who is no company; a period that is not over; a payment of nothing.

S1 the user applies to the company and pays tokens: `purchase`, here, on the transaction chain
S2 the company's lock contract turns them into rights: the same transaction locks them (contracts/lock.py)
S3 the rights reach the user: `unlock` on the schedule chain, by anyone who carries the proof
S4 the mechanism chooses a station and the user pays it: `order` and "dispatch/granted"; the rights wait in escrow
S5 the station's terminal is commanded: "command", signed by the dispatch service on the station's behalf
S6 energy flows; `readings` prove it, and unit by unit the station is paid: "settlement/unit"
S7 at the end of the period the station pays all its rights to its company: `settle-period`, here, on the schedule chain
S8 users and the company turn rights back into tokens: `lock` on the schedule chain, `unlock` on the transaction chain

What is not taken up in time is undone: `refund` of a purchase, `cancel` and `expire` of orders and grants.
A company may settle a station at any time, anybody else once in each period after the company has done so once.
"""

from __future__ import annotations

from typing import NamedTuple

from ledger.app import Context, Contract
from ledger.contracts import accounts, devices, lock, parameters, purse
from ledger.contracts.shelf import Shelf, on
from wire.chain import kinds


class Settled(NamedTuple):
    period: int
    height: int


SETTLED = Shelf("settled", Settled)


def _purchase(ctx: Context, body: kinds.Purchase) -> None:
    accounts.require_account(ctx, body.company, accounts.COMPANY)
    lock.lock(ctx, body.to, body.amount, body.deadline_s, lock.PURCHASE, body.company)


def _settle_period(ctx: Context, body: kinds.SettlePeriod) -> None:
    accounts.require_account(ctx, body.station, accounts.STATION)
    company = devices.DEVICES.need(ctx.state, body.station, "unknown-device").account
    accounts.require_account(ctx, company, accounts.COMPANY)
    period = ctx.time_s // parameters.get(ctx.state, "period_s")
    last = SETTLED.get(ctx.state, body.station)
    due = last is not None and period > last.period
    ctx.require(due or ctx.account == company, "too-early", "the period is not over")
    amount = purse.empty(ctx, body.station, company)
    ctx.require(amount > 0, "nothing-due")
    SETTLED.put(ctx.state, body.station, Settled(period, ctx.height))
    purse.record(ctx, body.station, company, amount, "period")
    ctx.emit("supply/settled", station=body.station, company=company, amount=amount, period=period)


TRANSACTION = Contract("supply", handlers=dict([on(kinds.Purchase, _purchase)]))
SCHEDULE = Contract("supply", handlers=dict([on(kinds.SettlePeriod, _settle_period)]))
