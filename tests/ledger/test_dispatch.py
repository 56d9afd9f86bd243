"""The dispatch mechanism: experiment 2 unit by unit, each rule by itself, and its invariants throughout."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from ledger import dispatch
from ledger.dispatch import Decision, Demand, Flipped, Granted, Left, Rules, Side, Station, Table, Waits, Why

PAPER = Rules(k=10, entry_margin=0, unit_wh=1000, one_way=False)
LINES = {
    "Client1": {"a": 150_000, "b": 100_000},
    "Client2": {"a": 200_000, "c": 150_000},
    "Client3": {"a": 200_000, "c": 250_000},
    "Client4": {"b": 50_000},
    "Client5": {"b": 50_000},
}


def tell(table: Table, rules: Rules, name: str, energy: int, capacity: int = 100, own: bool = True) -> list[Decision]:
    return dispatch.told(table, rules, name, energy * rules.unit_wh, capacity * rules.unit_wh, own, own)


def stations(table: Table) -> dict[str, Station]:
    assert isinstance(table.stations, dict)
    return table.stations


def demands(table: Table) -> dict[str, Demand]:
    assert isinstance(table.demands, dict)
    return table.demands


def flags(table: Table, side: Side) -> dict[str, bool]:
    return {name: station.gates[side].flag for name, station in sorted(stations(table).items())}


def test_experiment_2_supply() -> None:
    table = Table({}, LINES, {})
    for name, energy in ("a", 0), ("b", 20), ("c", 50):
        tell(table, PAPER, name, energy)
    for idle in "Client4", "Client5":
        dispatch.apply(table, PAPER, idle, Demand(idle, Side.BUY, 5))

    first = dispatch.apply(table, PAPER, "o", Demand("Client1", Side.BUY, 30))
    assert first == [Granted("o", "b", 10, 20_000, 2)]
    assert flags(table, Side.BUY) == {"a": False, "b": True, "c": True}
    for _ in range(9):
        assert dispatch.unit(table, PAPER, "b", Side.BUY, "o") == []
    tenth = dispatch.unit(table, PAPER, "b", Side.BUY, "o")
    assert tenth == [Left("o", "b", Why.QUOTA), Granted("o", "b", 10, 10_000, 2)]
    assert flags(table, Side.BUY) == {"a": False, "b": True, "c": True}

    assert tell(table, PAPER, "a", 30) == [Flipped("a", Side.BUY, True)]
    for _ in range(3):
        assert dispatch.unit(table, PAPER, "b", Side.BUY, "o") == []
    fourth = dispatch.unit(table, PAPER, "b", Side.BUY, "o")
    trips = [Left(order, "b", Why.TRIP) for order in ("Client4", "Client5", "o")]
    assert fourth[:1] == [Flipped("b", Side.BUY, False)]
    assert [step for step in fourth if isinstance(step, Left)] == trips[:2] + trips[2:]
    assert table.stations["b"].energy_wh == 6_000
    assert flags(table, Side.BUY) == {"a": True, "b": False, "c": True}


def test_experiment_2_acquisition() -> None:
    table = Table({}, LINES, {})
    for name, energy, capacity in ("a", 5, 20), ("b", 20, 100), ("c", 50, 100):
        tell(table, PAPER, name, energy, capacity)
    assert dispatch.apply(table, PAPER, "o", Demand("Client3", Side.SELL, 30)) == [Granted("o", "a", 10, 5_000, 0)]
    steps = [dispatch.unit(table, PAPER, "a", Side.SELL, "o") for _ in range(10)]
    assert steps[-1] == [Left("o", "a", Why.QUOTA), Granted("o", "a", 10, 15_000, 0)]
    assert flags(table, Side.SELL) == {"a": True, "b": True, "c": True}

    tell(table, PAPER, "c", 100)
    steps = [dispatch.unit(table, PAPER, "a", Side.SELL, "o") for _ in range(3)]
    assert steps[:2] == [[], []]
    assert steps[2] == [Flipped("a", Side.SELL, False), Left("o", "a", Why.TRIP), Waits("o")]
    assert table.stations["a"].energy_wh == 18_000
    assert flags(table, Side.SELL) == {"a": False, "b": True, "c": False}


def one_station(rules: Rules, energy: int, users: int, side: Side = Side.BUY, wanted: int = 50) -> Table:
    names = [f"u{number}" for number in range(users)]
    table = Table({}, {name: {"s": 100_000} for name in names}, {})
    tell(table, rules, "s", energy)
    for name in names:
        dispatch.apply(table, rules, name, Demand(name, side, wanted))
    return table


ENTRIES = [(0, 1, True), (1, 2, False), (1, 3, True), (2, 4, False), (2, 5, True)]


@pytest.mark.parametrize(("margin", "energy", "joins"), ENTRIES)
def test_entry_margin(margin: int, energy: int, joins: bool) -> None:
    table = one_station(Rules(entry_margin=margin), energy, 1)
    assert (table.demands["u0"].station == "s") is joins


def test_the_latch_holds_until_the_station_was_charged() -> None:
    rules = Rules(k=50, entry_margin=0)
    table = one_station(rules, 20, 3, wanted=100)
    for _ in range(14):
        steps = dispatch.unit(table, rules, "s", Side.BUY, "u0")
    assert Flipped("s", Side.BUY, False) in steps
    assert table.queue == ["u0", "u1", "u2"]  # with everybody gone 6 > 0, and yet nobody is let in
    assert dispatch.told(table, rules, "s", 6_999, 100_000, True, True) == []
    steps = dispatch.told(table, rules, "s", 7_000, 100_000, True, True)
    assert steps[0] == Flipped("s", Side.BUY, True)
    assert [step.order for step in steps if isinstance(step, Granted)] == ["u0", "u1", "u2"]


def test_the_stations_own_word_disconnects_and_brings_back_without_a_latch() -> None:
    rules = Rules()
    table = one_station(rules, 20, 2)
    steps = tell(table, rules, "s", 20, own=False)
    assert steps[0] == Flipped("s", Side.BUY, False)
    assert table.queue == ["u0", "u1"]
    assert [step.order for step in tell(table, rules, "s", 20) if isinstance(step, Granted)] == ["u0", "u1"]


def test_who_waits_comes_before_who_applies_again() -> None:
    rules = Rules(k=2, entry_margin=0)
    table = one_station(rules, 5, 4)  # the third makes 2n = 6, the fourth is refused at 5 > 6
    assert table.queue == ["u3"]
    dispatch.unit(table, rules, "s", Side.BUY, "u0", moves=False)
    steps = dispatch.unit(table, rules, "s", Side.BUY, "u0", moves=False)
    assert [type(step) for step in steps] == [Left, Granted, Waits]
    assert isinstance(steps[1], Granted) and steps[1].order == "u3"
    assert table.queue == ["u0"]


def test_ties_go_to_the_lowest_name_and_no_line_is_never_used() -> None:
    rules = Rules()
    table = Table({}, {"u": {"y": 1, "x": 1}, "v": {}}, {})
    for name in "y", "z", "x":
        tell(table, rules, name, 50)
    assert dispatch.apply(table, rules, "1", Demand("u", Side.BUY, 5)) == [Granted("1", "x", 5, 50_000, 0)]
    assert dispatch.apply(table, rules, "2", Demand("v", Side.BUY, 5)) == [Waits("2")]


def test_one_way() -> None:
    for one_way in True, False:
        rules = Rules(one_way=one_way)
        table = one_station(rules, 50, 1)
        table.lines = {**table.lines, "seller": {"s": 1}}
        steps = dispatch.apply(table, rules, "sale", Demand("seller", Side.SELL, 5))
        assert isinstance(steps[0], Waits if one_way else Granted)
        steps = dispatch.leave(table, rules, "u0", Why.CANCEL)
        assert [type(step) for step in steps] == ([Left, Granted] if one_way else [Left])


def test_a_refusal_sends_the_user_elsewhere_until_the_station_speaks_again() -> None:
    rules = Rules()
    table = one_station(rules, 50, 1)
    assert dispatch.leave(table, rules, "u0", Why.REFUSED) == [Left("u0", "s", Why.REFUSED), Waits("u0")]
    assert dispatch.touch(table, rules, ["s"]) == []
    assert [type(step) for step in tell(table, rules, "s", 50)] == [Granted]


def test_a_station_that_cannot_pay_takes_no_seller() -> None:
    rules = Rules()
    table = one_station(rules, 50, 0)
    table.lines = {"u": {"s": 1}}
    purse = {"s": 4}

    class Purse(dispatch.Means):
        def enough(self, station: str, side: Side, units: int) -> bool:
            return side is Side.BUY or purse[station] >= units

        def reserve(self, station: str, side: Side, units: int) -> None:
            purse[station] -= units

    table.means = Purse()
    assert dispatch.apply(table, rules, "o", Demand("u", Side.SELL, 5)) == [Waits("o")]
    purse["s"] = 5
    assert [type(step) for step in dispatch.touch(table, rules, ["s"])] == [Granted]
    assert purse["s"] == 0


def test_the_last_unit_ends_the_order_and_returned_units_apply_again() -> None:
    rules = Rules(k=3)
    table = one_station(rules, 50, 1, wanted=3)
    steps: list[Decision] = []
    for _ in range(3):
        steps = dispatch.unit(table, rules, "s", Side.BUY, "u0")
    assert steps == [Left("u0", "s", Why.DONE)]
    assert dispatch.more(table, rules, "u0", 2) == [Granted("u0", "s", 2, 47_000, 0)]
    dispatch.leave(table, rules, "u0", Why.LEASE)
    dispatch.close(table, "u0")
    assert demands(table) == {} and table.queue == []


LEVEL = st.integers(0, 200)


class Mechanism(RuleBasedStateMachine):
    """Any order of calls. The model knows only levels and trips, and judges by the rules' words."""

    @initialize(k=st.integers(1, 4), margin=st.integers(0, 2), one_way=st.booleans(), data=st.data())
    def start(self, k: int, margin: int, one_way: bool, data: st.DataObject) -> None:
        self.params = Rules(k=k, entry_margin=margin, unit_wh=10, one_way=one_way)
        users = [f"u{number}" for number in range(6)]
        row = st.dictionaries(st.sampled_from("abc"), st.integers(0, 3), max_size=3)
        self.table = Table({}, {user: data.draw(row) for user in users}, {})
        self.level: dict[str, tuple[int, int]] = {}
        self.word: dict[str, tuple[bool, bool]] = {}
        self.latch: dict[tuple[str, Side], int] = {}
        self.asked: dict[str, int] = {}
        self.got: dict[str, int] = {}
        self.count = 0

    def levels(self, name: str) -> Iterator[tuple[Side, int]]:
        energy, capacity = self.level[name]
        yield Side.BUY, energy
        yield Side.SELL, capacity - energy

    def heads(self, name: str, side: Side) -> list[str]:
        return [key for key, one in demands(self.table).items() if one.station == name and one.side is side]

    def judge(self, name: str, before: dict[Side, int]) -> None:
        """Trip or release the model's latch from the users connected before the change."""
        for side, level in self.levels(name):
            key = name, side
            if key not in self.latch:
                if level <= 2 * before[side] * 10:
                    self.latch[key] = level
            elif level >= self.latch[key] + 10 and level > 2 * (before[side] + self.params.entry_margin) * 10:
                del self.latch[key]

    def check(self, steps: list[Decision]) -> None:
        for step in steps:
            if isinstance(step, Granted):
                demand = self.table.demands[step.order]
                energy, capacity = self.level[step.station]
                level = energy if demand.side is Side.BUY else capacity - energy
                assert level > 2 * (step.users + self.params.entry_margin) * 10
                assert step.station in self.table.lines[demand.user]

    @rule(user=st.integers(0, 5), side=st.sampled_from(Side), wanted=st.integers(1, 9))
    def order(self, user: int, side: Side, wanted: int) -> None:
        self.count += 1
        name = f"o{self.count:03}"
        self.asked[name], self.got[name] = wanted, 0
        waiting = list(self.table.queue)
        self.check(dispatch.apply(self.table, self.params, name, Demand(f"u{user}", side, wanted)))
        assert self.table.queue[: len(waiting)] == waiting

    @rule(name=st.sampled_from("abc"), energy=LEVEL, room=LEVEL, word=st.tuples(st.booleans(), st.booleans()))
    def state(self, name: str, energy: int, room: int, word: tuple[bool, bool]) -> None:
        before = {side: len(self.heads(name, side)) for side in Side}
        self.level[name], self.word[name] = (energy, energy + room), word
        self.judge(name, before)
        self.check(dispatch.told(self.table, self.params, name, energy, energy + room, *word))

    @rule(pick=st.integers(0, 1000), moves=st.booleans())
    def unit(self, pick: int, moves: bool) -> None:
        orders = sorted(key for key, one in demands(self.table).items() if one.station)
        if not orders:
            return
        order = orders[pick % len(orders)]
        demand = self.table.demands[order]
        name = demand.station
        assert name is not None
        if moves:
            before = {side: len(self.heads(name, side)) for side in Side}
            energy, capacity = self.level[name]
            self.level[name] = (energy - 10 if demand.side is Side.BUY else energy + 10), capacity
            self.judge(name, before)
        self.got[order] += 1
        self.check(dispatch.unit(self.table, self.params, name, demand.side, order, moves))

    @rule(pick=st.integers(0, 1000), why=st.sampled_from([Why.LEASE, Why.CANCEL, Why.REFUSED]))
    def gone(self, pick: int, why: Why) -> None:
        orders = sorted(demands(self.table))
        if orders:
            order = orders[pick % len(orders)]
            if why is not Why.REFUSED or self.table.demands[order].station:
                self.check(dispatch.leave(self.table, self.params, order, why))
                if why is not Why.REFUSED:
                    self.asked[order] = -1

    @invariant()
    def never_two_flags_wrong(self) -> None:
        for name in getattr(self, "level", {}):
            for side in Side:
                truth = self.word[name][side] and (name, side) not in self.latch
                assert self.table.stations[name].gates[side].flag == truth
                assert truth or not self.heads(name, side)

    @invariant()
    def stations_and_orders_agree(self) -> None:
        for name in getattr(self, "level", {}):
            station = self.table.stations[name]
            assert (station.energy_wh, station.capacity_wh) == self.level[name]
            for side in Side:
                assert sorted(station.gates[side].orders) == sorted(self.heads(name, side))
            if self.params.one_way:
                assert not all(gate.orders for gate in station.gates)

    @invariant()
    def every_unit_is_somewhere(self) -> None:
        table = getattr(self, "table", None)
        if table is None:
            return
        assert len(set(table.queue)) == len(table.queue)
        for order, demand in demands(table).items():
            assert 0 <= demand.moved <= demand.granted <= self.params.k
            assert not (demand.station and order in table.queue)
            if demand.wanted and not demand.station:
                assert order in table.queue


Mechanism.TestCase.settings = settings(max_examples=150, stateful_step_count=30, deadline=None)
TestMechanism = Mechanism.TestCase
