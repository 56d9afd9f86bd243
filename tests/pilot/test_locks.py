"""The lock files: they answer pyproject.toml, carry hashes for everything, and agree with each other."""

import re
import subprocess
import sys
import tomllib
from fnmatch import fnmatch
from itertools import chain, pairwise
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from pilot.commands import COMMANDS, SETS, Command

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PACKAGES = ("wire", "firmware", "gateway", "ledger", "hardware", "pilot")
WANTED = {
    "run": PROJECT["dependencies"],
    "pilot": PROJECT["dependencies"] + PROJECT["optional-dependencies"]["pilot"],
    "dev": [*PROJECT["dependencies"], *chain.from_iterable(PROJECT["optional-dependencies"].values())],
}


def pins(name: str) -> dict[str, set[str]]:
    """Each package and its versions (more than one where Pythons differ)."""
    found: dict[str, set[str]] = {}
    for package, version in re.findall(r"^([\w.-]+)==([^\s;]+)", (ROOT / "locks" / f"{name}.txt").read_text(), re.M):
        found.setdefault(re.sub(r"[-_.]+", "-", package).lower(), set()).add(version)
    return found


@pytest.mark.parametrize("name", SETS)
def test_the_lock_has_what_the_project_wants(name: str) -> None:
    locked = pins(name)
    for text in WANTED[name]:
        requirement = Requirement(text)
        versions = locked.get(re.sub(r"[-_.]+", "-", requirement.name).lower(), set())
        fits = versions and all(Version(each) in requirement.specifier for each in versions)
        assert fits, f"locks/{name}.txt has {versions or 'nothing'} for {text}: run locks/update"


@pytest.mark.parametrize("name", [*SETS, "cose"])
def test_every_pin_carries_a_hash(name: str) -> None:
    lines = (ROOT / "locks" / f"{name}.txt").read_text().replace("\\\n", " ").splitlines()
    entries = [line for line in lines if line.strip() and not line.startswith("#")]
    assert entries and all(re.match(r"[\w.-]+==\S+ .*--hash=sha256:[0-9a-f]{64}", line) for line in entries)


def test_each_set_holds_the_ones_before_it_at_the_same_versions() -> None:
    for smaller, larger in pairwise(SETS):
        assert pins(smaller).items() <= pins(larger).items()


IMPORTED = """
import importlib, importlib.metadata, sys
importlib.import_module(sys.argv[1])
owners = importlib.metadata.packages_distributions()
print(*{owner for name in list(sys.modules) for owner in owners.get(name, [])})
"""


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_a_command_imports_nothing_beyond_its_set(command: Command) -> None:
    """A gateway box has the run set alone, whatever is installed where the tests run."""
    look = [sys.executable, "-c", IMPORTED, command.module]
    done = subprocess.run(look, cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = {re.sub(r"[-_.]+", "-", name).lower() for name in done.stdout.split()}
    # httpx takes rich for a command line of its own where it finds it, and does without where not.
    assert loaded - {"setuptools", "tallygrid", "rich", "pygments"} <= set(pins(command.needs))


def test_what_lies_beside_the_code_is_packed_into_the_wheel() -> None:
    packed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]["*"]
    listed = subprocess.run(["git", "ls-files", *PACKAGES], cwd=ROOT, capture_output=True, text=True)
    names = [Path(name).name for name in listed.stdout.splitlines() if not name.endswith(".py")]
    assert [name for name in names if not any(fnmatch(name, pattern) for pattern in packed)] == []


def test_every_dependency_has_its_reason() -> None:
    text = (ROOT / "pyproject.toml").read_text()
    wanted = text[text.index("\ndependencies = [") : text.index("[project.scripts]")]
    bare = [line for line in wanted.splitlines() if line.startswith('  "') and "#" not in line]
    tools = {"mypy", "pytest", "ruff", "import-linter", "hypothesis"}  # their names say it
    assert [line for line in bare if Requirement(line.strip(' ",')).name not in tools] == []
