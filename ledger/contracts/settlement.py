"""Settlement: units proven by two meters, paid one by one, and the ends of grants.

Owns: sharing out energy, proving and paying units, receipts, leases, the end of a grant.
Refuses: nothing that is rightly signed and in order; what cannot be proven is not paid.

Rules:
- A gateway sends the reports of all its devices together: one that is refused is left out and told, the others count.
- What is claimed is energy between two rows of a register, once. A station's interval is split over the grants that its
  command in force lists, in proportion to their limit_w, as long as their lease runs. A user's interval counts for the
  user, in its direction, as long as it has grants that can use it, and no more than they can use.
- A unit is proven when the station's share completes it and the user's register shows what must have arrived: 1 - L of
  a bought unit, 1 / (1 - L) fed in for a sold one; the meters' class and one register step at each end of the grant are
  allowed for. It is paid at once, as one record: the user to the station, or the station to the user.
- A station that moves energy for a grant late in its lease gets the lease renewed. A lease that ends with nothing moved
  disconnects; a refusal or a safe state disconnects at once, and the user applies elsewhere. A command that is done
  before all its units are proven is followed by one for the rest.
- A grant has two ends. It closes when a final receipt of its command and readings up to that show what was delivered,
  or at claim_until; then escrow goes back, never before. Coarse, suspect and jumped rows back nothing.
"""

from __future__ import annotations

from typing import Any

from ledger.app import Context, Contract, Refused
from ledger.contracts import devices, dispatch, evidence, grants, parameters, purse
from ledger.contracts.evidence import NEEDED_BY, POSITIONS, Interval, Position
from ledger.contracts.grants import GRANTS, MICRO, ORDERS, Grant
from ledger.contracts.shelf import on
from ledger.dispatch import Side, Why
from ledger.state import Reader
from wire import command
from wire.chain import kinds
from wire.command import OUTCOMES
from wire.errors import WireError
from wire.ids import id_text

PPM = 1_000_000
POOL_UWH_MAX = 1 << 60  # far above any grant's, far below what a value in the state can be
REFUSED, EXPIRED, FAILED_SAFE = (OUTCOMES.index(name) for name in ("refused", "expired", "failed-safe"))


# ---- readings -------------------------------------------------------------------------------------------------------


def _readings(ctx: Context, body: kinds.Readings) -> None:
    touched: dict[int, None] = {}
    left_out: list[WireError] = []
    for kind, raw in body.reports:
        try:
            device, intervals = evidence.take(ctx, kind, raw)
        except WireError as error:
            left_out.append(error)
            ctx.emit("settlement/left-out", reason=error.reason, detail=error.detail)
            continue
        needed = NEEDED_BY.get(ctx.state, device) or ()
        for interval in intervals:
            _share_out(ctx, device, needed, interval)
        _collect(ctx, device, needed, intervals)
        touched.update(dict.fromkeys(needed))
    if len(left_out) == len(body.reports):
        raise left_out[0] if left_out else Refused("nothing-due", "no readings")
    for number in sorted(touched):
        _prove(ctx, number)
        _renew(ctx, number)
        _close_if_ended(ctx, number)


def _share_out(ctx: Context, station: bytes, needed: tuple[int, ...], interval: Interval) -> None:
    """The station's side: each grant's part of one interval, in µWh."""
    for side, energy_wh in (Side.BUY, interval.exported_wh), (Side.SELL, interval.imported_wh):
        shares = [
            (number, grant)
            for number, grant in zip(needed, _grants(ctx, needed), strict=True)
            if grant.station == station and grant.side == side and _counts(ctx, grant, interval)
        ]
        weight = sum(grant.limit_w for _, grant in shares)
        for number, grant in shares if energy_wh else ():
            share_uwh = energy_wh * MICRO * grant.limit_w // weight
            _credit(ctx, number, grant, share_uwh, interval)


def _counts(ctx: Context, grant: Grant, interval: Interval) -> bool:
    listed = grant.first <= interval.counter and (not grant.last or interval.counter <= grant.last)
    in_time = interval.from_s < grant.lease_until
    return bool(listed and in_time and grant.limit_w and grant.station_uwh < grants.full_uwh(ctx, grant))


def _credit(ctx: Context, number: int, grant: Grant, share_uwh: int, interval: Interval) -> None:
    unit_uwh = parameters.get(ctx.state, "unit_wh") * MICRO
    station_uwh = min(grant.station_uwh + share_uwh, grants.full_uwh(ctx, grant))
    complete = station_uwh // unit_uwh - grant.station_uwh // unit_uwh
    GRANTS.put(
        ctx.state,
        number,
        grant._replace(
            station_uwh=station_uwh, crossings=grant.crossings + (interval.seq,) * complete, moved_s=ctx.time_s
        ),
    )


def _collect(ctx: Context, meter: bytes, needed: tuple[int, ...], intervals: list[Interval]) -> None:
    """The user's side: energy that its grants may still use, by direction."""
    mine = [grant for grant in _grants(ctx, needed) if grant.meter == meter]
    if not mine or not intervals:
        return
    pools = []
    at = POSITIONS.need(ctx.state, meter, "unknown-device")
    for side, pool_uwh in (Side.BUY, at.bought_uwh), (Side.SELL, at.sold_uwh):
        can_use = [grant for grant in mine if grant.side == side]
        room_uwh = sum(_wanted_uwh(ctx, grant, grant.units) - grant.user_uwh for grant in can_use)
        opened_s = min((grant.opened_s for grant in can_use), default=0)
        seen = [one for one in intervals if can_use and one.until_s > opened_s]
        seen_wh = sum(one.imported_wh if side is Side.BUY else one.exported_wh for one in seen)
        pools.append(min(pool_uwh + seen_wh * MICRO, room_uwh, POOL_UWH_MAX))
    POSITIONS.put(ctx.state, meter, at._replace(bought_uwh=pools[0], sold_uwh=pools[1]))


def _grants(ctx: Context, numbers: tuple[int, ...]) -> list[Grant]:
    return [GRANTS.need(ctx.state, number, "unknown-grant") for number in numbers]


# ---- proof and payment ----------------------------------------------------------------------------------------------


def _wanted_uwh(ctx: Context, grant: Grant, units: int) -> int:
    """What so many units at the station are at the user's meter."""
    unit_wh = parameters.get(ctx.state, "unit_wh")
    if grant.side == Side.BUY:
        return units * unit_wh * (PPM - grant.loss_ppm)
    return units * unit_wh * PPM * PPM // (PPM - grant.loss_ppm)


def _least_uwh(ctx: Context, wanted_uwh: int) -> int:
    class_ppm, step_wh = parameters.get(ctx.state, "class_ppm"), parameters.get(ctx.state, "step_wh")
    return wanted_uwh * (PPM - class_ppm) // PPM - 2 * step_wh * MICRO


def _prove(ctx: Context, number: int) -> None:
    """Pays every unit that both ends now show."""
    while True:
        grant = GRANTS.get(ctx.state, number)
        if grant is None or grant.status == grants.CLOSED or not grant.crossings:
            return
        at = POSITIONS.get(ctx.state, grant.meter)
        assert at is not None, "a grant needs a meter that was heard of"
        wanted_uwh = _wanted_uwh(ctx, grant, grant.paid + 1)
        drawn_uwh = min(_pool(at, grant), wanted_uwh - grant.user_uwh)
        if grant.user_uwh + drawn_uwh < _least_uwh(ctx, wanted_uwh):
            return
        if grant.side == Side.BUY:
            at = at._replace(bought_uwh=at.bought_uwh - drawn_uwh)
        else:
            at = at._replace(sold_uwh=at.sold_uwh - drawn_uwh)
        POSITIONS.put(ctx.state, grant.meter, at)
        seq, crossings = grant.crossings[0], grant.crossings[1:]
        grant = grant._replace(paid=grant.paid + 1, user_uwh=grant.user_uwh + drawn_uwh, crossings=crossings)
        GRANTS.put(ctx.state, number, grant)
        _pay(ctx, number, grant)
        dispatch.unit(ctx, grant, seq)
        if grant.status == grants.CLOSING and grant.paid == grant.units:
            dispatch.close(ctx, number)


def _pool(at: Position, grant: Grant) -> int:
    return at.bought_uwh if grant.side == Side.BUY else at.sold_uwh


def _pay(ctx: Context, number: int, grant: Grant) -> None:
    unit_wh = parameters.get(ctx.state, "unit_wh")
    giver, taker = (grant.user, grant.station) if grant.side == Side.BUY else (grant.station, grant.user)
    purse.move(ctx, purse.order_purse(grant.order), taker, unit_wh)
    purse.record(ctx, giver, taker, unit_wh)
    order = ORDERS.need(ctx.state, grant.order, "unknown-order")
    ORDERS.put(ctx.state, grant.order, order._replace(paid=order.paid + 1))
    ctx.emit("settlement/unit", grant=number, order=grant.order, giver=giver, taker=taker, amount=unit_wh)


# ---- the two ends of a grant ----------------------------------------------------------------------------------------


def _renew(ctx: Context, number: int) -> None:
    """Late in its lease, a grant that moves gets a new one, and the station a command that says so."""
    grant = GRANTS.get(ctx.state, number)
    lease_s = parameters.get(ctx.state, "lease_s")
    if grant is None or grant.status != grants.OPEN or grant.moved_s != ctx.time_s:
        return
    if ctx.time_s < grant.lease_until - lease_s // 2:
        return
    grants.renew(ctx, number, grant)
    grants.command(ctx, grant.station)


def _receipt(ctx: Context, body: kinds.StationReceipt) -> None:
    word = command.Receipt.decode(devices.open_claimed(ctx.state, body.receipt, command.Receipt))
    ctx.emit(
        "settlement/receipt",
        station=word.station,
        counter=word.counter,
        part=word.part,
        outcome=OUTCOMES[word.outcome],
        reason=command.REASONS[word.reason],
    )
    final = word.part == 2 or word.outcome in (REFUSED, EXPIRED)
    if word.command is None or not final:
        return
    now = grants.COMMANDS.get(ctx.state, word.station)
    ctx.require(now is not None and word.counter <= now.counter, "unknown-command", str(word.counter))
    wanted = grants.command_id(ctx.chain_id, word.station, word.counter)
    ctx.require(word.command == wanted, "unknown-command", "another id for this counter")
    for number in NEEDED_BY.get(ctx.state, word.station) or ():
        grant = GRANTS.need(ctx.state, number, "unknown-grant")
        if grant.station == word.station and (grant.last or grants.counter_of(ctx.state, word.station)) <= word.counter:
            _final(ctx, number, grant, word)


def _final(ctx: Context, number: int, grant: Grant, word: command.Receipt) -> None:
    if grant.final_seq < 0 or grant.status == grants.OPEN:
        GRANTS.put(ctx.state, number, grant._replace(final_seq=word.last_seq, final_s=word.time_s))
    refused_now = word.outcome in (REFUSED, EXPIRED) and grant.first == word.counter
    if grant.status == grants.OPEN and (refused_now or word.outcome == FAILED_SAFE):
        dispatch.leave(ctx, grant.order, Why.REFUSED)
    _close_if_ended(ctx, number)


def _close_if_ended(ctx: Context, number: int) -> None:
    grant = GRANTS.get(ctx.state, number)
    if grant is None or grant.status == grants.CLOSED:
        return
    shown = grant.final_seq >= 0 and _seen(ctx, grant)
    if grant.status == grants.OPEN and shown:
        _go_on(ctx, number, grant)
    elif grant.status == grants.CLOSING and (shown or ctx.time_s >= grant.claim_until):
        dispatch.close(ctx, number)


def _go_on(ctx: Context, number: int, grant: Grant) -> None:
    """The station has ended its order with this grant still open: what is left to deliver is ordered again; where all
    was delivered and not all arrived, the user goes on with a new grant."""
    if grant.station_uwh < grants.full_uwh(ctx, grant):
        GRANTS.put(ctx.state, number, grant._replace(final_seq=-1))
        grants.command(ctx, grant.station)
    else:
        dispatch.leave(ctx, grant.order, Why.QUOTA)
        dispatch.close(ctx, number)


def _seen(ctx: Context, grant: Grant) -> bool:
    """Readings of both ends reach behind the last row that counts."""
    station, meter = POSITIONS.get(ctx.state, grant.station), POSITIONS.get(ctx.state, grant.meter)
    if station is None or meter is None:
        return False
    return station.next_seq > grant.final_seq and meter.time_s >= grant.final_s


def _expire(ctx: Context, body: kinds.Expire) -> None:
    grant = GRANTS.need(ctx.state, body.grant, "unknown-grant")
    ctx.require(grant.status != grants.CLOSED, "closed", str(body.grant))
    if grant.status == grants.CLOSING:
        ctx.require(ctx.time_s >= grant.claim_until, "too-early", f"not before {grant.claim_until}")
        dispatch.close(ctx, body.grant)
        return
    ctx.require(ctx.time_s >= grant.lease_until, "too-early", f"not before {grant.lease_until}")
    if grant.moved_s > grant.lease_until - parameters.get(ctx.state, "lease_s"):
        grants.renew(ctx, body.grant, grant)
        grants.command(ctx, grant.station)
    else:
        dispatch.leave(ctx, grant.order, Why.LEASE)


def _show_positions(view: Reader, _argument: Any) -> list[dict[str, Any]]:
    return [
        {"id": id_text(device), "next_seq": at.next_seq, "head": at.head.hex(), "time_s": at.time_s}
        for device, at in POSITIONS.all(view)
    ]


CONTRACT = Contract(
    "settlement",
    handlers=dict([on(kinds.Readings, _readings), on(kinds.StationReceipt, _receipt), on(kinds.Expire, _expire)]),
    queries={"positions": _show_positions},
)
