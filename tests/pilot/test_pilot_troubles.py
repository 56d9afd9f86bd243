"""What can go wrong with a pilot: parts that die, a disk that is full, a start that is broken off, data of others."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pilot.supervisor import DEATHS_MAX, Part, Supervisor

ROOT = Path(__file__).parents[2]
PARTS = {
    "broker": "mosquitto.conf",
    "gateway": "pilot.processes gateway",
    "relayer": "pilot.processes relayer",
    "page": "pilot.processes page",
    "ledger": "pilot.processes ledger",
    "emulator": "pilot.processes emulator",
}


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "pilot.cli", "pilot", "--headless", *words]


def processes(folder: Path) -> dict[int, str]:
    """Command lines that name the pilot's folder, by process."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                words = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            if str(folder) in words:
                found[int(entry.name)] = words
    return found


def refused(*words: str, **more: object) -> str:
    """What a pilot says that does not even begin."""
    done = subprocess.run(command(*words), cwd=ROOT, capture_output=True, text=True, timeout=60, **more)  # type: ignore[call-overload]
    assert done.returncode == 69, done.stderr[-2_000:]
    assert "Traceback" not in done.stderr
    return str(done.stderr)


def test_every_part_may_die_once(tmp_path: Path, mosquitto: str, micropython: str) -> None:
    """kill -9 of each: started again with a message, nothing lost, nothing twice, no value made; and the next start
    goes on from what is kept."""
    words = tmp_path / "told"
    with words.open("w") as stream:
        pilot = subprocess.Popen(
            command("--json", "--data", str(tmp_path)), cwd=ROOT, stdout=subprocess.PIPE, stderr=stream, text=True
        )
    until = time.monotonic() + 90
    while "is open for supply" not in words.read_text() and time.monotonic() < until:
        time.sleep(0.2)
    for mark in PARTS.values():
        for pid in [pid for pid, line in processes(tmp_path).items() if mark in line]:
            os.kill(pid, signal.SIGKILL)
        time.sleep(4)
    time.sleep(8)
    pilot.send_signal(signal.SIGINT)
    out, _ = pilot.communicate(timeout=60)
    told = words.read_text()
    assert pilot.returncode == 0, told[-3_000:]
    figures = json.loads(out)
    for name in PARTS:
        assert f"{name} died" in told, f"{name}:\n{told[-3_000:]}"
    assert figures["restarts"] == len(PARTS)
    check(figures)
    assert figures["energy_balance_error"] is None, "the street began anew"
    assert "emulator" in figures["energy_balance_why"]
    assert processes(tmp_path) == {}
    again = subprocess.run(
        command("--minutes", "0.4", "--json", "--data", str(tmp_path)),
        cwd=ROOT, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert again.returncode == 0, again.stderr[-3_000:]
    more = json.loads(again.stdout)
    check(more)
    assert more["readings_made"] > figures["readings_made"], "the same chains, the same journals"


def check(figures: dict) -> None:  # type: ignore[type-arg]
    assert (figures["gaps"], figures["duplicates"]) == (0, 0)
    assert figures["readings_verified"] == figures["readings_sealed"] > 0
    assert figures["readings_made"] - figures["readings_sealed"] <= 10
    assert figures["tokens_before"] == figures["tokens_after"]
    assert figures["rights_before"] == figures["rights_after"]
    assert figures["errors"] == []


def test_three_deaths_in_a_minute_are_enough(tmp_path: Path) -> None:
    told: list[str] = []

    async def run() -> Supervisor:
        supervisor = Supervisor(dict(os.environ), told.append)
        await supervisor.start(Part("ledger", ["sh", "-c", "echo no room; exit 3"], tmp_path / "log"))
        await asyncio.wait_for(supervisor.failed.wait(), 20)
        await supervisor.stop()
        return supervisor

    supervisor = asyncio.run(run())
    assert supervisor.why.startswith("ledger died 3 times in a minute: no room")
    assert told == ["ledger died (no room); started again"] * (DEATHS_MAX - 1)


def test_a_program_that_cannot_start_again_is_said(tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_text("#!/bin/sh\nrm $0\n")
    program.chmod(0o755)

    async def run() -> str:
        supervisor = Supervisor(dict(os.environ), lambda words: None)
        await supervisor.start(Part("broker", [str(program)], tmp_path / "log"))
        await asyncio.wait_for(supervisor.failed.wait(), 20)
        await supervisor.stop()
        return supervisor.why

    assert asyncio.run(run()).startswith("broker cannot be started")


@pytest.mark.parametrize("wait_s", [0.2, 0.8, 1.6, 3.0, 5.0, 8.0])
def test_a_start_that_is_broken_off_leaves_nothing(
    wait_s: float, tmp_path: Path, mosquitto: str, micropython: str
) -> None:
    pilot = subprocess.Popen(command("--data", str(tmp_path)), cwd=ROOT, stderr=subprocess.PIPE, text=True)
    time.sleep(wait_s)
    pilot.send_signal(signal.SIGINT)
    _, told = pilot.communicate(timeout=40)
    assert pilot.returncode in (0, 130, -signal.SIGINT), told[-2_000:]
    assert processes(tmp_path) == {}


def test_a_killed_pilot_leaves_nothing_running(tmp_path: Path, mosquitto: str, micropython: str) -> None:
    pilot = subprocess.Popen(command("--data", str(tmp_path)), cwd=ROOT, stderr=subprocess.DEVNULL)
    time.sleep(6)
    pilot.kill()
    pilot.wait(10)
    until = time.monotonic() + 15
    while processes(tmp_path) and time.monotonic() < until:
        time.sleep(0.2)
    assert processes(tmp_path) == {}


def test_an_unknown_site_is_said_with_those_there_are(tmp_path: Path) -> None:
    assert "two-houses" in refused("--site", "nonsense", "--data", str(tmp_path))


def test_no_broker_is_said(tmp_path: Path) -> None:
    told = refused("--data", str(tmp_path), env={**os.environ, "TALLYGRID_MOSQUITTO": str(tmp_path / "none")})
    assert "mosquitto" in told


def test_a_port_in_use_is_said(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = str(other.getsockname()[1])
        assert f"port {port} is in use" in refused("--port", port, "--data", str(tmp_path))


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path, mosquitto: str, micropython: str) -> None:
    (tmp_path / "file").write_text("in the way")
    assert "give another --data" in refused("--data", str(tmp_path / "file" / "data"))


def test_a_full_disk_is_said(tmp_path: Path, mosquitto: str, micropython: str) -> None:
    """No file may grow: what a full disk looks like from inside."""

    def full() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))

    told = refused("--data", str(tmp_path), preexec_fn=full)
    assert "cannot be used" in told


@pytest.mark.parametrize(
    "stamp, words",
    [
        ('{"layout": 0, "site": "two-houses"}', "made by another version (layout 0"),
        ('{"layout": 1, "site": "street"}', "holds site street"),
        ("not JSON", "made by another version"),
    ],
)
def test_data_of_others_are_left_alone(
    stamp: str, words: str, tmp_path: Path, mosquitto: str, micropython: str
) -> None:
    folder = tmp_path / "pilot" / "two-houses"
    folder.mkdir(parents=True)
    (folder / "pilot.json").write_text(stamp)
    told = refused("--data", str(tmp_path))
    assert words in told
    assert "--fresh" in told
    assert (folder / "pilot.json").read_text() == stamp
