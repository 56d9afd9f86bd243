"""Dispatch: applications, the stations' word, and what the mechanism (ledger/dispatch.py) makes of both.

Owns: lines, orders, the stations' states, and turning decisions into grants, escrow and commands.
Refuses: orders that could not be paid or seen, old states, words that are not the station's.

Rules:
- Lines are set by a company; a user without a line to a station is never sent there.
- A user orders whole units that its own meter, lately heard of, will see. A buyer pays all of it into escrow; a seller
  is taken only by a station that holds the rights to pay it with. Units not yet granted may be cancelled at any time.
  A user has at most `orders_max` orders, so that nobody fills the queue.
- A station's word is signed, and counts only with a number above the last one's. Its energy on the chain is that
  word's, moved by each unit proven by later rows.
- Every application is answered in the transaction that made it: the one with the order, or the one that disconnected.
  The mechanism's rules are ledger/dispatch.py's, its parameters contracts/parameters.py's.
- An order that is cancelled, or whose lease ended with nothing moved, ends: what no grant holds goes back at once, the
  rest when its grants close.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from ledger import dispatch as rule
from ledger.app import Context, Contract
from ledger.contracts import accounts, devices, evidence, grants, mechanism, parameters, purse
from ledger.contracts.grants import GRANTS, OPEN_AT, ORDERS, Grant, Order
from ledger.contracts.mechanism import DEMANDS, LINES, STATIONS
from ledger.contracts.shelf import Shelf, on
from ledger.dispatch import Decision, Demand, Flipped, Granted, Left, Rules, Side, Table, Waits, Why
from ledger.state import Reader
from wire.chain import kinds
from wire.ids import id_text
from wire.state import State


def _run(ctx: Context, step: Callable[[Table, Rules], list[Decision]]) -> None:
    """One call of the mechanism and all that follows from its decisions; then the commands of the stations touched."""
    table = mechanism.table(ctx)
    decisions = step(table, mechanism.rules(ctx.state))
    mechanism.save_queue(ctx, table.queue)
    touched: dict[bytes, None] = {}
    ended: dict[int, None] = {}
    for decision in decisions:
        if isinstance(decision, Granted):
            _granted(ctx, decision)
        elif isinstance(decision, Left):
            _left(ctx, decision)
            ended[int(decision.order)] = None
        elif isinstance(decision, Flipped):
            station = bytes.fromhex(decision.station)
            ctx.emit("dispatch/flag", station=station, side=int(decision.side), flag=int(decision.flag))
        elif isinstance(decision, Waits):
            ctx.emit("dispatch/waits", order=int(decision.order))
        if isinstance(decision, Granted | Left):
            touched[bytes.fromhex(decision.station)] = None
    for station in touched:
        grants.command(ctx, station)
    for order in ended:
        end_if_done(ctx, order)


def _granted(ctx: Context, one: Granted) -> None:
    number, order, station = grants.NEXT_GRANT.take(ctx.state), int(one.order), bytes.fromhex(one.station)
    row = ORDERS.need(ctx.state, order, "unknown-order")
    if row.side == Side.SELL:
        amount = one.units * parameters.get(ctx.state, "unit_wh")
        purse.move(ctx, station, purse.order_purse(order), amount)
    lease_until = ctx.time_s + parameters.get(ctx.state, "lease_s")
    grant = Grant(
        order=order,
        user=row.user,
        station=station,
        meter=row.meter,
        side=row.side,
        units=one.units,
        loss_ppm=dict(LINES.need(ctx.state, row.user, "no-line"))[station],
        limit_w=row.limit_w,
        status=grants.OPEN,
        opened_s=ctx.time_s,
        lease_until=lease_until,
        claim_until=lease_until + parameters.get(ctx.state, "claim_s"),
        first=grants.counter_of(ctx.state, station) + 1,
        last=0,
        paid=0,
        station_uwh=0,
        user_uwh=0,
        crossings=(),
        moved_s=0,
        final_seq=-1,
        final_s=0,
    )
    GRANTS.put(ctx.state, number, grant)
    OPEN_AT.put(ctx.state, station, (*(OPEN_AT.get(ctx.state, station) or ()), number))
    evidence.need(ctx, station, number)
    evidence.need(ctx, row.meter, number)
    grants.prune(ctx, number)
    ctx.emit(
        "dispatch/granted",
        grant=number,
        order=order,
        station=station,
        units=one.units,
        storage_wh=one.storage_wh,
        users=one.users,
    )


def _left(ctx: Context, one: Left) -> None:
    station, order = bytes.fromhex(one.station), int(one.order)
    number, grant = next((n, g) for n, g in grants.open_grants(ctx.state, station) if g.order == order)
    OPEN_AT.put(ctx.state, station, tuple(n for n in OPEN_AT.need(ctx.state, station, "") if n != number))
    grant = grant._replace(status=grants.CLOSING, last=grants.counter_of(ctx.state, station))
    GRANTS.put(ctx.state, number, grant)
    ctx.emit("dispatch/left", grant=number, order=order, station=station, why=int(one.why))
    if grant.paid == grant.units:
        close(ctx, number)
    if one.why in (Why.LEASE, Why.CANCEL):
        row = ORDERS.need(ctx.state, order, "unknown-order")
        ORDERS.put(ctx.state, order, row._replace(live=0))


def close(ctx: Context, number: int) -> None:
    """The grant's end: what it did not deliver goes back to its order, or where the order's value came from."""
    grant = GRANTS.need(ctx.state, number, "unknown-grant")
    assert grant.status == grants.CLOSING
    GRANTS.put(ctx.state, number, grant._replace(status=grants.CLOSED, crossings=()))
    evidence.release(ctx, grant.station, number)
    evidence.release(ctx, grant.meter, number)
    ctx.emit(
        "dispatch/closed",
        grant=number,
        units=grant.paid,
        station_wh=grant.station_uwh // grants.MICRO,
        user_wh=grant.user_uwh // grants.MICRO,
    )
    left = grant.units - grant.paid
    if left and grant.side == Side.SELL:
        amount = left * parameters.get(ctx.state, "unit_wh")
        purse.move(ctx, purse.order_purse(grant.order), grant.station, amount)
    if left and ORDERS.need(ctx.state, grant.order, "unknown-order").live:
        _run(ctx, lambda table, now: rule.more(table, now, str(grant.order), left))
    if left and grant.side == Side.SELL:
        richer(ctx, grant.station)
    end_if_done(ctx, grant.order)


def end_if_done(ctx: Context, order: int) -> None:
    """Once nothing is wanted, connected or closing, an order is over and what is left of a buyer's escrow goes back.
    An order that was ended from outside gives back at once what none of its grants holds."""
    row = ORDERS.get(ctx.state, order)
    demand = DEMANDS.get(ctx.state, order)
    if row is None or demand is None or demand.wanted or demand.station:
        return
    held = _held(ctx, order)
    if row.side == Side.BUY and not row.live:
        back = purse.balance(ctx.state, purse.order_purse(order)) - held * parameters.get(ctx.state, "unit_wh")
        if back:
            purse.move(ctx, purse.order_purse(order), row.user, back)
    if held:
        return
    rule.close(mechanism.table(ctx), str(order))
    back = purse.empty(ctx, purse.order_purse(order), row.user)
    assert row.side == Side.BUY or not back, "a seller's escrow is its grants'"
    ORDERS.delete(ctx.state, order)
    others = tuple(one for one in grants.ORDERS_OF.need(ctx.state, row.user, "unknown-order") if one != order)
    if others:
        grants.ORDERS_OF.put(ctx.state, row.user, others)
    else:
        grants.ORDERS_OF.delete(ctx.state, row.user)
    ctx.emit("dispatch/ended", order=order, units=row.paid)


def _held(ctx: Context, order: int) -> int:
    """Units that grants of this order may still have to pay."""
    meter = ORDERS.need(ctx.state, order, "unknown-order").meter
    needed = evidence.NEEDED_BY.get(ctx.state, meter) or ()
    rows = (GRANTS.need(ctx.state, number, "unknown-grant") for number in needed)
    return sum(grant.units - grant.paid for grant in rows if grant.order == order)


# ---- what other contracts tell the mechanism ------------------------------------------------------------------------


def unit(ctx: Context, grant: Grant, seq: int) -> None:
    """A unit of this grant was proven, by station rows up to `seq`."""
    station = STATIONS.need(ctx.state, grant.station, "unknown-station")
    order = str(grant.order) if grant.status == grants.OPEN else None
    name, side, moves = grant.station.hex(), Side(grant.side), seq >= station.seq
    _run(ctx, lambda table, now: rule.unit(table, now, name, side, order, moves))


def leave(ctx: Context, order: int, why: Why) -> None:
    _run(ctx, lambda table, now: rule.leave(table, now, str(order), why))


def richer(ctx: Context, account: bytes) -> None:
    """A station that has more rights may be able to take a seller."""
    if STATIONS.get(ctx.state, account) is not None:
        touch(ctx, [account])


def touch(ctx: Context, stations: Iterable[bytes]) -> None:
    names = [station.hex() for station in stations]
    _run(ctx, lambda table, now: rule.touch(table, now, names))


def silence(ctx: Context, station: bytes) -> None:
    """A station that is revoked: as if it had said that it can do nothing."""
    row = STATIONS.get(ctx.state, station)
    if row is not None:
        name = station.hex()
        _run(ctx, lambda table, now: rule.told(table, now, name, row.energy_wh, row.capacity_wh, False, False))


# ---- transactions ---------------------------------------------------------------------------------------------------


def _set_line(ctx: Context, body: kinds.SetLine) -> None:
    accounts.require_role(ctx, accounts.COMPANY)
    accounts.require_account(ctx, body.user)
    accounts.require_account(ctx, body.station, accounts.STATION)
    row = dict(LINES.get(ctx.state, body.user) or ())
    row.pop(body.station, None)
    if body.loss_ppm is not None:
        row[body.station] = body.loss_ppm
    LINES.put(ctx.state, body.user, tuple(sorted(row.items())))
    loss_ppm = -1 if body.loss_ppm is None else body.loss_ppm
    ctx.emit("dispatch/line", user=body.user, station=body.station, loss_ppm=loss_ppm)
    if body.loss_ppm is not None and STATIONS.get(ctx.state, body.station) is not None:
        touch(ctx, [body.station])


def _order(ctx: Context, body: kinds.Order) -> None:
    unit_wh = parameters.get(ctx.state, "unit_wh")
    ctx.require(body.energy_wh > 0 and body.energy_wh % unit_wh == 0, "bad-amount", f"whole units of {unit_wh} Wh")
    meter = devices.in_force(ctx.state, body.meter)
    ctx.require(meter.account == ctx.account, "not-allowed", "another account's meter")
    evidence.require_fresh(ctx, body.meter, parameters.get(ctx.state, "fresh_s"))
    others = grants.ORDERS_OF.get(ctx.state, ctx.account) or ()
    ctx.require(len(others) < parameters.get(ctx.state, "orders_max"), "too-many", f"{len(others)} orders")
    number, units = grants.NEXT_ORDER.take(ctx.state), body.energy_wh // unit_wh
    grants.ORDERS_OF.put(ctx.state, ctx.account, (*others, number))
    if body.side == Side.BUY:
        purse.move(ctx, ctx.account, purse.order_purse(number), body.energy_wh)
    ORDERS.put(ctx.state, number, Order(ctx.account, body.side, units, body.limit_w, body.meter, 0, 1))
    ctx.emit("dispatch/ordered", order=number, user=ctx.account, side=body.side, units=units)
    demand = Demand(ctx.account.hex(), Side(body.side), units)
    _run(ctx, lambda table, now: rule.apply(table, now, str(number), demand))


def _cancel(ctx: Context, body: kinds.Cancel) -> None:
    row = ORDERS.need(ctx.state, body.order, "unknown-order")
    ctx.require(row.user == ctx.account, "not-allowed", "another account's order")
    ORDERS.put(ctx.state, body.order, row._replace(live=0))
    leave(ctx, body.order, Why.CANCEL)
    end_if_done(ctx, body.order)


def _state(ctx: Context, body: kinds.StationState) -> None:
    word = State.decode(devices.open_claimed(ctx.state, body.state, State))
    accounts.require_account(ctx, word.id, accounts.STATION)
    ctx.require(word.stored_wh <= word.capacity_wh, "bad-state", "holds more than it can")
    old = STATIONS.get(ctx.state, word.id)
    ctx.require(old is None or word.number > old.number, "old-number", str(word.number))
    name, own = word.id.hex(), (bool(word.supply_ok), bool(word.acquire_ok))
    _run(ctx, lambda table, now: rule.told(table, now, name, word.stored_wh, word.capacity_wh, *own))
    row = STATIONS.need(ctx.state, word.id, "unknown-station")
    STATIONS.put(ctx.state, word.id, row._replace(number=word.number, seq=word.seq))
    ctx.emit("dispatch/state", station=word.id, stored_wh=word.stored_wh, capacity_wh=word.capacity_wh)


# ---- genesis and queries --------------------------------------------------------------------------------------------


def _genesis(ctx: Context, section: Any) -> None:
    """[[user, station, loss in ppm], …]: lines that stand from the beginning."""
    for user, station, loss_ppm in section or ():
        ctx.require(kinds.LOSS_PPM.check(loss_ppm), "out-of-range", f"a loss is {kinds.LOSS_PPM.words}")
        who, where = accounts.called(ctx, user), accounts.called(ctx, station)
        row = dict(LINES.get(ctx.state, who) or ())
        row[where] = loss_ppm
        LINES.put(ctx.state, who, tuple(sorted(row.items())))


def show_stations(view: Reader, _argument: Any) -> list[dict[str, Any]]:
    """`query stations`: what the company's list says, and what is behind it."""
    shown = []
    for station, row in STATIONS.all(view):
        gates = mechanism.gate(row.supply), mechanism.gate(row.acquire)
        shown.append(
            {
                "id": id_text(station),
                "name": accounts.name_of(view, station),
                "energy_wh": row.energy_wh,
                "capacity_wh": row.capacity_wh,
                "supply": gates[0].flag,
                "acquire": gates[1].flag,
                "buyers": len(gates[0].orders),
                "sellers": len(gates[1].orders),
                "rights_wh": purse.balance(view, station),
            }
        )
    return shown


def show_lines(view: Reader, _argument: Any) -> list[dict[str, Any]]:
    return [
        {"user": accounts.name_of(view, user), "station": accounts.name_of(view, station), "loss_ppm": loss_ppm}
        for user, row in LINES.all(view)
        for station, loss_ppm in row
    ]


def _shown(view: Reader, shelf: Shelf[Any]) -> list[dict[str, Any]]:
    return [{"number": int.from_bytes(number, "big"), **row._asdict()} for number, row in shelf.all(view)]


CONTRACT = Contract(
    "dispatch",
    handlers=dict(
        [
            on(kinds.SetLine, _set_line),
            on(kinds.Order, _order),
            on(kinds.Cancel, _cancel),
            on(kinds.StationState, _state),
        ]
    ),
    genesis=_genesis,
    queries={
        "stations": show_stations,
        "lines": show_lines,
        "orders": lambda view, _: _shown(view, ORDERS),
        "grants": lambda view, _: _shown(view, GRANTS),
        "commands": lambda view, _: [{"station": id_text(s), **row._asdict()} for s, row in grants.COMMANDS.all(view)],
    },
)
