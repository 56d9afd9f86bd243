"""Readings and orders on the schedule chain: what is taken, what backs a claim, what is refused."""

from __future__ import annotations

import pytest

from ledger.contracts import grants
from tests.ledger.sisters import device, kid
from tests.ledger.site import UNIT_WH, Site, buy, kinds_of
from wire import envelope, rows
from wire.chain import kinds
from wire.report import Coarse
from wire.state import State

DAY = 86_400


@pytest.fixture
def site() -> Site:
    site = Site()
    site.tell("north", 50)
    return site


# ---- evidence -------------------------------------------------------------------------------------------------------


def test_rows_are_taken_once_and_in_order(site: Site) -> None:
    buy(site)
    north = site.devices["north"]
    site.world.pass_s(60)
    first, second = north.report(exported_wh=1_000), north.report()
    assert site.chain.no("gate", kinds.Readings(reports=[second])) == "gap"
    site.read(first)
    assert site.chain.no("gate", kinds.Readings(reports=[first])) == "old-rows"
    site.read(second)
    assert site.chain.app.query("grants")[0]["station_uwh"] == 10**9


def test_one_bad_report_takes_nobody_elses_with_it(site: Site) -> None:
    buy(site)
    site.world.pass_s(60)
    north, meter = site.devices["north"], site.devices["ann's meter"]
    stranger = device(site.world, "stranger").report()
    known = north.report(exported_wh=1_000)
    events = site.read(stranger, known, known, meter.report(imported_wh=900))
    reasons = [event.fields["reason"] for event in events if event.kind == "settlement/left-out"]
    assert reasons == ["unknown-device", "old-rows"]
    assert site.grants() == [("north", 5, 1, "open")]
    assert site.chain.no("gate", kinds.Readings(reports=[stranger, known])) == "unknown-device"
    assert site.chain.no("gate", kinds.Readings(reports=[])) == "nothing-due"


def test_a_clone_is_refused(site: Site) -> None:
    north = site.devices["north"]
    seq, head = north.seq, north.head
    north.head = bytes(32)
    twin = north.report()
    assert site.chain.no("gate", kinds.Readings(reports=[twin])) == "bad-link"
    north.seq, north.head = seq, head
    site.read(north.report())


def test_only_who_may_sends_readings(site: Site) -> None:
    meter = site.devices["ann's meter"]
    row = meter.report()
    assert site.chain.no("ben", kinds.Readings(reports=[row])) == "not-allowed"
    site.read(row, by="ann")
    site.read(meter.report(), by="EC")


def test_a_jump_lands_before_every_grant_or_not_at_all(site: Site) -> None:
    """Rows that nobody sent may be passed over only where no grant could need them."""
    meter = site.devices["ann's meter"]
    site.world.pass_s(10)
    meter.report(imported_wh=500)
    site.world.pass_s(10)
    meter.report(imported_wh=500)
    site.world.pass_s(10)
    assert not site.order("ann", "buy", 5).reason
    site.world.pass_s(10)
    meter.time_s = site.world.now_ns // 10**9 - 5
    late = meter.report(imported_wh=100)
    assert site.chain.no("gate", kinds.Readings(reports=[late])) == "gap"
    other = Site()
    other.tell("north", 50)
    meter = other.devices["ann's meter"]
    other.world.pass_s(10)
    meter.report(imported_wh=500)
    other.world.pass_s(10)
    assert not other.order("ann", "buy", 5).reason
    other.world.pass_s(10)
    other.read(meter.report(imported_wh=500))  # begins before the grant


def test_a_coarse_report_jumps_and_backs_nothing(site: Site) -> None:
    buy(site)
    north = site.devices["north"]
    seq, head = north.seq, north.head
    site.world.pass_s(60)
    for _ in range(3):
        north.report(exported_wh=1_000)
    word = Coarse(
        id=north.id,
        boot=1,
        seq=seq,
        head=head,
        next_seq=north.seq,
        next_head=north.head,
        merged=3,
        first=None,
        last=list(north.registers),
        time_s=north.time_s,
        quality=rows.SYNCED,
    )
    jump = [2, envelope.sign(north.key, Coarse.DOMAIN, word.encode())]
    site.read(jump)
    assert site.chain.no("gate", kinds.Readings(reports=[jump])) == "old-rows"
    site.world.pass_s(60)
    site.read(
        north.report(exported_wh=1_000, event=("command", 1)), site.devices["ann's meter"].report(imported_wh=3_600)
    )
    assert site.grants() == [("north", 5, 0, "open")]
    site.flow("north", out_wh=1_000, ann=0)
    assert site.grants() == [("north", 5, 1, "open")], "from the next row on it counts again"


SUSPECT = {
    "more power than there is": {"exported_wh": 100_000},
    "a clock that is not there": {"quality": rows.NONE},
    "a row of tomorrow": {"ahead_s": DAY},
}


@pytest.mark.parametrize("name", SUSPECT)
def test_suspect_rows_are_taken_and_back_nothing(site: Site, name: str) -> None:
    buy(site)
    how = SUSPECT[name]
    north, meter = site.devices["north"], site.devices["ann's meter"]
    site.world.pass_s(60)
    if "ahead_s" in how:
        north.time_s += how["ahead_s"]
        row = rows.encode_row(60, north.registers[0], north.registers[1] + 1_000, -60_000, 230_000, 0)
        site.read([0, north.seal([row], north.time_s - 60)])
    else:
        base_s = north.time_s
        row = north.row(exported_wh=how.get("exported_wh", 1_000))
        site.read([0, north.seal([row], base_s, how.get("quality", rows.SYNCED))])
    site.read(meter.report(imported_wh=5_000))
    assert site.grants() == [("north", 5, 0, "open")]


def test_a_takeover_is_not_spanned(site: Site) -> None:
    buy(site)
    north = site.devices["north"]
    site.flow("north", out_wh=700, ann=900)
    site.world.pass_s(60)
    north.registers[1] -= 500  # flash was damaged: the one step back that is accepted
    site.read(north.report(event=("takeover", 0)))
    site.flow("north", out_wh=1_000, ann=900)
    assert site.grants() == [("north", 5, 1, "open")]


def test_another_devices_signature(site: Site) -> None:
    north = site.devices["north"]
    row = north.report()
    forged = envelope.sign(site.devices["south"].key, rows.DOMAIN, envelope.split(row[1]).payload)
    assert site.chain.no("gate", kinds.Readings(reports=[[0, forged]])) == "unknown-key"
    state = envelope.sign(north.key, State.DOMAIN, envelope.split(row[1]).payload)
    assert site.chain.no("gate", kinds.Readings(reports=[[0, state]])) == "bad-signature"


# ---- orders ---------------------------------------------------------------------------------------------------------


def test_orders_that_are_refused(site: Site) -> None:
    chain = site.chain
    meter = kid("ann's meter")
    assert chain.no("ann", kinds.Order(side=0, energy_wh=1_500, limit_w=1, meter=meter)) == "bad-amount"
    assert chain.no("ann", kinds.Order(side=0, energy_wh=0, limit_w=1, meter=meter)) == "bad-amount"
    assert chain.no("ben", kinds.Order(side=0, energy_wh=1_000, limit_w=1, meter=meter)) == "not-allowed"
    assert chain.no("ann", kinds.Order(side=0, energy_wh=1_000, limit_w=1, meter=bytes(8))) == "unknown-device"
    assert chain.no("ann", kinds.Order(side=0, energy_wh=101_000, limit_w=1, meter=meter)) == "insufficient"
    site.world.pass_s(3_601)
    assert chain.no("ann", kinds.Order(side=0, energy_wh=1_000, limit_w=1, meter=meter)) == "stale-meter"


def test_a_user_cannot_fill_the_queue() -> None:
    site = Site(orders_max=2)
    assert [site.order("ann", "sell", 1).reason for _ in range(3)] == ["", "", "too-many"]
    site.chain.ok("ann", kinds.Cancel(order=0))
    assert not site.order("ann", "sell", 1).reason


def test_a_command_lists_so_many_grants_and_no_more(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grants, "COMMAND_GRANTS_MAX", 2)
    for user in "ann", "ben", "ann":
        assert not site.order(user, "buy", 5).reason
    assert site.command("north")["grants"] == (0, 1)
    site.chain.ok("ben", kinds.Cancel(order=1))
    assert site.command("north")["grants"] == (0, 2)


def test_a_line_that_is_set_is_tried_at_once() -> None:
    site = Site(lines={("ben", "north"): 0})
    site.tell("north", 50)
    assert kinds_of(list(site.order("ann", "buy", 5).events))[-1] == "dispatch/waits"
    line = kinds.SetLine(user=kid("ann"), station=kid("north"), loss_ppm=10_000)
    assert site.chain.no("ann", line) == "not-allowed"
    site.chain.ok("EC", line)
    assert site.grants() == [("north", 5, 0, "open")]
    site.chain.ok("EC", kinds.SetLine(user=kid("ann"), station=kid("north"), loss_ppm=None))
    assert site.chain.app.query("lines") == [{"user": "ben", "station": "north", "loss_ppm": 0}]


def test_a_trip_through_proven_units_disconnects_everybody() -> None:
    site = Site()
    site.tell("north", 6)
    site.tell("south", 50)
    for user in "ann", "ben":
        assert not site.order(user, "buy", 10).reason
    site.take("north")
    site.flow("north", out_wh=2_000, seconds=120, ann=900, ben=1_000)
    assert not site.station("north")["supply"]
    assert [grant[0] + " " + grant[3] for grant in site.grants()] == [
        "north closing",
        "north closing",
        "south open",
        "south open",
    ]
    assert site.station("north")["energy_wh"] == 4 * UNIT_WH


def test_commands_rise_and_tell_the_whole_order(site: Site) -> None:
    seen = []
    for act in (
        lambda: site.order("ann", "buy", 5, 3_000),
        lambda: site.order("ben", "buy", 3, 2_000),
        lambda: site.chain.ok("ann", kinds.Cancel(order=0)),
    ):
        act()
        row = site.command("north")
        seen.append((row["counter"], row["grants"], row["action"], row["limit_w"], row["energy_wh"]))
    assert seen == [(1, (0,), 2, 3_000, 5_000), (2, (0, 1), 2, 5_000, 8_000), (3, (1,), 2, 2_000, 3_000)]
