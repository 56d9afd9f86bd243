"""Numbers in words: units, unknowns, ages."""

import json
from pathlib import Path

import pytest

from pilot.page import wording

N, T = "\N{NO-BREAK SPACE}", "\N{NARROW NO-BREAK SPACE}"


@pytest.mark.parametrize(
    ("power_w", "words"),
    [
        (0, f"0{N}W"),
        (-999, f"999{N}W"),
        (1_000, f"1.0{N}kW"),
        (-2_181, f"2.2{N}kW"),
        (1_234_567, f"1{T}234.6{N}kW"),
        (9_999_949, f"9{T}999.9{N}kW"),
        (9_999_950, f"10.0{N}MW"),
        (None, "–"),
    ],
)
def test_power_is_a_magnitude_in_w_kw_or_mw(power_w: int | None, words: str) -> None:
    assert wording.power(power_w) == words


def test_energy_is_always_in_kwh_and_keeps_every_wh() -> None:
    assert wording.energy(0) == f"0.000{N}kWh"
    assert wording.energy(1_234_567) == f"1{T}234.567{N}kWh"


def test_what_is_not_known_is_a_dash() -> None:
    unknown = [wording.power, wording.energy, wording.amount, wording.voltage, wording.percent]
    assert {say(None) for say in unknown} == {"–"}
    assert wording.clock(None, 0) == "–"


@pytest.mark.parametrize(("seconds", "words"), json.loads((Path(__file__).parent / "ages.json").read_text()))
def test_ages(seconds: int, words: str) -> None:
    assert wording.age(seconds).replace(N, " ") == words


def test_the_clock_is_the_sites_own() -> None:
    assert wording.clock(1_781_517_601, 120) == "12:00:01"
    assert wording.day(1_781_560_799, 120) == "15 June 2026"
    assert wording.day(1_781_560_800, 120) == "16 June 2026"


def test_lists_and_counts() -> None:
    assert wording.listed([]) == ""
    assert wording.listed(["a"]) == "a"
    assert wording.listed(["a", "b", "c"]) == "a, b and c"
    assert wording.count(1, "alarm") == "1 alarm"
    assert wording.count(0, "block") == "0 blocks"
