"""The lock files: they answer pyproject.toml, carry hashes for everything, and agree with each other."""

import re
import tomllib
from itertools import chain, pairwise
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from pilot.commands import SETS

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
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


def test_every_dependency_has_its_reason() -> None:
    text = (ROOT / "pyproject.toml").read_text()
    wanted = text[text.index("\ndependencies = [") : text.index("[project.scripts]")]
    bare = [line for line in wanted.splitlines() if line.startswith('  "') and "#" not in line]
    tools = {"mypy", "pytest", "ruff", "import-linter", "hypothesis"}  # their names say it
    assert [line for line in bare if Requirement(line.strip(' ",')).name not in tools] == []
