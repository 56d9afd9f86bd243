"""The README keeps its word: its length, its commands, its signed reading, its links."""

from __future__ import annotations

import itertools
import re
import subprocess
import sys
from pathlib import Path

import pytest

from pilot.commands import find

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "README.md").read_text()
COMMANDS = [line.split() for block in re.findall(r"```sh\n(.*?)```", TEXT, re.S) for line in block.splitlines()]


def test_it_is_short() -> None:
    assert len(TEXT.splitlines()) <= 120


@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: " ".join(words)[:40])
def test_its_commands_exist(words: list[str]) -> None:
    assert words[0] == "./tallygrid"
    assert find(words[1]) is not None, words[1]
    if words[1] == "bench":
        assert (ROOT / "benches" / f"{words[2]}.py").exists()


def test_its_signed_reading_is_what_it_says() -> None:
    words = next(words for words in COMMANDS if words[1] == "inspect")
    done = subprocess.run(
        [sys.executable, "-m", "pilot.cli", *words[1:]], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("message: report\n")
    assert f"{len(words[2]) // 2} bytes with its signature" in TEXT
    energies = [int(wh) for wh in re.findall(r"import_wh (\d+)", done.stdout)]
    assert [b - a for a, b in itertools.pairwise(energies)] == [6, 7]


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\]\(([^)]+)\)", TEXT))))
def test_its_links_lead_somewhere(target: str) -> None:
    assert (ROOT / target).exists()
