"""The two pages' words: sums, ages, alarms, gaps; a transfer's steps."""

import pytest

from hardware.site.model import GRID
from pilot.page.cabinet import Sealed
from pilot.page.view import View
from tests.page.rig import ANNA, DEPOT, START_S, Rig
from wire import rows
from wire.command import REASONS
from wire.rows import EVENTS

N = "\N{NO-BREAK SPACE}"


@pytest.fixture
def rig() -> Rig:
    return Rig()


def street(rig: Rig) -> View:
    return rig.website.street.view(rig.now_s)


def chains(rig: Rig) -> View:
    return rig.website.chains.view(rig.now_s)


def alarms(view: View) -> list[tuple[str, ...]]:
    return [row.cells for row in view.table["alarms"]]


def test_in_equals_out_and_the_grid_makes_up_the_difference(rig: Rig) -> None:
    rig.row("meter-a", 3_700)
    rig.row("meter-b", -2_200)
    rig.row("station-1", -500, flags=rows.CLOSED)
    view = street(rig)
    assert view.text["bar.total"] == f"3.7{N}kW"
    assert view.text["bar.in"] == f"the grid 1.0{N}kW · ben 2.2{N}kW · depot 500{N}W"
    assert view.text["bar.out"] == f"anna 3.7{N}kW"
    assert view.text["spot.corner"] == f"→ receives 1.0{N}kW"
    assert view.text["spot.house-b"] == f"← gives 2.2{N}kW"
    assert alarms(view) == []


def test_an_old_value_keeps_its_number_counts_in_no_sum_and_says_so(rig: Rig) -> None:
    for board in ("meter-a", "meter-b", "station-1"):
        rig.row(board, 1_000)
    rig.wait(60)
    rig.row("meter-b", -700)
    rig.row("station-1", 0)
    view = street(rig)
    assert view.text["house-a.power"] == f"→ takes 1.0{N}kW"
    assert view.attr["house-a.card"]["data-fresh"] == "stale"
    assert view.at_s["house-a.at"] == START_S
    assert view.attr["spot.house-a"]["data-state"] == view.attr["spot.corner"]["data-state"] == "unknown"
    assert view.text[f"spot.{GRID}"] == "no value"
    assert "anna" in view.text["bar.missing"] and "the grid" in view.text["bar.missing"]
    assert alarms(view) == [("anna", "nothing new for a while: values are old")]


def test_on_a_fast_clock_the_way_here_makes_nothing_old(rig: Rig) -> None:
    rig.row("meter-a", 1_000)
    rig.wait(120)
    assert street(rig).attr["house-a.card"]["data-fresh"] == "stale"
    rig.website.street.speed = 60
    assert street(rig).attr["house-a.card"]["data-fresh"] == "live"
    rig.wait(120)
    assert street(rig).attr["house-a.card"]["data-fresh"] == "stale"


def test_nothing_is_zero_before_it_was_measured(rig: Rig) -> None:
    view = street(rig)
    assert view.text["house-a.power"] == "no value"
    assert view.text["house-a.in"] == view.text["house-a.tokens"] == view.text["bar.total"] == "–"
    assert view.at_s["house-a.at"] == 0
    assert alarms(view) == [("every board", "no report yet")]


def test_a_lost_sensor_is_no_zero(rig: Rig) -> None:
    rig.row("meter-a", 0, (500, 0), flags=rows.NO_SENSOR)
    view = street(rig)
    assert view.text["house-a.power"] == "no value"
    assert view.text["house-a.voltage"] == "–"
    assert view.attr["house-a.card"]["data-fresh"] == "none"
    assert ("anna", "no values from the sensor") in alarms(view)


def test_alarms_that_stand(rig: Rig) -> None:
    rig.row("meter-a", 100)
    rig.row("meter-b", 100)
    rig.row("station-1", 0, flags=rows.SAFE, event=(EVENTS.index("safe entered"), REASONS.index("temperature")))
    rig.node.down["schedule"] = "refused"
    assert alarms(street(rig)) == [
        ("the schedule chain", "its node does not answer: refused"),
        ("depot", "in its safe state: the temperature"),
    ]
    rig.wait(100)
    assert alarms(street(rig))[1:] == [
        ("every board", "nothing new for a while: values are old"),
        ("depot", "in its safe state: the temperature"),
    ]
    rig.row("meter-b", 100)
    assert alarms(street(rig))[1] == ("anna and depot", "nothing new for a while: values are old")


def test_the_same_thing_twice_at_once_is_one_line(rig: Rig) -> None:
    for _ in range(3):
        rig.block("schedule", refused=("insufficient",))
    told = street(rig).table["notices"]
    assert [row.cells[2] for row in told] == ["refused a transaction: insufficient (3 times)"]


def test_a_station_shows_its_charge_relay_and_market(rig: Rig) -> None:
    rig.afternoon()
    text = street(rig).text
    assert (text["store.soc"], text["store.relay"]) == (f"41{N}%", "closed")
    assert text["store.open"] == "open for buyers, serves 1 order"
    assert text["store.rights"] == f"2.000{N}kWh"
    assert text["house-a.tokens"] == "99.700"


def test_todays_energy_shows_the_two_readings_it_comes_from(rig: Rig) -> None:
    rig.afternoon()
    view = street(rig)
    assert view.text["house-a.in"] == f"0.020{N}kWh"
    registers = [row.cells[2] for row in view.table["house-a.readings"]]
    assert registers == [f"1.000{N}kWh", f"1.020{N}kWh"]


def test_a_transfer_shows_when_each_step_was(rig: Rig) -> None:
    rig.transfer()
    (row,) = chains(rig).table["transfers"]
    assert row.cells == (
        "0, from the transaction chain",
        f"0.300{N}tokens of anna → 0.300{N}kWh of rights for anna",
        f"12:00:00, block{N}1",
        f"12:00:01, block{N}1",
        f"12:00:01, block{N}2",
        f"12:00:02, block{N}3",
        f"2{N}s",
    )


def test_a_transfer_under_way_waits_in_words(rig: Rig) -> None:
    rig.block("transaction", ("lock/locked", {"lock": 0, "owner": ANNA, "amount": 300}))
    (row,) = chains(rig).table["transfers"]
    assert row.state == "waiting" and row.cells[3:] == ("not yet", "not yet", "not yet", "–")


def test_a_slave_block_says_whether_the_main_chain_has_it(rig: Rig) -> None:
    rig.website.chains.sealed = [Sealed(2, START_S, 1, 4, None), Sealed(1, START_S, 0, 3, 9)]
    sealed = chains(rig).table["slaves"]
    assert [row.cells[2:] for row in sealed] == [("urgent", "4", "not yet"), ("usual", "3", "block 9")]


def test_a_command_and_what_became_of_it(rig: Rig) -> None:
    fields = {
        "station": DEPOT,
        "counter": 3,
        "action": 2,
        "limit_w": 1_500,
        "energy_wh": 57,
        "lease_until": START_S + 300,
    }
    rig.block("schedule", ("command", fields))
    assert chains(rig).table["commands"][0].cells[2:] == (
        f"discharge with 1.5{N}kW, 0.057{N}kWh in all",
        "12:05:00",
        "not yet",
        "not yet",
    )
    rig.boards.receipts[DEPOT, 3] = {1: "taken", 2: "done"}
    assert chains(rig).table["commands"][0].cells[4:] == ("taken", "done")


def test_sums_that_do_not_add_up_are_an_alarm(rig: Rig) -> None:
    totals = {"circulation": 10, "pending_amount": 2, "pool": 3, "supply": 15}
    rig.node.totals |= {"transaction": totals, "schedule": {**totals, "pool": 4}}
    sums = chains(rig).table["totals"]
    assert [(row.key, row.cells[-1], row.state) for row in sums] == [
        ("transaction", "adds up", ""),
        ("schedule", "does not add up", "alarm"),
    ]


def test_what_stands_at_the_gateway_is_an_alarm_here(rig: Rig) -> None:
    rig.afternoon()
    rig.website.street.alarms = [(DEPOT, "two histories under one device's key"), ("the gateway", "no broker")]
    assert alarms(street(rig)) == [("depot", "two histories under one device's key"), ("the gateway", "no broker")]
