"""The command line: the table of commands, the help, options, exit codes and the promise of --json."""

import argparse
import importlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from pilot import __version__, cli, places
from pilot.commands import COMMANDS, GROUPS, SETS, Command
from pilot.errors import Unavailable
from wire.errors import WireError

ROOT = Path(__file__).resolve().parents[2]
Body = Callable[[argparse.Namespace], int]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Callable[[Body], None]:
    """A command `try` whose body the test gives; it takes --count and passes on what it does not know."""

    def install(body: Body, takes_rest: bool = False) -> None:
        module = SimpleNamespace(
            add_arguments=lambda parser: parser.add_argument("--count", type=int), run=body, TAKES_REST=takes_rest
        )
        monkeypatch.setattr(cli, "find", lambda name: Command("try", GROUPS[0], "for tests", "none") if name else None)
        monkeypatch.setattr(importlib, "import_module", lambda name: module)

    return install


def failing(trouble: BaseException) -> Body:
    def body(args: argparse.Namespace) -> int:
        raise trouble

    return body


def test_every_row_is_a_command_that_works() -> None:
    assert len({command.name for command in COMMANDS}) == len(COMMANDS)
    for command in COMMANDS:
        assert command.group in GROUPS and command.needs in SETS
        parser = cli.parser_for(command)
        assert parser.format_help().startswith(f"usage: tallygrid {command.name}")


def test_the_overview_shows_every_command_under_its_user() -> None:
    shown = cli.overview()
    for group in GROUPS:
        names = [command.name for command in COMMANDS if command.group == group]
        section = shown.partition(f"\n{group}\n")[2].partition("\n\n")[0]
        assert [line.split()[0] for line in section.splitlines()] == names


@pytest.mark.parametrize(
    ("words", "status", "says"),
    [
        (["--help"], 0, "usage: tallygrid"),
        ([], cli.USAGE, "usage: tallygrid"),
        (["--version"], 0, f"tallygrid {__version__}"),
        (["no-such-thing"], cli.USAGE, ""),
    ],
)
def test_without_a_command(words: list[str], status: int, says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(words) == status
    assert capsys.readouterr().out.startswith(says)


def test_options_may_stand_before_or_after_the_command(command: Callable[..., None], tmp_path: Path) -> None:
    seen = []
    command(lambda args: seen.append((args.data, args.json, args.count)) or 0)
    assert cli.main(["--data", str(tmp_path), "--json", "try", "--count", "3"]) == 0
    assert cli.main(["try", "--count", "3", "--json", "--data", str(tmp_path)]) == 0
    assert seen == [(tmp_path, True, 3)] * 2


def test_what_a_command_does_not_know_is_refused_or_passed_on(command: Callable[..., None]) -> None:
    command(lambda args: 0)
    assert cli.main(["try", "--colour"]) == cli.USAGE
    rest = []
    command(lambda args: rest.extend(args.rest) or 0, takes_rest=True)
    assert cli.main(["try", "-k", "one", "--count", "1"]) == 0
    assert rest == ["-k", "one"]


@pytest.mark.parametrize("words", [["try", "--colour"], ["--json", "try", "--count", "x"]])
def test_wrong_usage_is_one_json_value_too(
    words: list[str], command: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    command(lambda args: 0)
    assert cli.main([*words, "--json"]) == cli.USAGE
    out, err = capsys.readouterr()
    assert json.loads(out)["error"] in err


def test_a_command_that_is_not_there_is_one_json_value_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["no-such-thing", "--json"]) == cli.USAGE
    out, err = capsys.readouterr()
    assert json.loads(out)["error"] in err


@pytest.mark.parametrize(
    ("trouble", "status"),
    [
        (WireError("truncated", "row 3"), cli.FAILED),
        (Unavailable("no broker here"), cli.UNAVAILABLE),
        (PermissionError(13, "Permission denied", "/dev/ttyUSB0"), cli.FAILED),
        (ZeroDivisionError("our own"), cli.FAULT),
    ],
)
def test_a_failure_has_words_an_exit_code_and_still_one_json_value(
    command: Callable[..., None], trouble: Exception, status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    command(failing(trouble))
    assert cli.main(["try", "--json"]) == status
    out, err = capsys.readouterr()
    assert json.loads(out)["error"] in err
    assert json.loads(out).get("reason") == getattr(trouble, "reason", None)
    assert cli.main(["try"]) == status
    assert capsys.readouterr().out == ""


def test_ctrl_c_ends_quietly(command: Callable[..., None], capsys: pytest.CaptureFixture[str]) -> None:
    command(failing(KeyboardInterrupt()))
    assert cli.main(["try"]) == cli.INTERRUPTED
    assert capsys.readouterr().err == "tallygrid: interrupted\n"


def test_a_reader_that_goes_away_is_no_fault() -> None:
    done = subprocess.run(
        [f"{sys.executable} -m pilot.cli doctor | head -c 1"], shell=True, cwd=ROOT, capture_output=True, text=True
    )
    assert done.stderr == ""


def test_where_data_lies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TALLYGRID_DATA", raising=False)
    monkeypatch.setattr(places, "CHECKOUT", tmp_path)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("XDG_DATA_HOME", "/x/data")
    assert places.data("household") == Path("/x/data/tallygrid")
    assert places.data("engineer") == tmp_path / ".data"
    monkeypatch.setattr(places, "CHECKOUT", None)
    assert places.data("engineer") == Path("/x/data/tallygrid")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert places.data("site operator") == Path("/var/lib/tallygrid")
    monkeypatch.setenv("TALLYGRID_DATA", str(tmp_path / "own"))
    assert places.data("engineer") == places.data("household") == tmp_path / "own"


def test_the_front_door_needs_nothing_installed() -> None:
    """On a bare machine --help and the set-up run before there is any package, and without our own heavy modules."""
    look = (
        "import sys, pilot.start, pilot.doctor\n"
        "print(*sorted({name.partition('.')[0] for name, module in sys.modules.items()"
        " if 'site-packages' in (getattr(module, '__file__', None) or '')}))"
    )
    done = subprocess.run([sys.executable, "-c", look], cwd=ROOT, capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) <= {"_virtualenv", "distutils-precedence", "_distutils_hack"}


def test_json_of_the_doctor_is_one_value_and_nothing_else(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pilot.cli", "doctor", "--json", "--data", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    told = json.loads(done.stdout)
    topics = {finding["topic"] for finding in told["findings"]}
    assert topics == {"system", "packages", "programs", "folders", "ports"} and done.returncode == 0


def test_the_doctor_finds_a_data_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    command = [sys.executable, "-m", "pilot.cli", "doctor", "--json", "--data", str(tmp_path / "file" / "data")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    wrong = [finding["name"] for finding in json.loads(done.stdout)["findings"] if finding["state"] == "wrong"]
    assert (done.returncode, wrong) == (1, ["data"])
