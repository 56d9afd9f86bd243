"""The whole test suite: style, types, directions, then the tests on the real runtimes.

Owns: the order of the phases, their times, and the closing lines that name whatever was not run.
Refuses: being clever; each phase is one tool with its settings in pyproject.toml.
Invariant: a test that was not run is named with its reason, and a suite with a failed phase exits 1.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from pilot import places, runtimes
from pilot.console import say
from pilot.errors import Unavailable

# pytest's own arguments go on to it; with any, only the tests they name are run.
TAKES_REST: Final = True

# What the fixtures of tests/conftest.py hand out.
RUNTIMES: Final = ("micropython32", "micropython64", "micropython_armhf", "mosquitto", "mbpoll", "cometbft", "chromium")

CHECKS: Final = (
    ("style", ("-m", "ruff", "check", "--quiet", ".")),
    ("types", ("-m", "mypy")),
    ("directions", ("-c", "from importlinter.cli import lint_imports_command; lint_imports_command()")),
)


@dataclass
class Outcome:
    """What the closing lines tell."""

    seconds: dict[str, float] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)
    not_run: list[str] = field(default_factory=list)
    tests: int = 0

    def lines(self) -> list[str]:
        times = ", ".join(f"{name} {seconds:.0f} s" for name, seconds in self.seconds.items())
        verdict = f"FAILED: {', '.join(self.failed)}" if self.failed else "all passed"
        unrun = [f"not run: {each}" for each in self.not_run] or ["nothing was left out"]
        return [*unrun, f"{self.tests} tests; {times}", verdict]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.usage = "tallygrid test [--json] [pytest's arguments]"
    parser.epilog = "With arguments for pytest only those tests are run, without the checks before them."


def run(args: argparse.Namespace) -> int:
    if places.CHECKOUT is None:
        raise Unavailable("tests are in the source tree, not in the installed package: run them from a checkout")
    outcome = Outcome()
    if args.rest:
        outcome.not_run.append(f"{', '.join(name for name, _ in CHECKS)} (only the tests asked for were run)")
    for name, command in () if args.rest else CHECKS:
        _phase(outcome, name, [sys.executable, *command], places.CHECKOUT, dict(os.environ))
    start = time.monotonic()
    found = runtimes.need(*RUNTIMES)
    outcome.seconds["runtimes"] = round(time.monotonic() - start, 1)
    _tests(outcome, found.environ(), args.rest, places.CHECKOUT)
    for line in outcome.lines():
        say(line)
    if args.json:
        print(json.dumps(vars(outcome)))
    return 1 if outcome.failed else 0


def _phase(outcome: Outcome, name: str, command: Sequence[str], cwd: Path, environ: dict[str, str]) -> None:
    say(f"{name} ...")
    start = time.monotonic()
    # The tools speak to people; stdout is kept for --json.
    done = subprocess.run(command, cwd=cwd, env=environ, stdout=sys.stderr)
    outcome.seconds[name] = round(time.monotonic() - start, 1)
    if done.returncode:
        outcome.failed.append(name)


def _tests(outcome: Outcome, environ: dict[str, str], chosen: Sequence[str], checkout: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        # Two workers and no more: the runtimes are processes too.
        spread = [] if chosen else ["-n", str(min(2, os.cpu_count() or 1)), "--dist", "worksteal"]
        command = [sys.executable, "-m", "pytest", *spread, f"--junitxml={report}", *chosen]
        _phase(outcome, "tests", command, checkout, environ)
        if report.is_file():
            read_report(report.read_text(), outcome)


def read_report(text: str, outcome: Outcome) -> None:
    """Count the tests of a JUnit report and name those that were not run, with their reasons."""
    for case in ET.fromstring(text).iter("testcase"):
        outcome.tests += 1
        skipped = case.find("skipped")
        if skipped is not None:
            name = f"{case.get('classname', '').replace('.', '/')}::{case.get('name')}"
            outcome.not_run.append(f"{name} ({skipped.get('message')})")
