"""The street obeys physics: energy balances, what is switched moves everybody's readings, and a seed fixes the day."""

import dataclasses

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from hardware.emulator import port
from hardware.emulator.grid import Collapse, Grid, Totals, balance_error
from hardware.site import Site, load
from hardware.site.model import Cable, House

SECOND = 1_000_000
HOUR = 3600 * SECOND
START_TWO = load("two-houses").start_s * SECOND
STREET = load("street")
START = STREET.start_s * SECOND


def at(site: Site, hour: int) -> Site:
    """The same site, begun at another UTC hour of its day, so that a test need not wait for noon."""
    return dataclasses.replace(site, start_s=site.start_s // 86400 * 86400 + hour * 3600)


def registers_wh(grid: Grid, site: Site, now_us: int) -> dict[str, float]:
    readings = {row.name: grid.terminal(row.name).at(now_us) for row in (*site.houses, *site.stations)}
    return {name: reading.import_wh - reading.export_wh for name, reading in readings.items()}


def test_ports_are_kept() -> None:
    grid = Grid(load("two-houses"))
    plant: port.Plant = grid
    terminal: port.Terminal = grid.terminal("house-a")
    switch: port.Switch = grid.switch("store")
    converter: port.Converter = grid.converter("store")
    assert plant.next_us() == START_TWO + SECOND
    assert terminal.at(START_TWO).power_w > 0
    assert not switch.closed
    assert converter.store(START_TWO) is not None
    assert grid.converter("roof-b").store(START_TWO) is None


@pytest.mark.parametrize("name", ["two-houses", "street", "village"])
def test_example_sites_keep_their_voltages_and_their_energy(name: str) -> None:
    """EN 50160: within 10 % of 230 V, at noon with the sun out, in the evening, and with every station at work."""
    site = load(name)
    for hour in (10, 18):
        grid, now = Grid(at(site, hour)), at(site, hour).start_s * SECOND
        before = grid.totals(now)
        for station in site.stations:
            grid.switch(station.name).set(True, now)
        for minute in range(1, 16):
            readings = [grid.terminal(house.name).at(now + minute * 60 * SECOND) for house in site.houses]
            assert all(207 <= phase.voltage_v <= 253 for reading in readings for phase in reading.phases)
        end = now + 15 * 60 * SECOND
        assert balance_error(before, grid.totals(end), registers_wh(grid, site, end), step_wh=0) < 1e-6
        assert grid.totals(end).loss_wh > 0
        assert grid.audit_v() < 1e-6


ACTS = st.one_of(
    st.tuples(
        st.just("switch"), st.sampled_from(["house-4", "roof-5", "car-4", "battery-7", "store-yard"]), st.booleans()
    ),
    st.tuples(st.just("order"), st.sampled_from(["store-yard", "store-east", "battery-7"]), st.integers(-20000, 20000)),
    st.tuples(st.just("limit"), st.sampled_from(["roof-4", "roof-5"]), st.integers(0, 9000)),
    st.tuples(st.just("force"), st.sampled_from(["house-1", "house-8", "store-east"]), st.integers(-4000, 9000)),
    st.tuples(st.just("cable"), st.sampled_from(["tie", "west-2", "east-1"]), st.booleans()),
    st.tuples(st.just("tap"), st.just(""), st.integers(-2, 2)),
)


def act(grid: Grid, what: str, place: str, value: int, now_us: int) -> None:
    if what == "switch":
        grid.switch(place).set(bool(value), now_us)
    elif what == "order":
        grid.converter(place).order(value, now_us)
    elif what == "limit":
        grid.converter(place).limit(value, now_us)
    elif what == "force":
        grid.force(place, value, now_us)
    elif what == "cable":
        grid.set_cable(place, bool(value), now_us)
    else:
        grid.set_tap(value, now_us)


# No shrinking: every example builds two networks, and a failing list of at most eight acts is short enough to read.
@settings(max_examples=8, deadline=None, phases=(Phase.explicit, Phase.reuse, Phase.generate))
@given(
    st.lists(st.tuples(ACTS, st.integers(0, 40 * SECOND)), max_size=8),
    st.lists(st.integers(1, 30 * SECOND), max_size=6),
)
def test_energy_balances_and_steps_do_not_matter(
    acts: list[tuple[tuple[str, str, int], int]], stops: list[int]
) -> None:
    """Whatever is switched and ordered: registers + losses = transformer; and a grid that is asked for its readings
    at other instants in between has the same registers to the last nanojoule."""
    site = at(STREET, 9)
    one, other = Grid(site), Grid(site)
    now = site.start_s * SECOND
    before = one.totals(now)
    looked = now
    for (what, place, value), wait in acts:
        now += wait
        for stop in stops:
            if looked + stop < now:
                looked += stop
                other.terminal("house-3").at(looked)
        act(one, what, place, value, now)
        act(other, what, place, value, now)
    now += 20 * SECOND
    metered = registers_wh(one, site, now)
    assert balance_error(before, one.totals(now), metered, step_wh=0) < 1e-6
    assert one.audit_v() < 1e-6
    assert other.totals(now) == one.totals(now)
    assert registers_wh(other, site, now) == metered


def test_steps_of_any_length_give_the_same_day() -> None:
    fine, coarse = Grid(STREET), Grid(STREET)
    for step in range(1, 700):
        fine.advance(START + step * 5_142_857)
    end = START + HOUR
    assert fine.totals(end) == coarse.totals(end)
    assert registers_wh(fine, STREET, end) == registers_wh(coarse, STREET, end)


def test_the_seed_decides_the_day() -> None:
    def day(seed: int | None) -> Totals:
        return Grid(STREET, seed).totals(START + HOUR)

    assert day(None) == day(STREET.seed)
    assert day(1) != day(2)


def test_a_relay_moves_the_neighbours_voltage_and_its_own_power_only() -> None:
    site = at(load("two-houses"), 19)
    grid, now = Grid(site), site.start_s * SECOND + SECOND // 2
    house, store = grid.terminal("house-a"), grid.terminal("store")
    grid.converter("store").order(4000, now)
    before = house.at(now)
    assert store.at(now).power_w == 0
    grid.switch("store").set(True, now)
    after = house.at(now)
    assert store.at(now).power_w == 4000
    assert after.power_w == before.power_w
    assert after.phases[0].voltage_v < before.phases[0].voltage_v - 0.1
    assert after.phases[0].current_a > before.phases[0].current_a


def test_behind_an_open_relay_and_in_a_dead_street_nothing_flows() -> None:
    site = at(STREET, 10)
    grid, now = Grid(site), site.start_s * SECOND
    assert grid.terminal("roof-4").at(now).power_w < -500
    grid.switch("house-4").set(False, now)
    for place in ("house-4", "roof-4", "car-4"):
        assert grid.terminal(place).at(now).power_w == 0
        assert grid.terminal(place).at(now).phases[0].voltage_v > 207
    grid.set_cable("west-2", False, now)
    dead = grid.terminal("house-3").at(now).phases[0]
    assert (dead.voltage_v, dead.current_a, dead.power_w) == (0, 0, 0)
    grid.set_cable("tie", True, now)
    assert grid.terminal("house-3").at(now).power_w > 0


def test_between_solutions_power_is_held_and_a_terminal_never_runs_back() -> None:
    grid = Grid(STREET)
    terminal = grid.terminal("house-2")
    last = terminal.at(START).import_wh
    for tenth in range(1, 200):
        reading = terminal.at(START + tenth * SECOND // 10)
        assert reading.import_wh >= last
        last = reading.import_wh
    assert terminal.at(START).import_wh <= last
    assert 4 <= grid.solutions <= 21


def test_what_is_ordered_forced_and_limited() -> None:
    site = at(load("two-houses"), 11)
    grid, now = Grid(site), site.start_s * SECOND
    roof = grid.converter("roof-b")
    possible_w = roof.available_w(now)
    assert possible_w > 200
    roof.limit(100, now)
    assert grid.terminal("roof-b").at(now).power_w == -100
    roof.limit(None, now)
    roof.order(-150, now)
    assert grid.terminal("roof-b").at(now).power_w == -150
    roof.order(-1e6, now)
    assert grid.terminal("roof-b").at(now).power_w == pytest.approx(-possible_w)
    grid.force("car-a", 0, now)
    grid.force("house-a", 9000, now)
    assert grid.terminal("house-a").at(now).power_w == 9000
    grid.force("house-a", None, now)
    assert grid.terminal("house-a").at(now).power_w < 9000


def test_listeners_hear_of_every_solution() -> None:
    heard: list[int] = []
    grid = Grid(STREET, on_change=lambda: heard.append(1))
    grid.switch("store-yard").set(True, START)
    grid.switch("store-yard").set(True, START)
    assert len(heard) == grid.solutions == 2


def test_a_line_that_cannot_carry_its_power_is_told_so() -> None:
    chain = [Cable(name=f"c{n}", start=f"n{n}" if n else "busbar", end=f"n{n + 1}", length_m=400, kind="NAYY 4x50 SE")
             for n in range(50)]  # fmt: skip
    houses = tuple(House(name=f"house-{n}", node=f"n{n + 1}", annual_kwh=50_000) for n in range(50))
    site = dataclasses.replace(STREET, cables=tuple(chain), houses=houses, panels=(), batteries=(), chargers=(),
                               stations=(), boards=(), gateway=None, ledger=None)  # fmt: skip
    with pytest.raises(Collapse, match="no voltages carry"):
        Grid(site)


def test_balance_error_is_what_meters_miss_beyond_one_step_each() -> None:
    before = Totals(0.0, 0.0, {"a": 0.0, "b": 0.0})
    after = Totals(1010.0, 10.0, {"a": 1500.0, "b": -500.0})
    assert balance_error(before, after, {"a": 1500, "b": -500}) == 0
    assert balance_error(before, after, {"a": 1499, "b": -501}) == 0
    assert balance_error(before, after, {"a": 1480}) == pytest.approx(19 / 2000)
    assert balance_error(before, after, {"a": 1480, "roof": 3}) == pytest.approx(19 / 2000)
