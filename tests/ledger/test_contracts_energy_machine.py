"""The schedule chain under any order of orders, energy, readings, receipts, states and time, audited from the meters.

The auditor knows the devices' registers and the list of payments, nothing of pools, shares or gates: nobody is paid for
energy that no register shows, no Wh is paid twice, and every right is somewhere, once.
"""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from ledger.contracts import grants, purse
from ledger.contracts.evidence import NEEDED_BY
from ledger.contracts.grants import CLOSED, GRANTS, MICRO, OPEN, OPEN_AT, ORDERS
from ledger.contracts.mechanism import DEMANDS, QUEUE, STATIONS
from ledger.dispatch import Side
from tests.ledger.sisters import kid
from tests.ledger.site import LINES, UNIT_WH, Site
from wire.chain import kinds

USERS, PLACES = ("ann", "ben"), ("north", "south")
WH = st.integers(0, 1_500)
PPM = 1_000_000
IMPORT, EXPORT = 0, 1
ORDERED = st.tuples(
    st.sampled_from(USERS), st.sampled_from(["buy", "sell"]), st.integers(1, 9), st.sampled_from([0, 1, 1, 2, 3])
)


class Energy(RuleBasedStateMachine):
    @initialize(one_way=st.integers(0, 1), k=st.integers(1, 4), first=st.lists(ORDERED, max_size=3))
    def start(self, one_way: int, k: int, first: list[tuple[str, str, int, int]]) -> None:
        self.site = Site(one_way=one_way, k=k, lease_s=600, claim_s=3_000, fresh_s=86_400)
        self.state = self.site.chain.app.state
        self.waiting: dict[str, list[Any]] = {name: [] for name in self.site.devices}  # signed, not yet sent
        for station in PLACES:
            self.site.tell(station, 15, 30)
            self.site.chain.ok("EC", kinds.Advance(station=kid(station), amount=20_000))
        for one in first:
            self.order(one)

    # -- people and stations -------------------------------------------------------------------------------------------

    @rule(one=ORDERED)
    def order(self, one: tuple[str, str, int, int]) -> None:
        user, side, units, limit = one
        assert self.site.order(user, side, units, limit * 30_000).reason in ("", "too-many", "insufficient")

    @rule(pick=st.integers(0, 99))
    def cancel(self, pick: int) -> None:
        rows = list(ORDERS.all(self.state))
        if rows:
            number, row = rows[pick % len(rows)]
            user = next(user for user in USERS if kid(user) == row.user)
            self.site.chain.ok(user, kinds.Cancel(order=int.from_bytes(number, "big")))

    @rule(
        station=st.sampled_from(PLACES),
        stored=st.integers(0, 30),
        room=st.integers(0, 30),
        word=st.tuples(st.booleans(), st.booleans()),
    )
    def speak(self, station: str, stored: int, room: int, word: tuple[bool, bool]) -> None:
        self.site.tell(station, stored, max(stored + room, 1), *word)

    @rule(station=st.sampled_from(PLACES), amount=st.integers(1, 6_000))
    def advance(self, station: str, amount: int) -> None:
        reason = self.site.chain.send("EC", kinds.Advance(station=kid(station), amount=amount)).reason
        assert reason in ("", "insufficient")

    @rule(station=st.sampled_from(PLACES))
    def settle(self, station: str) -> None:
        assert self.site.chain.send("EC", kinds.SettlePeriod(station=kid(station))).reason in ("", "nothing-due")

    # -- energy and what is said of it ---------------------------------------------------------------------------------

    @rule(
        station=st.sampled_from(PLACES),
        wh=st.integers(500, 3_000),
        shown=st.lists(st.sampled_from([0, 80, 100, 100, 130]), min_size=1, max_size=4),
        heard=st.sampled_from([True, True, False]),
    )
    def work(self, station: str, wh: int, shown: list[int], heard: bool) -> None:
        """A station does for a while what its command says, and the users' meters see more or less of it."""
        for per_cent in shown:
            row = self.command(station)
            if row is None or not row["action"]:
                return
            self._work(station, row, wh, per_cent)
            for name in self.waiting if heard else ():
                self.send(name)

    def command(self, station: str) -> dict[str, Any] | None:
        rows = self.site.chain.app.query("commands")
        return next((row for row in rows if self.site.name_text(row["station"]) == station), None)

    def _work(self, station: str, row: dict[str, Any], wh: int, per_cent: int) -> None:
        own, charges = self.site.devices[station], row["action"] == 1
        self.waiting[station].append(own.report(event=("command", row["counter"])))
        self.site.world.pass_s(120)
        self.waiting[station].append(own.report(imported_wh=wh) if charges else own.report(exported_wh=wh))
        for number in row["grants"]:
            name = self.site.name(GRANTS.need(self.state, number, "").meter)
            meter, seen = self.site.devices[name], wh * per_cent // 100 // len(row["grants"])
            self.waiting[name].append(meter.report(exported_wh=seen) if charges else meter.report(imported_wh=seen))

    @rule(
        name=st.sampled_from([*PLACES, "ann's meter", "ben's meter"]),
        wh=WH,
        out=st.booleans(),
        seconds=st.sampled_from([0, 30, 300]),
    )
    def flow(self, name: str, wh: int, out: bool, seconds: int) -> None:
        self.site.world.pass_s(seconds)
        one = self.site.devices[name]
        self.waiting[name].append(one.report(exported_wh=wh) if out else one.report(imported_wh=wh))

    @rule(
        name=st.sampled_from(PLACES), event=st.sampled_from(["command", "command", "command", "safe entered", "start"])
    )
    def event(self, name: str, event: str) -> None:
        row = self.command(name)
        counter = row["counter"] if row else 0
        self.waiting[name].append(self.site.devices[name].report(event=(event, counter if event == "command" else 0)))

    @rule(name=st.sampled_from([*PLACES, "ann's meter", "ben's meter"]))
    def send(self, name: str) -> None:
        if self.waiting[name]:
            self.site.read(*self.waiting[name])
            assert self.site.chain.no("gate", kinds.Readings(reports=self.waiting[name][:1])) == "old-rows"
            self.waiting[name] = []

    @rule(
        station=st.sampled_from(PLACES),
        outcome=st.sampled_from(["done", "partial", "failed-safe", "refused"]),
        back=st.integers(0, 2),
    )
    def receipt(self, station: str, outcome: str, back: int) -> None:
        row = self.command(station)
        if row is not None and row["counter"] > back:
            part = 1 if outcome == "refused" else 2
            self.site.receipt(station, outcome, part=part, counter=row["counter"] - back)

    @rule(pick=st.integers(0, 99), seconds=st.sampled_from([0, 0, 300, 700, 4_000]))
    def expire(self, pick: int, seconds: int) -> None:
        self.site.world.pass_s(seconds)
        count = grants.NEXT_GRANT.get(self.state)
        if count:
            reason = self.site.chain.send("relay", kinds.Expire(grant=pick % count)).reason
            assert reason in ("", "too-early", "closed")

    # -- the audit -----------------------------------------------------------------------------------------------------

    @precondition(lambda self: hasattr(self, "site"))
    @invariant()
    def every_right_is_somewhere_once(self) -> None:
        assert purse.total(self.state) == purse.SUPPLY.get(self.state)
        escrow: Counter[int] = Counter()
        held: Counter[int] = Counter()
        for _, grant in GRANTS.all(self.state):
            if grant.status != CLOSED:
                held[grant.order] += grant.units - grant.paid
        for name, order in ORDERS.all(self.state):
            number = int.from_bytes(name, "big")
            units = order.units - order.paid if order.side == Side.BUY and order.live else held[number]
            escrow[number] = units * UNIT_WH
        for number in range(grants.NEXT_ORDER.get(self.state)):
            assert purse.balance(self.state, purse.order_purse(number)) == escrow[number]

    @precondition(lambda self: hasattr(self, "site"))
    @invariant()
    def nobody_is_paid_for_what_no_register_shows(self) -> None:
        station_wh: Counter[tuple[bytes, int]] = Counter()
        meter_uwh: Counter[tuple[bytes, int]] = Counter()
        rights: Counter[tuple[bytes, bytes]] = Counter()
        for _, grant in GRANTS.all(self.state):
            loss = LINES[self.site.name(grant.meter)[:3], self.site.name(grant.station)]
            direction = EXPORT if grant.side == Side.BUY else IMPORT
            assert grant.paid * UNIT_WH * MICRO <= grant.station_uwh <= grant.units * UNIT_WH * MICRO
            wanted = UNIT_WH * (PPM - loss) if grant.side == Side.BUY else UNIT_WH * PPM * PPM // (PPM - loss)
            least = grant.paid * wanted * 99 // 100 - 2 * MICRO
            assert grant.user_uwh >= least
            station_wh[grant.station, direction] += grant.station_uwh
            meter_uwh[grant.meter, 1 - direction] += grant.user_uwh
            pair = (grant.user, grant.station) if grant.side == Side.BUY else (grant.station, grant.user)
            rights[pair] += grant.paid * UNIT_WH
        for claims in station_wh, meter_uwh:
            for (device, direction), uwh in claims.items():
                assert uwh <= self.site.devices[self.site.name(device)].registers[direction] * MICRO
        paid: Counter[tuple[bytes, bytes]] = Counter()
        for _, record in purse.RECORDS.all(self.state):
            if not record.message:
                paid[record.giver, record.taker] += record.amount
        assert paid == rights

    @precondition(lambda self: hasattr(self, "site"))
    @invariant()
    def grants_stations_and_queue_agree(self) -> None:
        connected: dict[bytes, list[int]] = {kid(name): [] for name in PLACES}
        needed: Counter[bytes] = Counter()
        for name, grant in GRANTS.all(self.state):
            if grant.status == OPEN:
                connected[grant.station].append(int.from_bytes(name, "big"))
            if grant.status != CLOSED:
                needed[grant.station] += 1
                needed[grant.meter] += 1
        for station, numbers in connected.items():
            assert list(OPEN_AT.get(self.state, station) or ()) == numbers
            row = STATIONS.get(self.state, station)
            listed = sorted((*row.supply[2], *row.acquire[2])) if row else []
            assert listed == sorted(GRANTS.need(self.state, number, "").order for number in numbers)
        for device in map(kid, self.site.devices):
            assert len(NEEDED_BY.get(self.state, device) or ()) == needed[device]
        queue = list(QUEUE.get(self.state, b"") or ())
        waits = [int.from_bytes(name, "big") for name, d in DEMANDS.all(self.state) if d.wanted and not d.station]
        assert sorted(queue) == waits
        assert {name for name, _ in ORDERS.all(self.state)} == {name for name, _ in DEMANDS.all(self.state)}


Energy.TestCase.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
TestEnergy = Energy.TestCase


def walk(seed: int, steps: int) -> Counter[str]:
    """A long life with the odds of a working site, audited every few steps; what happened, by kind."""
    dice = random.Random(seed)
    one = Energy()
    one.start(dice.randint(0, 1), dice.randint(1, 6), [])

    def order() -> None:
        side = dice.choice(["buy", "sell"])
        one.order((dice.choice(USERS), side, dice.randint(1, 9), dice.choice([0, 1, 1, 2, 3])))

    def work() -> None:
        shown = [dice.choice([0, 80, 100, 100, 100, 130]) for _ in range(dice.randint(1, 6))]
        one.work(dice.choice(PLACES), dice.randint(500, 3_000), shown, dice.random() < 0.9)

    def speak() -> None:
        word = dice.random() < 0.9, dice.random() < 0.9
        one.speak(dice.choice(PLACES), dice.randint(0, 30), dice.randint(0, 30), word)

    acts: list[tuple[int, Any]] = [
        (30, work),
        (12, order),
        (4, speak),
        (4, lambda: one.receipt(dice.choice(PLACES), dice.choice(["done", "partial"]), dice.randint(0, 1))),
        (1, lambda: one.receipt(dice.choice(PLACES), dice.choice(["failed-safe", "refused"]), 0)),
        (2, lambda: one.expire(dice.randrange(99), dice.choice([0, 300, 700, 4_000]))),
        (2, lambda: one.cancel(dice.randrange(99))),
        (3, lambda: one.advance(dice.choice(PLACES), dice.randint(1, 9_000))),
        (1, lambda: one.settle(dice.choice(PLACES))),
        (3, lambda: one.flow(dice.choice(list(one.waiting)), dice.randint(0, 1_500), dice.random() < 0.5, 30)),
        (3, lambda: one.send(dice.choice(list(one.waiting)))),
        (1, lambda: one.event(dice.choice(PLACES), dice.choice(["safe entered", "start"]))),
    ]
    for step in range(steps):
        dice.choices([act for _, act in acts], [weight for weight, _ in acts])[0]()
        if step % 5 == 0 or step == steps - 1:
            one.every_right_is_somewhere_once()
            one.nobody_is_paid_for_what_no_register_shows()
            one.grants_stations_and_queue_agree()
    return Counter(event.kind for event in one.site.chain.events)


@pytest.mark.parametrize("seed", range(6))
def test_a_long_life(seed: int) -> None:
    happened = walk(seed, 150)
    assert happened["settlement/unit"] > 10, "a walk in which nothing is delivered shows nothing"
