"""A Modbus inverter or battery as a station: the table, the rules, orders and their ends."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from gateway import station as played
from gateway.station import (
    CHARGING,
    DISCHARGING,
    HOLD_S,
    IDLE,
    LEASED,
    SAFE,
    Event,
    Limits,
    Order,
    Part,
    Refusal,
    Station,
)
from gateway.sunspec import Health
from wire.command import ACTIONS, Command
from wire.rows import EVENTS, SYNCED

T0 = 1_800_000_000
LIMITS = Limits(charge_w_max=3_000, discharge_w_max=4_000, soc_min_milli=100, soc_max_milli=900)
WELL = Health(0, 0, 4, 10_000, 500, 250)


def ready(limits: Limits = LIMITS, health: Health = WELL) -> Station:
    """Idle, seen a moment ago."""
    one = Station(limits)
    see(one, T0, health=health)
    for second in range(HOLD_S + 2):
        see(one, T0 + second, health=health)
        one.step(T0 + second, False)
    assert one.state == IDLE
    one.words.clear()
    return one


NOW = T0 + HOLD_S + 2


def see(one: Station, now_s: int, power_w: int = 0, health: Health = WELL, **changed: object) -> None:
    one.view.at_s, one.view.power_w, one.view.health = now_s, power_w, health
    one.view.voltages_mv = (230_000,)
    for name, value in changed.items():
        setattr(one.view, name, value)


def command(action: str = "discharge", limit_w: int = 2_000, counter: int = 1, **changed: int) -> Command:
    values = {"energy_wh": 1_000, "not_before": NOW, "lease_until": NOW + 900, **changed}
    return Command(
        station=b"\1" * 8, id=bytes([counter] * 16), counter=counter, grants=[1], action=ACTIONS.index(action),
        limit_w=limit_w, **values,
    )  # fmt: skip


def names(one: Station) -> list[str]:
    found = []
    for word in one.words:
        if isinstance(word, Event):
            found.append(EVENTS[word.code])
        elif isinstance(word, Part):
            found.append(f"{word.part} {word.outcome} {word.reason}".rstrip())
        else:
            found.append(f"refused {word.reason}")
    return found


def test_the_table_is_the_one_on_boards() -> None:
    """Without relays: no stuck one, so no `fault`. The rules keep their order too."""
    source = (Path(__file__).resolve().parents[2] / "firmware" / "safety.py").read_text()
    tree = ast.parse(source)
    values = {
        node.targets[0].id: node.value
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }
    table = ast.literal_eval(values["TABLE"])
    assert set(played.TABLE) == {line for line in table if "fault" not in line}
    assert ast.literal_eval(values["HOLD_S"]) == played.HOLD_S
    assert ast.literal_eval(values["OVER"]) == played.OVER
    rules = [rule.elts[0].value for rule in values["RULES"].elts]  # type: ignore[attr-defined]
    ours = ["sensor", "voltage", "current", "power", "temperature", "no-clock"]
    assert [rule for rule in rules if rule in ours] == ours


def test_it_begins_safe_and_waits_until_all_is_well() -> None:
    one = Station(LIMITS)
    assert one.step(T0, False) == 0
    assert one.state == SAFE and names(one) == ["safe entered"]
    see(one, T0 + 1)
    for second in range(1, HOLD_S + 2):
        see(one, T0 + second)
        one.step(T0 + second, False)
    assert one.state == IDLE and names(one) == ["safe entered", "safe left"]


def test_an_order_is_taken_carried_out_and_ended() -> None:
    one = ready()
    assert one.take(command(), NOW, False, 40)
    assert one.order is not None and one.order.first_seq == 40
    assert names(one) == ["command", "1 taken"]
    assert one.step(NOW, False) == -2_000 and one.state == DISCHARGING
    see(one, NOW + 1, power_w=-1_990, exported_wh=999)
    assert one.step(NOW + 1, False) == -2_000
    see(one, NOW + 2, power_w=-1_990, exported_wh=1_000)
    assert one.step(NOW + 2, False) == 0 and one.state == IDLE
    assert names(one)[2:] == ["session start", "session end", "2 done"]


def test_it_is_limited_by_what_the_registrar_signed() -> None:
    one = ready()
    one.take(command("charge", limit_w=9_000), NOW, False, 0)
    assert one.step(NOW, False) == 3_000 and one.state == CHARGING


def test_it_ramps() -> None:
    one = ready(Limits(charge_w_max=3_000, discharge_w_max=4_000, ramp_w_per_s=500))
    one.take(command(), NOW, False, 0)
    told = []
    for second in range(6):
        see(one, NOW + second, power_w=-min(500 * second, 2_000))
        told.append(one.step(NOW + second, False))
    assert told == [-500, -1_000, -1_500, -2_000, -2_000, -2_000]


def test_a_later_order_replaces_the_one_before() -> None:
    one = ready()
    one.take(command(), NOW, False, 0)
    one.step(NOW, False)
    one.words.clear()
    assert one.take(command("charge", counter=2), NOW, False, 5)
    assert names(one) == ["session end", "2 partial replaced", "command", "1 taken"]
    assert one.order is not None and one.order.first_seq == 6
    assert one.step(NOW, False) == 2_000 and one.state == CHARGING


def test_it_waits_until_the_order_may_begin() -> None:
    one = ready()
    one.take(command(not_before=NOW + 10), NOW, False, 0)
    assert one.step(NOW, False) == 0 and one.state == LEASED
    see(one, NOW + 10)
    assert one.step(NOW + 10, False) == -2_000


FULL, EMPTY = Health(0, 0, 4, 10_000, 900, 250), Health(0, 0, 4, 10_000, 100, 250)
PLANT = Health(0, 0, 4, None, None, 250)
REFUSED = [
    ("late", command(lease_until=NOW), WELL, False, LIMITS),
    ("late", command(lease_until=NOW - 1), WELL, False, LIMITS),
    ("early", command(not_before=NOW + 31), WELL, False, LIMITS),
    ("no-clock", command(), WELL, True, LIMITS),
    ("soc", command("charge"), FULL, False, LIMITS),
    ("soc", command("discharge"), EMPTY, False, LIMITS),
    ("power", command("charge"), PLANT, False, LIMITS),
    ("power", command("discharge"), WELL, False, Limits(charge_w_max=1)),
]


@pytest.mark.parametrize("reason, found, health, no_clock, limits", REFUSED)
def test_what_is_refused(reason: str, found: Command, health: Health, no_clock: bool, limits: Limits) -> None:
    one = ready(limits, health)
    assert not one.take(found, NOW, no_clock, 0)
    assert names(one) == [f"refused {reason}"]
    assert one.step(NOW, False) == 0


def test_a_safe_station_takes_nothing() -> None:
    one = Station(LIMITS)
    one.step(T0, False)
    one.words.clear()
    assert not one.take(command(), NOW, False, 0)
    assert names(one) == ["refused safe-state"]


ENDS = [
    ("2 failed-safe sensor", {"at_s": NOW - 16}, False),
    ("2 failed-safe voltage", {"voltages_mv": (230_000, 290_000, 230_000)}, False),
    ("2 failed-safe current", {"current_ma": 31_000}, False),
    ("2 failed-safe power", {"power_w": -2_400}, False),
    ("2 failed-safe temperature", {"health": Health(0, 0, 4, 10_000, 500, 700)}, False),
    ("2 failed-safe sensor", {"health": Health(4, 0, 7, 10_000, 500, 250)}, False),
    ("2 failed-safe no-clock", {}, True),
    ("2 partial soc", {"health": EMPTY}, False),
]


@pytest.mark.parametrize("outcome, seen, no_clock", ENDS)
def test_what_ends_an_order(outcome: str, seen: dict[str, object], no_clock: bool) -> None:
    one = ready(Limits(**{**vars(LIMITS), "current_ma_max": 30_000}))
    one.take(command(), NOW, False, 0)
    one.step(NOW, False)
    later = NOW + played.SLOW_S + 1
    see(one, later, **{"power_w": -2_000, **seen})  # type: ignore[arg-type]
    if "at_s" in seen:
        one.view.at_s = later - 16
    assert one.step(later, no_clock) == 0
    assert outcome in names(one)
    assert (one.state == SAFE) is ("failed-safe" in outcome)


def test_an_inverter_that_comes_down_to_its_limit_is_given_the_time() -> None:
    one = ready()
    see(one, NOW, power_w=-3_900)
    one.take(command(), NOW, False, 0)
    assert one.step(NOW, False) == -2_000
    see(one, NOW + played.SLOW_S - 1, power_w=-2_900)
    assert one.step(NOW + played.SLOW_S - 1, False) == -2_000
    see(one, NOW + played.SLOW_S, power_w=-2_900)
    assert one.step(NOW + played.SLOW_S, False) == 0
    assert names(one)[-2:] == ["2 failed-safe power", "safe entered"]


def test_the_lease_ends_an_order() -> None:
    one = ready()
    one.take(command(lease_until=NOW + 60), NOW, False, 0)
    one.step(NOW, False)
    see(one, NOW + 60, power_w=-2_000)
    assert one.step(NOW + 60, False) == 0
    assert names(one)[-1] == "2 partial lease-ended"


def test_an_order_that_a_restart_found_has_ended() -> None:
    one = ready()
    one.take(command(), NOW, False, 3)
    assert one.order is not None
    again = Station(LIMITS)
    again.recover(Order.unpack(one.order.pack()))
    assert names(again) == ["session end", "2 failed-safe reset"]
    word = again.words[1]
    assert isinstance(word, Part)
    made = played.receipt(word, b"\1" * 8, again.view, 9, NOW)
    assert (made.counter, made.first_seq, made.last_seq) == (1, 3, 9)


def test_a_refusal_has_the_commands_name() -> None:
    word = Refusal(command(), "late")
    made = played.receipt(word, b"\1" * 8, ready().view, 9, NOW)
    assert (made.command, made.outcome, made.reason) == (bytes([1] * 16), 2, 6)


def test_what_it_says_of_itself() -> None:
    one = ready()
    assert one.wants_to_tell(100)
    state = one.tell(b"\1" * 8, 1, 0, NOW, SYNCED)
    assert (state.stored_wh, state.capacity_wh, state.supply_ok, state.acquire_ok) == (4_000, 8_000, 1, 1)
    assert not one.wants_to_tell(100)
    see(one, NOW, health=Health(0, 0, 4, 10_000, 511, 250))
    assert one.wants_to_tell(100)
    see(one, NOW, health=FULL)
    assert one.flags() == (1, 0)
    one.tell(b"\1" * 8, 2, 0, NOW, SYNCED)
    see(one, NOW, health=Health(0, 0, 4, 10_000, 890, 250))
    assert one.flags() == (1, 0), "a flag that fell rises only at a distance"
    see(one, NOW, health=Health(0, 0, 4, 10_000, 870, 250))
    assert one.flags() == (1, 1)
