"""The suite's closing lines and the benches' figures."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pilot import suite
from pilot.bench import table, verdict
from pilot.runtimes import KINDS
from pilot.suite import Outcome, read_report
from tests import conftest

ROOT = Path(__file__).resolve().parents[2]

REPORT = """<testsuites><testsuite>
<testcase classname="tests.wire.test_cbor" name="test_one" time="0.1"/>
<testcase classname="tests.hardware.test_board" name="test_boot[i386]" time="0"><skipped
 type="pytest.skip" message="no micropython32 here">conftest.py:20</skipped></testcase>
<testcase classname="tests.wire.test_cbor" name="test_two" time="0.1"><failure message="assert 1 == 2"/></testcase>
</testsuite></testsuites>"""


def test_what_was_not_run_is_named_with_its_reason() -> None:
    outcome = Outcome(seconds={"style": 0.4, "tests": 12.3})
    read_report(REPORT, outcome)
    assert outcome.lines() == [
        "not run: tests/hardware/test_board::test_boot[i386] (no micropython32 here)",
        "3 tests; style 0 s, tests 12 s",
        "all passed",
    ]


def test_a_failed_phase_is_named_last() -> None:
    outcome = Outcome(seconds={"style": 0.4}, failed=["style", "tests"])
    assert outcome.lines()[-1] == "FAILED: style, tests"
    assert outcome.lines()[0] == "nothing was left out"


def test_every_runtime_that_tests_ask_for_is_fetched_for_them() -> None:
    given = set(KINDS)
    asked = set()
    for path in (ROOT / "tests").rglob("test_*.py"):
        if path != Path(__file__):
            text = path.read_text()
            asked |= {name for name in given if f"{name}: str" in text or f'runtime("{name}")' in text}
    assert asked <= set(suite.RUNTIMES)


def test_a_missing_runtime_skips_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TALLYGRID_MOSQUITTO", raising=False)
    with pytest.raises(pytest.skip.Exception, match="no mosquitto here"):
        conftest.runtime("mosquitto")
    monkeypatch.setenv("TALLYGRID_MOSQUITTO", "/somewhere/mosquitto")
    assert conftest.runtime("mosquitto") == "/somewhere/mosquitto"


@pytest.mark.parametrize(
    ("value", "goal", "says"),
    [
        (6.0, "<= 6", "  (goal <= 6: kept)"),
        (6.1, "<= 6", "  (goal <= 6: MISSED)"),
        (0.95, ">= 0.95", "  (goal >= 0.95: kept)"),
        (None, ">= 0.95", "  (goal >= 0.95: not measured)"),
    ],
)
def test_a_goal_is_kept_missed_or_not_measured(value: float | None, goal: str, says: str) -> None:
    assert verdict(value, goal) == says


def test_figures_stand_beside_their_goals() -> None:
    assert table({"a_us": 1234.5, "ratio": 7.0, "n": 3}, {"ratio": "<= 6"}) == (
        "a_us   1,234.5\nratio  7  (goal <= 6: MISSED)\nn      3"
    )


BENCH = """'''Adds up.

More.'''
GOALS = {"ratio": "<= 2"}
def add_arguments(parser):
    parser.add_argument("--times", type=int, default=1)
def run(args):
    return {"sum": 2.5 * args.times, "ratio": None, "ratio_reason": "no clock"}
"""


def tallygrid(checkout: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """The command line in a process of its own, for a checkout that holds one bench."""
    (checkout / "benches").mkdir(exist_ok=True)
    (checkout / "benches" / "__init__.py").write_text("")
    (checkout / "benches" / "adding.py").write_text(BENCH)
    code = "import pathlib, sys; from pilot import cli, places; places.CHECKOUT = pathlib.Path(); sys.exit(cli.main())"
    path = {**os.environ, "PYTHONPATH": f"{checkout}{os.pathsep}{ROOT}"}
    command = [sys.executable, "-c", code, *words]
    return subprocess.run(command, cwd=checkout, env=path, capture_output=True, text=True)


def test_the_folder_is_the_registry_of_benches(tmp_path: Path) -> None:
    shown = tallygrid(tmp_path, "bench", "--help")
    assert "adding       Adds up." in shown.stdout and "__init__" not in shown.stdout
    unknown = tallygrid(tmp_path, "bench", "product")
    assert unknown.returncode == 2 and "there are: adding" in unknown.stderr


def test_a_bench_prints_a_table_or_one_json_value(tmp_path: Path) -> None:
    assert tallygrid(tmp_path, "bench", "adding").stdout == (
        "sum           2.5\nratio         None  (goal <= 2: not measured)\nratio_reason  no clock\n"
    )
    for words in (["--json", "--times", "3"], ["--times", "3", "--json"]):
        done = tallygrid(tmp_path, "bench", "adding", *words)
        assert json.loads(done.stdout) == {"sum": 7.5, "ratio": None, "ratio_reason": "no clock"}
    refused = tallygrid(tmp_path, "bench", "adding", "--tims", "3")
    assert refused.returncode == 2 and "--tims" in refused.stderr
