"""The walking pilot: real MicroPython, a real broker, the gateway, three chains, and value that follows energy."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MINUTES = "1.2"


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "pilot.cli", *words]


def left_running(folder: Path) -> list[str]:
    """Processes whose command line names the pilot's folder."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                words = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            if str(folder) in words:
                found.append(words)
    return found


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory, mosquitto: str, micropython: str) -> Iterator[tuple[dict, Path]]:  # type: ignore[type-arg]
    folder = tmp_path_factory.mktemp("pilot")
    run = command("pilot", "--headless", "--minutes", MINUTES, "--json", "--data", str(folder))
    done = subprocess.run(run, cwd=ROOT, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr[-3_000:]
    figures = json.loads(done.stdout)
    figures["told"] = done.stderr
    yield figures, folder


def test_every_reading_made_is_sealed_and_verified(ran: tuple[dict, Path]) -> None:  # type: ignore[type-arg]
    figures, _ = ran
    assert figures["readings_made"] > 60
    assert figures["readings_made"] - figures["readings_sealed"] <= 10  # within the sealing time
    assert figures["readings_verified"] == figures["readings_sealed"]
    assert (figures["gaps"], figures["duplicates"]) == (0, 0)


def test_value_followed_energy_and_none_was_made_or_lost(ran: tuple[dict, Path]) -> None:  # type: ignore[type-arg]
    figures, _ = ran
    assert figures["tokens_before"] == figures["tokens_after"]
    assert figures["rights_before"] == figures["rights_after"]
    assert figures["purchases"] >= 1
    assert figures["commands"] >= 1
    assert figures["receipts"] >= 1
    assert figures["units_paid"] >= 1
    assert figures["errors"] == []
    assert figures["restarts"] == 0, figures["told"][-3_000:]


def test_the_evidence_holds_in_a_fresh_folder(ran: tuple[dict, Path], tmp_path: Path) -> None:  # type: ignore[type-arg]
    figures, folder = ran
    for name in ("evidence.bundle", "evidence.trust"):
        (tmp_path / name).write_bytes((folder / "pilot" / "two-houses" / name).read_bytes())
    run = command("verify", str(tmp_path / "evidence.bundle"), "--trust", str(tmp_path / "evidence.trust"), "--json")
    done = subprocess.run(run, cwd=ROOT, capture_output=True, text=True)
    told = json.loads(done.stdout)
    assert (done.returncode, told["valid"]) == (0, True), done.stdout
    assert told["readings"] >= 60
    assert told["transfers"] >= figures["purchases"]


def test_damaged_evidence_is_named(ran: tuple[dict, Path], tmp_path: Path) -> None:  # type: ignore[type-arg]
    """A bit flipped anywhere in the bundle is found; a sample of places."""
    _, folder = ran
    whole = (folder / "pilot" / "two-houses" / "evidence.bundle").read_bytes()
    trust = str(folder / "pilot" / "two-houses" / "evidence.trust")
    for place in (200, len(whole) // 3, len(whole) // 2, len(whole) - 40):
        damaged = bytearray(whole)
        damaged[place] ^= 1
        (tmp_path / "bundle").write_bytes(damaged)
        run = command("verify", str(tmp_path / "bundle"), "--trust", trust, "--json")
        done = subprocess.run(run, cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 1, f"byte {place}"
        assert json.loads(done.stdout)["wrong"]


def test_nothing_is_left_running(ran: tuple[dict, Path]) -> None:  # type: ignore[type-arg]
    _, folder = ran
    assert left_running(folder) == []


def test_interrupting_the_start_leaves_nothing(tmp_path: Path, mosquitto: str, micropython: str) -> None:
    for wait_s in (1.0, 2.5):
        process = subprocess.Popen(
            command("pilot", "--headless", "--data", str(tmp_path)),
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        time.sleep(wait_s)
        process.send_signal(signal.SIGINT)
        assert process.wait(30) in (0, 130)
        assert left_running(tmp_path) == []


def test_a_second_pilot_is_refused(tmp_path: Path, mosquitto: str, micropython: str) -> None:
    first = subprocess.Popen(
        command("pilot", "--headless", "--data", str(tmp_path)),
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        time.sleep(2.0)
        second = subprocess.run(
            command("pilot", "--headless", "--data", str(tmp_path)),
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=30,
        )
        assert second.returncode == 69
        assert "running" in second.stderr
    finally:
        first.send_signal(signal.SIGINT)
        first.wait(30)
