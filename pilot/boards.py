"""The emulated boards of a pilot: the site's grid and parts, the firmware as built, each board's config.json.

Owns: what the flash tool would write, and putting down the enrolments that boards print.
Refuses: a board without a real MicroPython.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hardware.build import build
from hardware.emulator.assemble import Bench, assemble
from hardware.site.model import Site, Station
from pilot.errors import Unavailable
from pilot.founding import Founded
from pilot.witness import Witness

if TYPE_CHECKING:
    from pilot.plan import Plan

ENROLMENT = "ENROLMENT "
BROKER = ("127.0.0.1", 1883)  # what is on every flash; the emulator leads it to the port of this run
SEAL_ROWS = 2  # people watch a pilot: a reading is on the chain a few seconds after it was made
OFFSET = "clock.offset"  # of the site's time from the machine's monotonic clock, in one run
GRID_LOG = "grid.json"
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


def config_of(founded: Founded, bench: Bench) -> dict[str, Any]:
    """config.json of one board."""
    config: dict[str, Any] = {
        **bench.config,
        "row_s": founded.site.row_s,
        "seal_rows": SEAL_ROWS,
        "registrar_key": founded.keys["registrar"].public_key.hex(),
        "gateway_key": founded.keys["gateway"].public_key.hex(),
        "dispatch_key": founded.keys["dispatch"].public_key.hex(),
        "broker": {"host": BROKER[0], "port": BROKER[1], "tls": 0},
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
    built = {
        kind_and_bits: firmware(founded.folder / "run" / "firmware", *kind_and_bits)
        for kind_and_bits in {(board.kind, board.bits) for board in founded.site.boards}
    }
    site = await _site_now(founded, plan)

    def files(bench: Bench) -> dict[str, bytes]:
        config = json.dumps(config_of(founded, bench)).encode()
        return {**built[bench.board.kind, bench.board.bits], "config.json": config}

    speed = plan.speed if plan.speed else None
    routes = {BROKER: (BROKER[0], plan.broker_port)}
    emulator, grid = assemble(
        site, founded.folder / "boards", files, interpreters(), speed=speed, keep=True, routes=routes
    )

    def on_line(name: str, line: str) -> None:
        if line.startswith(ENROLMENT):
            new = founded.folder / "run" / f"{name}.new"
            new.write_text(line.removeprefix(ENROLMENT).strip())
            new.replace(founded.folder / "run" / f"{name}.enrolment")
        say(f"{name}: {line[:160]}")

    emulator.on_line = on_line
    witness = Witness(site, emulator, grid, founded.folder / "run" / GRID_LOG, say)
    async with emulator:
        (founded.folder / "run" / OFFSET).write_text(str(emulator.timeline.offset_us))
        witness.begin()
        say(f"{len(site.boards)} boards on {', '.join(str(path) for path in interpreters().values())}")
        await asyncio.Event().wait()


async def _site_now(founded: Founded, plan: Plan) -> Site:
    """The site as this run begins it, or where an emulator that died in this run left its time. Its faults and what the
    sun, the stores and the sensors' own counters were at are gone then; registers, journals and keys are on flash."""
    offset = founded.folder / "run" / OFFSET
    if not offset.exists():
        return replace(founded.site, start_s=plan.start_s)
    if plan.speed != 1:
        raise Unavailable("a clock that runs faster than the wall's cannot be taken up again")
    now_us = time.monotonic_ns() // 1_000 + int(offset.read_text())
    await asyncio.sleep(1 - now_us % 1_000_000 / 1e6)
    return replace(founded.site, start_s=now_us // 1_000_000 + 1, faults=())
