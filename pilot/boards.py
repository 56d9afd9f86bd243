"""The emulated boards of a pilot: the site's grid and parts, the firmware as built, each board's config.json.

Owns: what the flash tool would write, and putting down the enrolments that boards print.
Refuses: a board without a real MicroPython.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hardware.build import build
from hardware.emulator.assemble import Bench, assemble
from hardware.site.model import Site, Station
from pilot.errors import Unavailable
from pilot.founding import Founded

if TYPE_CHECKING:
    from pilot.plan import Plan

ENROLMENT = "ENROLMENT "
SEAL_ROWS = 2  # people watch a pilot: a reading is on the chain a few seconds after it was made
NATIVE = {32: "x86", 64: "x64"}  # what mpy-cross calls this machine


def interpreters() -> dict[int, Path]:
    """Real MicroPython by width, from the environment that `./tallygrid` prepares."""
    found = {}
    for bits in (32, 64):
        path = os.environ.get(f"TALLYGRID_MICROPYTHON{bits}")
        if path:
            found[bits] = Path(path)
    if not found:
        raise Unavailable("no MicroPython: start through ./tallygrid, which finds or fetches it")
    return found


def config_of(founded: Founded, bench: Bench, broker_port: int) -> dict[str, Any]:
    """config.json of one board."""
    config: dict[str, Any] = {
        **bench.config,
        "row_s": founded.site.row_s,
        "seal_rows": SEAL_ROWS,
        "registrar_key": founded.keys["registrar"].public_key.hex(),
        "gateway_key": founded.keys["gateway"].public_key.hex(),
        "dispatch_key": founded.keys["dispatch"].public_key.hex(),
        "broker": {"host": "127.0.0.1", "port": broker_port, "tls": 0},
    }
    station = _station(founded.site, bench)
    if station is not None:
        config |= {
            "capacity_wh": station.capacity_wh,
            "soc_min_milli": station.soc_min_permille,
            "soc_max_milli": station.soc_max_permille,
            "charge_w_max": station.charge_w_max,
            "discharge_w_max": station.discharge_w_max,
            "current_ma_max": max(station.charge_w_max, station.discharge_w_max) * 1_000 // 200,
            "relay_on_s_min": 2,
            "relay_off_s_min": 2,
        }
    return config


def _station(site: Site, bench: Bench) -> Station | None:
    if bench.board.role != "station":
        return None
    places = {sensor.at for sensor in bench.board.sensors} | {actor.at for actor in bench.board.actors}
    return next((station for station in site.stations if station.name in places), None)


def firmware(folder: Path, kind: str, bits: int) -> dict[str, bytes]:
    """What is flashed on a board of this kind, its native code for the machine that emulates it."""
    out = folder / f"{kind}-{bits}"
    width = bits if bits in interpreters() else 64
    manifest = build(out, kind, NATIVE[width])
    return {name: (out / name).read_bytes() for name in manifest.files}


async def run_boards(founded: Founded, plan: Plan, say: Callable[[str], None]) -> None:
    site = replace(founded.site, start_s=plan.start_s)
    built = {
        kind_and_bits: firmware(founded.folder / "run" / "firmware", *kind_and_bits)
        for kind_and_bits in {(board.kind, board.bits) for board in site.boards}
    }

    def files(bench: Bench) -> dict[str, bytes]:
        config = json.dumps(config_of(founded, bench, plan.broker_port)).encode()
        return {**built[bench.board.kind, bench.board.bits], "config.json": config}

    speed = plan.speed if plan.speed else None
    emulator, _ = assemble(site, founded.folder / "boards", files, interpreters(), speed=speed, keep=True)

    def on_line(name: str, line: str) -> None:
        if line.startswith(ENROLMENT):
            new = founded.folder / "run" / f"{name}.new"
            new.write_text(line.removeprefix(ENROLMENT).strip())
            new.replace(founded.folder / "run" / f"{name}.enrolment")
        say(f"{name}: {line[:160]}")

    emulator.on_line = on_line
    async with emulator:
        say(f"{len(site.boards)} boards on {', '.join(str(path) for path in interpreters().values())}")
        await asyncio.Event().wait()
