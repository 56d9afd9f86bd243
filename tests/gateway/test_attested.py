"""Rows and reports of devices that cannot sign: registers that never fall, means, silence, and clocks that step."""

from __future__ import annotations

from hashlib import sha256

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.attested import SEAL_S, Attester, Counter, mean
from gateway.meters import Sample
from gateway.sequence import judge_rows
from wire import report
from wire.rows import EVENT, EVENTS, HEAD_START, NO_SENSOR, SYNCED

T0 = 1_800_000_000_000


def sample(power_w: int = 1_000, imported: int | None = 0, exported: int | None = 0, raw: bytes = b"\1") -> Sample:
    return Sample(power_w * 1_000, 230_000, 4_300, imported, exported, {1: 50_000}, raw)


def attester(row_s: int = 60) -> Attester:
    return Attester(b"\1" * 8, b"\2" * 8, 1, 0, HEAD_START, Counter(), Counter(), row_s)


def sealed(one: Attester) -> report.Report:
    found = report.decode(one.payload(SYNCED), attested=True)
    one.sealed()
    return found


def events(found: report.Report) -> list[str]:
    return [EVENTS[row[7][0][0]] for row in found.rows if row[6] & EVENT]


def test_samples_become_rows_and_rows_a_report() -> None:
    one = attester(row_s=2)
    raws = []
    for second in range(41):
        raws.append(bytes([second]))
        one.take(sample(1_000 + second % 2 * 100, imported=second), T0 + second * 1_000)
    assert one.due(T0 + 41_000)
    found = sealed(one)
    assert (found.seq, len(found.rows), found.gateway) == (0, 21, b"\2" * 8)
    assert events(found) == ["start"]
    assert [row[0] for row in found.rows] == [0] + [2] * 20
    assert [row[3] for row in found.rows][1:] == [1_050] * 20
    assert found.rows[-1][1] == 40
    assert found.rows[-1][7] == {1: 50_000}
    assert found.raw_hash == sha256(b"\1" * 41).digest()
    assert (one.seq, one.head) == (21, found.next_head)


def test_reports_follow_one_another_in_rows_and_time() -> None:
    one = attester(row_s=1)
    reports = []
    for second in range(50):
        one.take(sample(3_600, imported=second), T0 + second * 1_000)
        if one.due(T0 + second * 1_000):
            reports.append(sealed(one))
    assert [found.seq for found in reports] == [0, 1, 11, 21, 31]
    registers, time_s = None, 0
    for found, before in zip(reports[1:], reports[:-1], strict=True):
        assert found.head == before.next_head
        suspect, registers, time_s = judge_rows(found, registers, time_s, 0)
        assert not suspect
    assert time_s == T0 // 1_000 + 40


def test_a_report_is_due_after_ten_minutes_at_the_latest() -> None:
    one = attester(row_s=300)
    one.take(sample(), T0)
    sealed(one)
    for second in range(0, 3_000, 10):
        one.take(sample(), T0 + second * 1_000 + 10_000)
        if one.due(T0 + second * 1_000 + 10_000):
            break
    assert second <= SEAL_S + 300 + 20


def test_silence_is_said_once_and_its_end_too() -> None:
    one = attester()
    one.take(sample(imported=5), T0)
    sealed(one)
    for second in (10, 20, 30):
        one.silent(T0 + second * 1_000)
    lost = sealed(one)
    assert events(lost) == ["sensor lost"]
    assert lost.rows[0][6] & NO_SENSOR and lost.rows[0][1] == 5 and lost.rows[0][3:6] == [0, 0, 0]
    one.take(sample(imported=9), T0 + 100_000)
    back = sealed(one)
    assert events(back) == ["sensor back"] and back.rows[0][1] == 9


def test_power_is_not_counted_over_silence() -> None:
    """A battery's registers are made from its power: what nobody saw is not made up."""
    one = attester()
    for second in range(0, 3_600, 5):
        one.take(sample(2_000, None, None), T0 + second * 1_000)
    counted = one.imported.register
    assert 1_990 <= counted <= 2_000 and one.exported.register == 0
    one.take(sample(2_000, None, None), T0 + 7_200_000)
    assert one.imported.register == counted
    one.take(sample(-3_600, None, None), T0 + 7_200_500)
    one.take(sample(-3_600, None, None), T0 + 7_210_500)
    assert one.exported.register in (9, 10)


def test_a_clock_that_steps_back_makes_no_row_of_the_past_year() -> None:
    one = attester(row_s=2)
    one.take(sample(1_000, None, None), T0)
    one.take(sample(1_000, None, None), T0 - 365 * 86_400_000)
    one.take(sample(1_000, None, None), T0 - 365 * 86_400_000 + 1_000)
    found = sealed(one)
    assert all(row[0] == 0 for row in found.rows)
    assert one.imported.register == 0


def test_a_counter_that_wraps_or_is_exchanged_never_lets_ours_fall() -> None:
    counter = Counter()
    seen = []
    for counted in (100, 150, 3, 13, (1 << 32) - 5, 2):
        counter.take(counted)
        seen.append(counter.register)
    assert seen[:4] == [100, 150, 150, 160]
    assert seen[5] - seen[4] == 7


def test_a_restart_goes_on_where_the_disk_was() -> None:
    before = Counter()
    for counted in (1_000, 1_500, 10, 60):
        before.take(counted)
    again = Counter(before.register, before.offset, before.last, 0)
    again.take(100)
    assert again.register == before.register + 40


@given(st.lists(st.integers(0, (1 << 32) - 1), min_size=1, max_size=30))
@settings(max_examples=200, deadline=None)
def test_registers_never_fall(counted: list[int]) -> None:
    counter, last = Counter(), 0
    for value in counted:
        counter.take(value)
        assert counter.register >= last
        last = counter.register


def test_a_disk_that_takes_nothing_leaves_a_bounded_report() -> None:
    one = attester(row_s=1)
    for second in range(500):
        one.take(sample(imported=second), T0 + second * 1_000)
    found = sealed(one)
    assert len(found.rows) == 60
    one.take(sample(imported=600), T0 + 600_000)
    assert sealed(one).rows[-1][1] == 600, "the registers go on: no energy is lost"


def test_means_are_rounded_half_away_from_zero() -> None:
    assert [mean([1, 2]), mean([-1, -2]), mean([]), mean([1_499], 1_000), mean([-1_500], 1_000)] == [2, -2, 0, 1, -2]
