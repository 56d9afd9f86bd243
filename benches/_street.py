"""A street as fast as it goes: boards, broker, gateway and grid, no ledger; and whether its energy balances.

Owns: setting the street up (keys, entries, broker, gateway process), the two figures.
Refuses: a ledger. The gateway runs as in a pilot, on the site's clock.
"""

import asyncio
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from hardware import site as sites
from hardware.emulator.assemble import Bench, assemble
from hardware.emulator.grid import Grid
from hardware.emulator.runner import Emulator
from pilot.balance import energy_balance_error
from pilot.boards import BROKER, ENROLMENT, GRID_LOG, config_of, firmware, interpreters
from pilot.errors import Unavailable
from pilot.founding import Founded, found
from pilot.registrar import drop
from wire import envelope
from wire.enrol import ALLIANCES, Enrolment, Entry

ROW_S = 60
SETTLE_S = 120  # of site time, until every board has been greeted
GATEWAY = """
import asyncio, sys
from pathlib import Path
from gateway.config import load
from gateway.service import Gateway, load_key
from hardware.emulator.clock import SiteClock

async def main():
    clock = SiteClock(Path(sys.argv[2]), "gateway")
    config = load(Path(sys.argv[1]))
    gateway = Gateway(config, load_key(config), clock, lambda words: print(words, file=sys.stderr, flush=True))
    await gateway.run()

asyncio.run(main())
"""


def _settings(founded: Founded, port: int) -> None:
    folder = founded.folder
    (folder / "broker" / "mosquitto.conf").write_text(
        f"listener {port} 127.0.0.1\nallow_anonymous true\nmax_inflight_messages 1000\nlog_type error\n"
    )
    (folder / "gateway" / "gateway.key").write_bytes(founded.key_file("gateway").read_bytes())
    assert founded.site.gateway
    (folder / "gateway" / "gateway.toml").write_text(
        f'name = "street"\nalliance = "load"\nperiod_s = {founded.site.gateway.beat_s}\n'
        f'registrars = ["{founded.keys["registrar"].public_key.hex()}"]\n'
        f'dispatchers = ["{founded.keys["dispatch"].public_key.hex()}"]\n[broker]\nport = {port}\n'
    )


def _enter(founded: Founded, name: str, enrolment: bytes) -> None:
    entry = Entry(
        serial=1, device=Enrolment.decode(envelope.split(enrolment).payload).id, enrolment=enrolment, name=name,
        alliance=ALLIANCES.index("load"), gateway=founded.account("gateway"), limits={}, status=0,
        from_time=founded.site.start_s, assignment=None,
    )  # fmt: skip
    signed = envelope.sign(founded.keys["registrar"], Entry.DOMAIN, entry.encode())
    drop(founded.folder / "gateway" / "entries" / f"{name}.cose", signed)


def _built(founded: Founded, port: int) -> tuple[Emulator, Grid]:
    site, folder = founded.site, founded.folder
    built = {kind: firmware(folder / "run", kind, 32) for kind in {board.kind for board in site.boards}}

    def files(bench: Bench) -> dict[str, bytes]:
        return {**built[bench.board.kind], "config.json": json.dumps(config_of(founded, bench)).encode()}

    routes = {BROKER: (BROKER[0], port)}
    emulator, grid = assemble(site, folder / "boards", files, interpreters(), speed=20, routes=routes)

    def on_line(name: str, line: str) -> None:
        if line.startswith(ENROLMENT):
            _enter(founded, name, bytes.fromhex(line.removeprefix(ENROLMENT).strip()))

    emulator.on_line = on_line
    return emulator, grid


async def _reach(emulator: Emulator, at_us: int, wall_s: float) -> None:
    end = time.monotonic() + wall_s
    while emulator.timeline.now_us() < at_us and time.monotonic() < end:
        await asyncio.sleep(0.02)


class Log:
    """The grid's own totals around every full minute, where rows end, as the pilot's witness writes them."""

    def __init__(self, emulator: Emulator, grid: Grid) -> None:
        self._emulator, self._grid = emulator, grid
        self._rows: list[list[Any]] = []
        self._look()

    def _look(self) -> None:
        now_us = self._emulator.timeline.now_us()
        time_s = now_us // 1_000_000
        self._rows.append([time_s, *vars(self._grid.totals(now_us)).values()])
        next_s = time_s + 1 if time_s % ROW_S == 0 else (time_s // ROW_S + 1) * ROW_S
        self._emulator.timeline.at(next_s * 1_000_000, self._look)

    def write(self, path: Path) -> None:
        path.write_text(json.dumps(self._rows))


async def _race(founded: Founded, port: int, wall_s: float) -> dict[str, Any]:
    emulator, grid = _built(founded, port)
    folder = founded.folder
    async with emulator:
        log = Log(emulator, grid)
        command = [sys.executable, "-c", GATEWAY, str(folder / "gateway/gateway.toml"), str(emulator.clock_path)]
        gateway = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        try:
            await _reach(emulator, emulator.timeline.now_us() + SETTLE_S * 1_000_000, 30)
            emulator.set_speed(None)
            began, began_us = time.monotonic(), emulator.timeline.now_us()
            await asyncio.sleep(wall_s)
            ran_s, took_s = (emulator.timeline.now_us() - began_us) / 1e6, time.monotonic() - began
            emulator.set_speed(0)
            await asyncio.sleep(1)  # what the gateway has is sealed and written
            log.write(folder / "run" / GRID_LOG)
            return {
                "speedup_12": round(ran_s / took_s, 1),
                "speedup_12_overdue": emulator.overdue,
                "speedup_12_resets": sum(sum(rig.board.tally.resets.values()) for rig in emulator.rigs.values()),
            }
        finally:
            gateway.terminate()
            gateway.wait()


def run(wall_s: float = 20) -> Mapping[str, Any]:
    site = replace(sites.load("street"), row_s=ROW_S)
    mosquitto = os.environ.get("TALLYGRID_MOSQUITTO")
    if mosquitto is None:
        why = "no mosquitto here: run ./tallygrid bench"
        return {
            "speedup_12": None, "speedup_12_reason": why, "energy_balance_error": None,
            "energy_balance_error_reason": why,
        }  # fmt: skip
    with tempfile.TemporaryDirectory() as name:
        founded = found(site, Path(name))
        port = free_port()
        _settings(founded, port)
        command = [mosquitto, "-c", str(founded.folder / "broker" / "mosquitto.conf")]
        broker = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        try:
            figures = asyncio.run(_race(founded, port, wall_s))
        finally:
            broker.terminate()
            broker.wait()
        try:
            database = founded.folder / "gateway" / "gateway.db"
            error = energy_balance_error(site, database, founded.folder / "run" / GRID_LOG)
            return {**figures, "energy_balance_error": round(error, 6)}
        except Unavailable as lack:
            return {**figures, "energy_balance_error": None, "energy_balance_error_reason": str(lack)}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
