"""The frozen vectors, on CPython and on both widths of MicroPython; and every way to damage them."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.vectors import make
from tests.wire import hostreaders, readers
from wire.errors import REASONS, WireError

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "tests" / "vectors"
CASES: list[dict[str, Any]] = [case for name in make.FILES for case in json.loads((FOLDER / name).read_text())]
TAKEN = [case for case in CASES if "value" in case and case["kind"] not in ("step", "topic", "id", "kid")]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_on_cpython(case: dict[str, Any]) -> None:
    assert readers.judge(case, hostreaders.reader(case["kind"])) is None


@pytest.mark.parametrize("width", ["micropython32", "micropython64"])
def test_on_micropython(width: str, request: pytest.FixtureRequest) -> None:
    interpreter = request.getfixturevalue(width)
    paths = [FOLDER / name for name in make.ON_DEVICES]
    done = subprocess.run(
        [interpreter, str(ROOT / "tests" / "wire" / "readers.py"), *map(str, paths)],
        env={**os.environ, "MICROPYPATH": f"{ROOT}:.frozen"},
        capture_output=True,
        text=True,
    )
    assert done.stdout.splitlines()[-1] == f"cases {sum(len(json.loads(path.read_text())) for path in paths)} bad 0", (
        done.stdout + done.stderr
    )


@pytest.mark.parametrize("name", make.FILES)
def test_frozen(name: str) -> None:
    """What the script would write today is what was frozen."""
    assert make.text_of(name) == (FOLDER / name).read_text()


def test_there_are_enough_and_every_reason_is_known() -> None:
    assert len(CASES) >= 150
    assert {case["reason"] for case in CASES if "reason" in case} <= set(REASONS)


def outcome(kind: str, raw: bytes) -> bytes | str:
    """What was read, as it encodes again, or the reason; anything but a WireError fails the test."""
    try:
        return hostreaders.reader(kind)(raw)[1]
    except WireError as error:
        assert error.reason in REASONS
        return error.reason


@pytest.mark.parametrize("case", TAKEN, ids=lambda case: case["name"])
def test_damage(case: dict[str, Any]) -> None:
    """Every truncation is refused; of every single-bit flip nothing is taken that encodes to other bytes."""
    raw = bytes.fromhex(case["input"])
    kind = case["kind"]
    for end in range(len(raw)):
        found = outcome(kind, raw[:end])
        whole = kind == "bundle" and found == raw[:end]  # a sequence: cut between two records it is a shorter one
        assert isinstance(found, str) or whole, f"taken when cut after byte {end}"
    assert isinstance(outcome(kind, raw + b"\0"), str)
    for bit in range(min(8 * len(raw), 8 * 512)):
        flipped = bytearray(raw)
        flipped[bit >> 3] ^= 1 << (bit & 7)
        found = outcome(kind, bytes(flipped))
        assert isinstance(found, str) or found == flipped, f"bit {bit} flipped gives other bytes"
