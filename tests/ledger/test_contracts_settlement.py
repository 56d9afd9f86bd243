"""Supply and acquisition on the schedule chain: what two meters show is paid once, and everything else goes back."""

from __future__ import annotations

import pytest

from tests.ledger.sisters import kid
from tests.ledger.site import Site, buy, kinds_of
from wire import envelope
from wire.chain import kinds

DAY = 86_400


@pytest.fixture
def site() -> Site:
    site = Site()
    site.tell("north", 50)
    return site


# ---- supply ---------------------------------------------------------------------------------------------------------


def test_a_delivered_unit_is_one_record(site: Site) -> None:
    buy(site)
    assert site.rights("ann", "north") == [95_000, 0]
    events = site.flow("north", out_wh=1_000, ann=900)
    assert "settlement/unit" in kinds_of(events)
    assert site.rights("ann", "north") == [95_000, 1_000]
    assert [(r["from"], r["to"], r["amount"]) for r in site.chain.app.query("record")] == [("ann", "north", 1_000)]
    assert site.station("north")["energy_wh"] == 49_000


def test_either_meter_may_speak_first(site: Site) -> None:
    buy(site)
    meter, north = site.devices["ann's meter"], site.devices["north"]
    site.world.pass_s(60)
    assert kinds_of(site.read(meter.report(imported_wh=900))) == []
    assert kinds_of(site.read(north.report(exported_wh=1_000))) == ["settlement/unit"]


def test_only_what_both_show_is_paid(site: Site) -> None:
    buy(site)
    site.flow("north", out_wh=3_000, seconds=180, ann=950)
    assert site.grants() == [("north", 5, 1, "open")]
    site.flow("north", out_wh=0, ann=1_750)
    assert site.grants() == [("north", 5, 3, "open")]


def test_the_meters_class_and_a_step_at_each_end_are_allowed_for(site: Site) -> None:
    """One unit at 10 % loss is 900 Wh; 1 % of class and two steps make 889 enough and 888 not."""
    for seen, paid in (888, 0), (889, 1):
        site = Site()
        site.tell("north", 50)
        buy(site)
        site.flow("north", out_wh=1_000, ann=seen)
        assert site.grants() == [("north", 5, paid, "open")]


def test_the_allowance_is_not_given_twice(site: Site) -> None:
    buy(site)
    for _ in range(4):
        site.flow("north", out_wh=1_000, ann=890)
    assert site.grants()[0][2] == 3, "4 × 890 is less than 4 × 900 less 1 % and two steps"


def test_energy_of_before_the_command_is_nobodys(site: Site) -> None:
    site.flow("north", out_wh=2_000, ann=1_800)
    assert not site.order("ann", "buy", 5).reason
    site.flow("north", out_wh=2_000, ann=1_800)
    site.take("north")
    site.flow("north", out_wh=1_000, ann=0)
    assert site.grants() == [("north", 5, 1, "open")], (
        "the meter's energy since the grant counts, the station's does not"
    )
    site.flow("north", out_wh=1_000, ann=0)
    assert site.grants() == [("north", 5, 2, "open")]
    site.flow("north", out_wh=1_000, ann=0)
    assert site.grants() == [("north", 5, 2, "open")]


def test_energy_after_the_lease_is_nobodys(site: Site) -> None:
    buy(site)
    site.world.pass_s(901)
    north = site.devices["north"]
    site.read(north.report())
    site.flow("north", out_wh=1_000, ann=900)
    assert site.grants() == [("north", 5, 0, "open")]


def test_energy_in_a_safe_state_is_nobodys(site: Site) -> None:
    buy(site)
    site.read(site.devices["north"].report(event=("safe entered", 0)))
    site.flow("north", out_wh=1_000, ann=900)
    assert site.grants() == [("north", 5, 0, "open")]


def test_an_interval_is_split_by_limit(site: Site) -> None:
    """3 kWh, one user with twice the limit of the other: 2 and 1."""
    assert not site.order("ann", "buy", 5, 200_000).reason
    assert not site.order("ben", "buy", 5, 100_000).reason
    assert site.command("north")["limit_w"] == 300_000
    assert site.command("north")["energy_wh"] == 10_000
    site.take("north")
    site.flow("north", out_wh=3_000, seconds=180, ann=5_000, ben=5_000)
    assert [grant[2] for grant in site.grants()] == [2, 1]


def test_who_asks_for_nothing_gets_nothing(site: Site) -> None:
    assert not site.order("ben", "buy", 5, 0).reason
    buy(site)
    site.flow("north", out_wh=2_000, seconds=120, ann=1_800, ben=2_000)
    assert [grant[2] for grant in site.grants()] == [0, 2]


def test_after_k_units_a_new_grant_follows(site: Site) -> None:
    buy(site, 7)
    for _ in range(5):
        events = site.flow("north", out_wh=1_000, ann=900)
    assert kinds_of(events) == ["settlement/unit", "dispatch/left", "dispatch/closed", "dispatch/granted", "command"]
    assert site.grants() == [("north", 5, 5, "closed"), ("north", 2, 0, "open")]
    site.take("north")
    for _ in range(2):
        events = site.flow("north", out_wh=1_000, ann=900)
    assert "dispatch/ended" in kinds_of(events)
    assert site.chain.app.query("orders") == []
    assert site.rights("ann", "north") == [93_000, 7_000]
    assert site.command("north")["action"] == 0


# ---- the station's last word and the units it knows of already -------------------------------------------------------


def test_a_unit_proven_by_rows_before_the_state_moves_nothing_again(site: Site) -> None:
    buy(site)
    north, meter = site.devices["north"], site.devices["ann's meter"]
    site.world.pass_s(60)
    row = north.report(exported_wh=1_000)
    site.tell("north", 49)
    site.read(row)
    site.read(meter.report(imported_wh=900))
    assert site.station("north")["energy_wh"] == 49_000
    site.flow("north", out_wh=1_000, ann=900)
    assert site.station("north")["energy_wh"] == 48_000


def test_states_count_only_with_a_higher_number(site: Site) -> None:
    north = site.devices["north"]
    old, new = north.state(10_000, 100_000), north.state(20_000, 100_000)
    site.chain.ok("relay", kinds.StationState(state=new))
    assert site.chain.no("relay", kinds.StationState(state=old)) == "old-number"
    assert site.chain.no("relay", kinds.StationState(state=new)) == "old-number"
    meter = site.devices["ann's meter"].state(1, 1)
    assert site.chain.no("relay", kinds.StationState(state=meter)) == "unknown-account"
    too_full = north.state(2, 1)
    assert site.chain.no("relay", kinds.StationState(state=too_full)) == "bad-state"


# ---- how a grant ends -----------------------------------------------------------------------------------------------


def test_a_cancelled_order_gives_back_what_is_not_granted_at_once_and_the_rest_when_its_end_is_known(
    site: Site,
) -> None:
    buy(site, 20)
    site.flow("north", out_wh=2_000, seconds=120, ann=1_800)
    assert site.chain.no("ben", kinds.Cancel(order=0)) == "not-allowed"
    site.chain.ok("ann", kinds.Cancel(order=0))
    assert site.rights("ann", "north") == [95_000, 2_000], "3 units may still be on their way"
    assert site.grants() == [("north", 5, 2, "closing")]
    site.flow("north", out_wh=1_000, ann=900)  # before it heard of it
    site.world.pass_s(1)
    site.take("north")
    site.receipt("north", "partial", "replaced", counter=1)
    assert site.grants() == [("north", 5, 3, "closing")], "the meter has not been heard of since"
    site.read(site.devices["ann's meter"].report())
    assert site.grants() == [("north", 5, 3, "closed")]
    assert site.rights("ann", "north") == [97_000, 3_000]
    assert site.chain.app.query("orders") == []


def test_escrow_comes_back_at_claim_until_and_not_before(site: Site) -> None:
    buy(site)
    site.chain.ok("ann", kinds.Cancel(order=0))
    row = site.chain.app.query("grants")[0]
    site.world.pass_s(row["claim_until"] - site.world.now_ns // 10**9 - 1)
    assert site.chain.no("relay", kinds.Expire(grant=0)) == "too-early"
    assert site.rights("ann") == [95_000]
    site.world.pass_s(1)
    site.chain.ok("relay", kinds.Expire(grant=0))
    assert site.rights("ann") == [100_000]
    assert site.chain.no("relay", kinds.Expire(grant=0)) == "closed"


def test_late_readings_are_paid_while_they_may_be_claimed(site: Site) -> None:
    buy(site)
    north, meter = site.devices["north"], site.devices["ann's meter"]
    site.world.pass_s(120)
    late = [north.report(exported_wh=2_000), meter.report(imported_wh=1_800)]
    site.world.pass_s(3 * DAY)
    site.chain.ok("relay", kinds.Expire(grant=0))
    assert site.grants() == [("north", 5, 0, "closing")]
    site.read(*late)
    assert site.grants() == [("north", 5, 2, "closing")]
    assert site.rights("north") == [2_000]


def test_a_lease_without_movement_ends_the_order(site: Site) -> None:
    buy(site, 20)
    assert site.chain.no("relay", kinds.Expire(grant=0)) == "too-early"
    site.world.pass_s(900)
    site.chain.ok("relay", kinds.Expire(grant=0))
    assert site.grants() == [("north", 5, 0, "closing")]
    assert site.rights("ann") == [95_000]
    assert site.station("north")["buyers"] == 0


def test_a_lease_with_movement_is_renewed(site: Site) -> None:
    buy(site)
    before = site.chain.app.query("grants")[0]["lease_until"]
    site.flow("north", out_wh=400, seconds=300, ann=360)
    assert site.chain.app.query("grants")[0]["lease_until"] == before, "early in the lease nothing needs to be said"
    events = site.flow("north", out_wh=400, seconds=300, ann=360)
    assert kinds_of(events) == ["command"]
    assert site.chain.app.query("grants")[0]["lease_until"] == before + 600
    assert site.command("north")["lease_until"] == before + 600


def test_a_refusal_sends_the_user_elsewhere(site: Site) -> None:
    site.tell("south", 50)
    assert not site.order("ann", "buy", 10).reason
    events = site.receipt("north", "refused", "temperature", part=1)
    assert kinds_of(events)[:2] == ["dispatch/left", "dispatch/granted"]
    assert site.grants()[1] == ("south", 5, 0, "open")
    site.world.pass_s(1)
    site.read(site.devices["ann's meter"].report())
    assert site.grants()[0] == ("north", 5, 0, "closed")
    assert site.rights("ann") == [90_000]


def test_a_safe_state_sends_the_user_elsewhere(site: Site) -> None:
    site.tell("south", 50)
    buy(site, 10)
    site.flow("north", out_wh=1_000, ann=900)
    site.receipt("north", "failed-safe", "temperature")
    assert site.grants() == [("north", 5, 1, "closed"), ("south", 5, 0, "open")]
    site.tell("north", 49, supply=False)
    site.take("south")
    for _ in range(5):
        site.flow("south", out_wh=1_000, ann=800)
    assert site.rights("south") == [5_000]
    assert site.grants()[2] == ("south", 4, 0, "open"), "what north did not deliver is not forgotten"


def test_a_command_done_too_soon_is_followed_by_one_for_the_rest(site: Site) -> None:
    buy(site)
    site.flow("north", out_wh=4_000, seconds=240, ann=3_600)
    site.world.pass_s(1)
    assert kinds_of(site.receipt("north", "done")) == []
    events = site.read(site.devices["ann's meter"].report())
    assert kinds_of(events) == ["command"]
    assert site.command("north")["energy_wh"] == 1_000
    site.take("north")
    site.flow("north", out_wh=1_000, ann=900)
    assert site.grants() == [("north", 5, 5, "closed")]


def test_what_left_and_did_not_arrive_is_not_paid(site: Site) -> None:
    buy(site)
    site.flow("north", out_wh=5_000, seconds=300, ann=1_000)
    site.receipt("north", "done")
    site.world.pass_s(1)
    site.read(site.devices["ann's meter"].report())
    assert site.grants()[0] == ("north", 5, 1, "closed")
    assert site.rights("north") == [1_000]


def test_receipts_are_the_stations_and_their_commands(site: Site) -> None:
    buy(site)
    north = site.devices["north"]
    wrong_id = north.receipt(1, bytes(16), 2, "done")
    assert site.chain.no("relay", kinds.StationReceipt(receipt=wrong_id)) == "unknown-command"
    early = north.receipt(9, bytes(16), 2, "done")
    assert site.chain.no("relay", kinds.StationReceipt(receipt=early)) == "unknown-command"
    forged = envelope.sign(site.devices["south"].key, "tallygrid/receipt/1", envelope.split(early).payload)
    assert site.chain.no("relay", kinds.StationReceipt(receipt=forged)) == "unknown-key"


# ---- acquisition ----------------------------------------------------------------------------------------------------


def sell(site: Site, units: int = 5) -> None:
    site.chain.ok("EC", kinds.Advance(station=kid("north"), amount=20_000))
    assert not site.order("ann", "sell", units).reason
    site.take("north")


def test_a_sold_unit_is_paid_by_the_station(site: Site) -> None:
    sell(site)
    assert site.rights("north") == [15_000]
    site.flow("north", in_wh=1_000, ann=-1_111)
    assert site.rights("ann", "north") == [101_000, 15_000]
    assert site.chain.app.query("record")[-1]["from"] == "north"
    assert site.station("north")["energy_wh"] == 51_000
    assert site.command("north")["action"] == 1


def test_a_seller_waits_for_a_station_that_can_pay(site: Site) -> None:
    result = site.order("ann", "sell", 5)
    assert kinds_of(list(result.events)) == ["dispatch/ordered", "dispatch/waits"]
    site.chain.ok("EC", kinds.Advance(station=kid("north"), amount=4_999))
    assert site.grants() == []
    site.chain.ok("EC", kinds.Pay(to=kid("north"), amount=1, message=None))
    assert site.grants() == [("north", 5, 0, "open")]


def test_one_purse_pays_no_two_sellers(site: Site) -> None:
    """Both wait; the station's rights are enough for one."""
    for user in "ann", "ben":
        assert not site.order(user, "sell", 5).reason
    site.chain.ok("EC", kinds.Advance(station=kid("north"), amount=9_999))
    assert site.grants() == [("north", 5, 0, "open")]
    assert site.rights("north") == [4_999]


def test_a_seller_who_leaves_gives_the_station_its_rights_back(site: Site) -> None:
    sell(site)
    site.flow("north", in_wh=1_000, ann=-1_112)
    site.chain.ok("ann", kinds.Cancel(order=0))
    site.receipt("north", "partial", "replaced", counter=1)
    site.world.pass_s(1)
    site.read(site.devices["ann's meter"].report())
    site.read(site.devices["north"].report())
    assert site.grants() == [("north", 5, 1, "closed")]
    assert site.rights("ann", "north") == [101_000, 19_000]


def test_one_way(site: Site) -> None:
    site.chain.ok("EC", kinds.Advance(station=kid("north"), amount=20_000))
    buy(site)
    assert kinds_of(list(site.order("ben", "sell", 5).events))[-1] == "dispatch/waits"


def test_the_period_pays_the_company(site: Site) -> None:
    buy(site)
    site.flow("north", out_wh=2_000, seconds=120, ann=1_800)
    period = kinds.SettlePeriod(station=kid("north"))
    assert site.chain.no("relay", period) == "too-early"
    site.chain.ok("EC", period)
    assert site.rights("north", "EC") == [0, 102_000]
    assert site.chain.no("EC", period) == "nothing-due"
    site.flow("north", out_wh=1_000, ann=900)
    assert site.chain.no("relay", period) == "too-early"
    site.world.pass_s(DAY)
    site.chain.ok("relay", period)
    assert site.rights("north", "EC") == [0, 103_000]
