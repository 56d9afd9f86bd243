"""Stores, cars, households and the sky, each alone: what they can, what they keep, what they add up to."""

import ast
import dataclasses
import datetime
from pathlib import Path

import numpy as np
import pandapower  # type: ignore[import-untyped]
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardware.emulator.grid import Grid, demand, sun
from hardware.emulator.grid.cars import Car
from hardware.emulator.grid.stores import NJ_PER_WH, Charge
from hardware.site import load, parts
from hardware.site.model import Charger, Panels, Station

SECOND = 1_000_000
STORE = Station(
    name="store", node="busbar", capacity_wh=10_000, charge_w_max=3000, discharge_w_max=4000, efficiency_permille=900,
    soc_min_permille=100, soc_max_permille=900, soc_start_permille=500, self_discharge_permille_per_day=0,
)  # fmt: skip
SUNDAY = datetime.date(2026, 6, 14)


def test_efficiency_is_paid_in_both_directions() -> None:
    charge = Charge(STORE)
    charge.pass_time(1_000_000, 3600 * SECOND)
    assert charge.state().stored_wh == pytest.approx(5000 + 900)
    charge.pass_time(-900_000, 3600 * SECOND)
    assert charge.state().stored_wh == pytest.approx(5000 + 900 - 1000)


def test_power_ratings_bind() -> None:
    charge = Charge(STORE)
    assert charge.possible_mw(9_000_000, SECOND) == 3_000_000
    assert charge.possible_mw(-9_000_000, SECOND) == -4_000_000
    assert charge.possible_mw(0, SECOND) == 0


@given(st.lists(st.tuples(st.integers(-9_000_000, 9_000_000), st.integers(1, 7200 * SECOND)), max_size=30))
def test_a_store_stays_in_its_window(orders: list[tuple[int, int]]) -> None:
    charge = Charge(STORE)
    for wanted_mw, for_us in orders:
        power_mw = charge.possible_mw(wanted_mw, for_us)
        assert abs(power_mw) <= abs(wanted_mw)
        charge.pass_time(power_mw, for_us)
        assert 1000 - 1e-6 <= charge.state().stored_wh <= 9000 + 1e-6


def test_a_full_store_takes_no_more_and_an_empty_one_gives_no_more() -> None:
    full = Charge(dataclasses.replace(STORE, soc_start_permille=900))
    empty = Charge(dataclasses.replace(STORE, soc_start_permille=100))
    assert full.possible_mw(1_000_000, SECOND) == 0
    assert full.possible_mw(-1_000_000, SECOND) == -1_000_000
    assert empty.possible_mw(-1_000_000, SECOND) == 0


def test_an_idle_store_leaks_down_to_nothing_and_no_further() -> None:
    charge = Charge(dataclasses.replace(STORE, self_discharge_permille_per_day=100))
    charge.pass_time(0, 86_400 * SECOND)
    assert charge.state().stored_wh == pytest.approx(4000)
    for _ in range(6):
        charge.pass_time(0, 86_400 * SECOND)
    assert charge.state().stored_wh == 0
    assert charge.possible_mw(-1_000_000, SECOND) == 0


def test_a_working_store_gets_warm_and_cools_again() -> None:
    charge = Charge(STORE)
    cold_c = charge.state().temperature_c
    charge.pass_time(3_000_000, 3600 * SECOND)
    warm_c = charge.state().temperature_c
    assert cold_c + 5 < warm_c < cold_c + 30
    charge.pass_time(0, 6 * 3600 * SECOND)
    assert charge.state().temperature_c == pytest.approx(cold_c, abs=0.1)


def test_the_cells_see_losses_and_a_voltage_of_their_own() -> None:
    charge = Charge(STORE)
    idle_v, idle_w = charge.bank(0)
    charging_v, charging_w = charge.bank(1000)
    giving_v, giving_w = charge.bank(-900)
    assert (idle_w, charging_w, giving_w) == (0, 900, -1000)
    assert 24 < giving_v < idle_v < charging_v < 28
    site = load("two-houses")
    grid, now = Grid(site), site.start_s * SECOND
    grid.switch("store").set(True, now)
    phase = grid.bank("store").at(now).phases[0]
    assert phase.power_w == pytest.approx(-3000 / 0.96)
    assert phase.current_a == pytest.approx(3000 / 0.96 / phase.voltage_v)


def test_a_store_made_hot_cools_down() -> None:
    site = load("two-houses")
    grid, now = Grid(site), site.start_s * SECOND
    grid.warm("store", 65.0, now)
    hot, later = grid.converter("store").store(now), grid.converter("store").store(now + 3600 * SECOND)
    assert hot is not None
    assert later is not None
    assert hot.temperature_c == 65.0
    assert 22 < later.temperature_c < 40


def test_what_a_station_moves_is_what_its_store_gains() -> None:
    site = load("two-houses")
    grid, now = Grid(site), site.start_s * SECOND
    before = grid.converter("store").store(now)
    grid.switch("store").set(True, now)
    grid.converter("store").order(2000, now)
    end = now + 60 * SECOND
    moved_wh = grid.terminal("store").at(end).import_wh
    after = grid.converter("store").store(end)
    assert before is not None
    assert after is not None
    assert moved_wh == pytest.approx(2000 / 60)
    assert after.stored_wh - before.stored_wh == pytest.approx(moved_wh * 0.96, abs=0.001)


def test_a_station_empties_to_its_reserve_and_stops() -> None:
    site = load("two-houses")
    grid, now = Grid(site), site.start_s * SECOND
    grid.switch("store").set(True, now)
    state = grid.converter("store").store(now + 3600 * SECOND)
    assert state is not None
    assert 99 < state.stored_wh <= 100.01
    assert grid.terminal("store").at(now + 3600 * SECOND).power_w == pytest.approx(0, abs=0.01)


def test_a_household_battery_follows_its_house() -> None:
    """Sun above demand goes into the battery; without sun the battery carries the house; the street sees neither."""
    site = load("street")
    grid, now = Grid(site), site.start_s * SECOND
    grid.force("roof-7", -3000, now)
    grid.force("house-7", 800, now)
    assert grid.terminal("battery-7").at(now).power_w == pytest.approx(2200)
    assert grid.terminal("house-7").at(now).power_w == 0
    grid.force("roof-7", 0, now)
    assert grid.terminal("battery-7").at(now).power_w == pytest.approx(-800)


CAR = Charger(name="car", house="house", power_w_max=3600, energy_wh=9000)
MORNING, NOON, NIGHT = 6 * 3600, 12 * 3600, 23 * 3600


def test_a_car_charges_when_it_is_there_until_it_has_enough() -> None:
    car, day = Car(CAR, seed=1), SUNDAY
    assert car.wanted_mw(day, NOON, SECOND) == 0
    assert car.wanted_mw(day, NIGHT, SECOND) == 3_600_000
    taken_nj = 0
    for _ in range(40):
        power_mw = car.wanted_mw(day, NIGHT, 900 * SECOND)
        car.pass_time(power_mw, 900 * SECOND)
        taken_nj += power_mw * 900 * SECOND
    assert 0.5 * 9000 <= taken_nj / NJ_PER_WH <= 1.3 * 9000 + 1
    assert car.wanted_mw(day + datetime.timedelta(days=1), MORNING, 900 * SECOND) == 0
    assert car.wanted_mw(day + datetime.timedelta(days=1), NIGHT, 900 * SECOND) > 0


@pytest.mark.parametrize(("profile", "annual_kwh"), [("household", 3500), ("farm", 12_000), ("business", 20_000)])
def test_many_days_of_demand_come_out_at_the_profile(profile: str, annual_kwh: int) -> None:
    days = [SUNDAY + datetime.timedelta(days=n) for n in range(0, 360, 9)]
    drawn_wh = [demand.day_w(7, f"house-{n}", profile, annual_kwh, day).sum() / 3600 for n, day in enumerate(days)]
    assert np.mean(drawn_wh) * 365 / 1000 == pytest.approx(annual_kwh, rel=0.12)


def test_a_day_of_demand_is_nobody_elses_and_looks_like_a_household() -> None:
    one = demand.day_w(7, "house-1", "household", 3500, SUNDAY)
    assert np.array_equal(one, demand.day_w(7, "house-1", "household", 3500, SUNDAY))
    assert not np.array_equal(one, demand.day_w(7, "house-2", "household", 3500, SUNDAY))
    assert one.shape == (demand.DAY_S,)
    assert one.min() >= 0
    assert 1500 < one.max() < 9000
    assert one[2 * 3600 : 5 * 3600].mean() < one[18 * 3600 : 21 * 3600].mean()


ROOF = Panels(name="roof", house="house", peak_w=5000, inverter_w=4000)


def test_the_sun_rises_and_sets_and_the_inverter_binds() -> None:
    site = dataclasses.replace(load("street"), weather="clear")
    roof_w = sun.Sky(site, 1, SUNDAY).roof_w(ROOF)
    assert roof_w[: 3 * 3600].max() == 0
    assert roof_w[23 * 3600 :].max() == 0
    assert roof_w.max() == pytest.approx(4000, rel=0.05)
    assert roof_w.max() <= 4000
    assert 20_000 < roof_w.sum() / 3600 < 40_000


def test_weather_orders_the_days_and_one_sky_covers_all_roofs() -> None:
    def energy(weather: str) -> float:
        site = dataclasses.replace(load("street"), weather=weather)
        return float(sum(sun.Sky(site, seed, SUNDAY).roof_w(ROOF).sum() for seed in range(5)))

    assert energy("clear") > 1.2 * energy("broken") > 1.2 * 1.2 * energy("overcast") > 0
    sky = sun.Sky(load("street"), 3, SUNDAY)
    one, other = sky.roof_w(ROOF), sky.roof_w(dataclasses.replace(ROOF, azimuth_deg=120))
    noon = slice(11 * 3600, 15 * 3600)
    assert np.corrcoef(np.diff(one[noon]), np.diff(other[noon]))[0, 1] > 0.8


def test_a_boards_buses_are_those_of_its_firmware() -> None:
    """Firmware is read as text: it runs on boards, not here."""
    found = {}
    for file in (Path(parts.__file__).parents[2] / "firmware" / "boards").glob("*.py"):
        given = {
            node.targets[0].id: ast.literal_eval(node.value)
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
            and node.targets[0].id in ("NAME", "UARTS", "I2CS", "GPIOS")
        }  # fmt: skip
        if given.get("NAME"):
            buses = (len(given[key]) for key in ("UARTS", "I2CS", "GPIOS"))
            found[given["NAME"]] = parts.BoardKind(*buses)
    assert found
    assert {name: parts.BOARDS.get(name) for name in found} == found


def test_cables_and_transformers_are_pandapowers() -> None:
    net = pandapower.create_empty_network()
    assert set(parts.CABLES) <= set(pandapower.available_std_types(net, "line").index)
    assert set(parts.TRANSFORMERS) <= set(pandapower.available_std_types(net, "trafo").index)
