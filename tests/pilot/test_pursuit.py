"""From purchase to relay, on words made by hand: what counts, and what is only told apart."""

from __future__ import annotations

from typing import Any

import pytest

from pilot.pursuit import DISCHARGE, IDLE, Followed, Pursuit, Rating
from pilot.witness import Doing

STATION, USER = b"S" * 8, b"U" * 8


def pursuit() -> Pursuit:
    return Pursuit({STATION: Followed(Rating("station-1", 4_000, 4_000))})


def grant(one: Pursuit, number: int, began_s: float) -> None:
    one.bought(USER, began_s)
    one.happened("dispatch/ordered", {"user": USER, "order": number})
    one.happened("dispatch/granted", {"order": number, "grant": number, "station": STATION})


def command(one: Pursuit, *grants: int, limit_w: int, action: int = DISCHARGE) -> None:
    fields: dict[str, Any] = {"station": STATION, "grants": grants, "action": action, "limit_w": limit_w}
    one.happened("command", fields)


def did(one: Pursuit, wall_s: float, order_w: int, closed: bool = True) -> None:
    one.did(Doing("station-1", closed, order_w, wall_s))


def test_an_open_relay_counts_when_it_has_closed_and_a_closed_one_at_the_new_limit() -> None:
    one = pursuit()
    grant(one, 1, 10.0)
    command(one, 1, limit_w=900)
    did(one, 11.0, 0)
    did(one, 12.5, -900)
    grant(one, 2, 20.0)
    command(one, 1, 2, limit_w=1_800)
    did(one, 22.0, -1_800)
    assert one.took_ms == pytest.approx([1_000, 2_000])


def test_a_chain_that_is_read_late_changes_nothing() -> None:
    one = pursuit()
    grant(one, 1, 10.0)
    did(one, 11.0, -900)
    command(one, 1, limit_w=900)
    assert one.took_ms == pytest.approx([1_000])


def test_what_was_done_before_the_purchase_is_no_answer_to_it() -> None:
    one = pursuit()
    did(one, 9.0, -900)
    grant(one, 1, 10.0)
    command(one, 1, limit_w=900)
    assert one.took_ms == []


def test_a_command_replaced_on_its_way_is_answered_by_the_next() -> None:
    one = pursuit()
    grant(one, 1, 10.0)
    command(one, 1, limit_w=900)
    did(one, 11.0, -900)
    grant(one, 2, 20.0)
    command(one, 1, 2, limit_w=1_800)
    grant(one, 3, 20.5)
    command(one, 1, 2, 3, limit_w=9_000)
    did(one, 23.0, -4_000)
    assert one.took_ms == pytest.approx([1_000, 3_000, 2_500]), "the station's own limit is what it can reach"


def test_who_waits_is_cut_off_or_changes_nothing_is_told_apart() -> None:
    one = pursuit()
    one.bought(USER, 1.0)
    one.happened("dispatch/ordered", {"user": USER, "order": 1})
    one.happened("dispatch/waits", {"order": 1})
    one.happened("dispatch/granted", {"order": 1, "grant": 1, "station": STATION})
    command(one, 1, limit_w=900)
    did(one, 60.0, -900)
    grant(one, 2, 70.0)
    command(one, 2, limit_w=900)
    grant(one, 3, 80.0)
    one.cut("station-1", 80.5, healed=False)
    command(one, 2, 3, limit_w=1_800)
    one.cut("station-1", 95.0, healed=True)
    did(one, 96.0, -1_800)
    assert (one.took_ms, one.waited, one.unchanged, one.struck) == ([], 1, 1, 1)


def test_after_an_open_relay_everything_begins_anew() -> None:
    one = pursuit()
    grant(one, 1, 10.0)
    command(one, 1, limit_w=900)
    did(one, 11.0, -900)
    command(one, limit_w=0, action=IDLE)
    did(one, 12.0, 0, closed=False)
    grant(one, 2, 20.0)
    command(one, 2, limit_w=900)
    did(one, 21.5, -900)
    assert one.took_ms == pytest.approx([1_000, 1_500])


def test_a_line_says_what_was_seen() -> None:
    doing = Doing("station-1", True, -900, 12.25)
    assert Doing.read(doing.line()) == doing
    assert Doing.read("meter-a: started") is None
