"""The street's picture: who hangs where, what flows through each cable, the four states, the bar."""

from hypothesis import given
from hypothesis import strategies as st

from hardware import site as sites
from pilot.page import flow
from pilot.page.flow import EXPORT, IDLE, IMPORT, UNKNOWN

POWERS = st.dictionaries(st.text(max_size=3), st.integers(-20_000, 20_000), max_size=12)


def test_two_houses_and_a_store_hang_at_the_corner() -> None:
    street = flow.street(sites.load("two-houses"), {"house-a": "anna"})
    assert [(spot.key, spot.kind) for spot in street.spots] == [
        ("grid", "grid"),
        ("corner", "junction"),
        ("house-a", "house"),
        ("house-b", "house"),
        ("store", "station"),
    ]
    assert street.spots[1].behind == street.spots[0].behind == {"house-a", "house-b", "store"}
    assert street.spots[2].label == "anna"


def test_every_site_is_drawn_whole_and_narrow_enough_for_a_phone() -> None:
    for name in ("two-houses", "street", "village"):
        site = sites.load(name)
        street = flow.street(site, {})
        places = {one.name for one in (*site.houses, *site.stations)}
        drawn = [spot.key for spot in street.spots if spot.kind in ("house", "station")]
        assert sorted(drawn) == sorted(places)
        assert street.spots[0].behind == places
        assert len({spot.y for spot in street.spots}) == len(street.spots)
        assert max(spot.x for spot in street.spots) <= flow.WIDTH - flow.WORDS


def test_an_open_cable_carries_nothing() -> None:
    street = flow.street(sites.load("street"), {})
    behind = {spot.key: spot.behind for spot in street.spots}
    assert behind["west-far"] == {"house-3", "house-4"}
    assert "house-7" in behind["east-near"] and "house-7" not in behind["west-near"]


def test_a_cable_carries_the_sum_of_the_meters_behind_it_or_nothing_is_known() -> None:
    assert flow.through(["a", "b"], {"a": 3_000, "b": -1_000}) == 2_000
    assert flow.through(["a", "b"], {"a": 3_000, "b": None}) is None
    assert flow.through(["a", "b"], {"a": 3_000}) is None
    assert flow.through([], {}) is None


def test_a_flow_has_four_states_and_does_not_flicker() -> None:
    states = flow.States()
    seen = [states.of("x", power_w) for power_w in (0, 49, 50, 35, 30, 29, 35, -49, -50, -31, -29, None)]
    assert seen == [IDLE, IDLE, IMPORT, IMPORT, IMPORT, IDLE, IDLE, IDLE, EXPORT, EXPORT, IDLE, UNKNOWN]


def test_a_flow_that_turns_does_so_at_once() -> None:
    states = flow.States()
    assert [states.of("x", power_w) for power_w in (100, -35, -60)] == [IMPORT, IDLE, EXPORT]


@given(POWERS)
def test_the_bar_is_never_wider_than_itself_and_hides_only_what_is_small(powers_w: dict[str, int]) -> None:
    total, given_, taken = flow.balance(powers_w)
    assert total == max(
        sum(-power for power in powers_w.values() if power < 0), sum(power for power in powers_w.values() if power > 0)
    )
    for side, sign in ((given_, -1), (taken, 1)):
        assert sum(share.width for share in side) <= 1_000
        ends = [share.start + share.width for share in side]
        assert [share.start for share in side][1:] == ends[:-1]
        shown = {share.key for share in side}
        assert all(key in shown for key, power in powers_w.items() if power * sign * 49 >= total > 0)
