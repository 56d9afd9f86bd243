"""What boards said, folded: today's energy from two readings, events, what is suspect or has no time."""

import pytest

from pilot.page.boards import Board, Notice
from tests.page.rig import BOARDS, START_S, Rig
from wire import rows
from wire.command import OUTCOMES, REASONS, Receipt
from wire.rows import EVENTS, NONE


@pytest.fixture
def rig() -> Rig:
    return Rig()


def board(rig: Rig, name: str = "meter-a") -> Board:
    return rig.boards.boards[BOARDS[name]]


def test_todays_energy_is_the_difference_of_two_readings(rig: Rig) -> None:
    rig.row("meter-a", 3_700, (1_000, 20))
    rig.wait(60)
    rig.row("meter-a", 3_700, (1_060, 20))
    rig.wait(60)
    rig.row("meter-a", -100, (1_061, 25))
    assert board(rig).today_wh() == (61, 5)
    assert (board(rig).base.import_wh, board(rig).last.import_wh) == (1_000, 1_061)


def test_the_day_begins_with_the_last_reading_before_midnight(rig: Rig) -> None:
    rig.row("meter-a", 100, (1_000, 0))
    rig.wait(23 * 1_800)
    rig.row("meter-a", 100, (2_000, 0))
    rig.wait(3_600)  # 00:30 by the site's clock, which began at noon
    rig.row("meter-a", 100, (2_300, 0))
    assert board(rig).base.import_wh == 2_000
    assert board(rig).today_wh() == (300, 0)


def test_rows_of_one_report_have_each_their_time(rig: Rig) -> None:
    rig.rows("meter-a", [(2, 10, (1, 0)), (2, 20, (2, 0)), (3, 30, (3, 0))])
    assert board(rig).last.at_s == START_S
    assert board(rig).base.at_s == START_S - 5
    assert board(rig).span_s == 7


def test_a_reading_without_a_clock_gets_no_time(rig: Rig) -> None:
    rig.rows("meter-a", [(2, 10, (1, 0))], quality=NONE)
    assert board(rig).last.at_s is None
    rig.row("meter-a", 10, (2, 0))
    assert board(rig).last.at_s == START_S


def test_a_suspect_reading_moves_nothing_and_is_told(rig: Rig) -> None:
    rig.row("meter-a", 100, (1_000, 0))
    rig.row("meter-a", 100, (400, 0), suspect=8)
    assert board(rig).last.import_wh == 1_000
    assert "cannot be right (register-fell)" in rig.boards.notices[-1].words


@pytest.mark.parametrize(
    ("event", "value", "words", "alarm"),
    [
        ("power fail", 0, "lost its supply", True),
        ("sensor lost", 0, "lost its sensor", True),
        ("safe entered", REASONS.index("temperature"), "went to its safe state: the temperature", True),
        ("safe entered", REASONS.index("reset"), "went to its safe state: it has only just started", False),
        ("command", 7, "took a command (7)", False),
    ],
)
def test_events_in_words(rig: Rig, event: str, value: int, words: str, alarm: bool) -> None:
    rig.row("station-1", 0, event=(EVENTS.index(event), value))
    assert rig.boards.notices[-1] == Notice(START_S, BOARDS["station-1"], words, alarm)


def test_the_reason_of_a_safe_state_lasts_as_long_as_the_state(rig: Rig) -> None:
    rig.row("station-1", 0, flags=rows.SAFE, event=(EVENTS.index("safe entered"), REASONS.index("door")))
    assert board(rig, "station-1").safe_reason == "its door is open"
    rig.row("station-1", 0, event=(EVENTS.index("safe left"), 0))
    assert board(rig, "station-1").safe_reason == ""


def test_every_event_and_reason_has_words_or_says_its_name() -> None:
    rig = Rig()
    for code in range(len(EVENTS.names)):
        rig.row("station-1", 0, event=(code, 0))
        assert rig.boards.notices[-1].words


def test_receipts_of_a_command_by_their_part(rig: Rig) -> None:
    for part, outcome, reason in ((1, "taken", ""), (2, "partial", "replaced")):
        receipt = Receipt(
            station=BOARDS["station-1"],
            command=bytes(16),
            counter=3,
            part=part,
            outcome=OUTCOMES.index(outcome),
            reason=REASONS.index(reason),
            before=[0, 0],
            after=[0, 5],
            first_seq=1,
            last_seq=2,
            time_s=START_S,
        )
        rig.message("station-1", "receipt", receipt.encode())
    words = rig.boards.receipts[BOARDS["station-1"], 3]
    assert words == {1: "taken", 2: "partial (replaced by the next one)"}
