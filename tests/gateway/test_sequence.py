"""The sequence of one device: gaps, replays, clones, coarse reports, takeover."""

from __future__ import annotations

from gateway.sequence import HELD_MAX, Position, Track, position_at_hello
from wire.report import Coarse, Report
from wire.rows import EVENT, EVENTS, HEAD_START, encode_row

ID = b"\1" * 8


def chain(lengths: list[int], start: int = 0, head: bytes = HEAD_START, wh: int = 0) -> list[Report]:
    """Reports that follow one another, of so many rows each."""
    reports = []
    for length in lengths:
        rows = []
        for _ in range(length):
            wh += 5
            rows.append(encode_row(60, wh, 0, 300, 230_000, 1_300))
        report = Report(ID, 1, start, head, 1_700_000_000 + 60 * start, 2, rows)
        reports.append(report)
        start, head = report.next_seq, report.next_head
    return reports


def take(track: Track, item: Report | Coarse, heads: dict[int, bytes] | None = None) -> tuple[str, int]:
    verdict = track.take(item, b"raw", (heads or {}).get)
    return verdict.word, len(verdict.taken)


def test_in_order() -> None:
    track = Track()
    assert [take(track, report) for report in chain([3, 1, 10])] == [("taken", 1)] * 3
    assert track.position.next_seq == 14
    assert track.position.registers == (70, 0)


def test_early_ones_are_held_and_taken_when_the_gap_is_filled() -> None:
    a, b, c = chain([2, 2, 2])
    track = Track()
    assert take(track, c) == ("held", 0)
    assert track.gap()
    assert take(track, b) == ("held", 0)
    assert take(track, a) == ("taken", 3)
    assert not track.gap()
    assert track.position == Position(6, c.next_head, (30, 0), c.time_s + 120)


def test_a_repeat_is_a_duplicate_and_another_history_a_clone() -> None:
    a, b = chain([2, 2])
    other_a, other_b = chain([2, 2], wh=1_000)
    track = Track()
    heads: dict[int, bytes] = {}
    for report in (a, b):
        assert take(track, report, heads)[0] == "taken"
        heads[report.next_seq] = report.next_head
    assert take(track, a, heads) == ("duplicate", 0)
    assert take(track, other_a, heads) == ("clone", 0)
    assert take(track, other_b, heads) == ("clone", 0)
    assert take(track, chain([3], start=4, head=other_b.next_head)[0], heads) == ("clone", 0)


def test_a_repacked_report_is_refused() -> None:
    track = Track()
    assert take(track, chain([2])[0]) == ("taken", 1)
    assert take(track, chain([5])[0]) == ("overlap", 0)


def test_held_reports_are_bounded() -> None:
    late = chain([1] * (HELD_MAX + 3))[1:]
    track = Track()
    words = [take(track, report)[0] for report in late]
    assert words == ["held"] * HELD_MAX + ["held-full"] * 2


def coarse(first: Report, last: Report, **changed: object) -> Coarse:
    values = {
        "id": ID,
        "boot": 1,
        "seq": first.seq,
        "head": first.head,
        "next_seq": last.next_seq,
        "next_head": last.next_head,
        "merged": 2,
        "first": None,
        "last": [last.rows[-1][1], last.rows[-1][2]],
        "time_s": 1_700_000_000,
        "quality": 2,
    }
    return Coarse(**{**values, **changed})


def test_a_coarse_report_fills_its_range() -> None:
    a, b, c, d = chain([2, 2, 2, 2])
    track = Track()
    assert take(track, a)[0] == "taken"
    assert take(track, d)[0] == "held"
    assert take(track, coarse(b, c)) == ("taken", 2)
    assert track.position.next_seq == 8


def test_a_coarse_report_over_stored_rows_counts_only_beyond_the_position() -> None:
    a, b, c = chain([2, 2, 2])
    heads = {0: HEAD_START}
    track = Track()
    take(track, a)
    heads[2] = a.next_head
    take(track, b)
    heads[4] = b.next_head
    assert take(track, coarse(a, c), heads) == ("taken", 1)
    assert track.position.next_seq == 6
    assert take(track, coarse(a, b), heads) == ("duplicate", 0)
    assert take(track, coarse(a, b, next_head=b"\7" * 32), heads) == ("clone", 0)


def test_registers_that_fall_are_suspect_and_still_taken() -> None:
    (a,) = chain([1], wh=500)
    fallen = Report(ID, 1, 1, a.next_head, 1_700_000_000, 2, [encode_row(60, 10, 0, 0, 230_000, 0)])
    track = Track()
    take(track, a)
    verdict = track.take(fallen, b"raw", {}.get)
    assert (verdict.word, verdict.taken[0].suspect) == ("taken", 8)


def test_a_takeover_may_step_back() -> None:
    (a,) = chain([1], wh=500)
    more = {0: [EVENTS.index("takeover"), 0]}
    back = Report(ID, 2, 1, a.next_head, 1_700_000_000, 2, [encode_row(0, 10, 0, 0, 0, 0, EVENT, more)])
    track = Track()
    take(track, a)
    verdict = track.take(back, b"raw", {}.get)
    assert (verdict.word, verdict.taken[0].suspect) == ("taken", 0)
    assert track.position.registers == (10, 0)


def test_where_an_unknown_device_is_taken_over() -> None:
    assert position_at_hello(0, 40, b"\2" * 32) == Position()
    assert position_at_hello(12, 40, b"\2" * 32) == Position(40, b"\2" * 32)
