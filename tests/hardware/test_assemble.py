"""A site becomes boards with parts: wired as their configuration says, running the real firmware."""

import asyncio
import json
from pathlib import Path

import pytest

from hardware import site as sites
from hardware.build import build
from hardware.emulator.assemble import Bench, assemble, pinout, wire_up
from hardware.emulator.grid import Grid
from tests.hardware.rigs import until


@pytest.mark.parametrize("name", sorted(path.stem for path in sites.EXAMPLES.glob("*.toml")))
def test_every_example_is_wired_as_it_is_configured(name: str) -> None:
    site = sites.load(name)
    grid = Grid(site)
    for board in site.boards:
        bench = wire_up(site, board, grid, lambda at_us, act: None, 1)
        config = bench.config
        assert (config["role"], config["board"]) == (board.role, board.kind)
        assert set(bench.parts) == {row.name for row in board.sensors} | {row.name for row in board.actors}
        assert len(bench.sensors) == len(board.sensors) and len(bench.actors) == len(board.actors)
        used = [*bench.wiring.sources, *bench.wiring.sinks]
        assert len(used) == len(set(used)) and set(used) <= set(pinout(board.kind).gpios)
        assert sum(len(port.parts) for port in bench.wiring.uart.values()) == sum(
            row.bus.startswith("uart") for row in (*board.sensors, *board.actors)
        )


def test_the_real_firmware_asks_its_sensors(micropython32: str, tmp_path: Path) -> None:
    site = sites.load("two-houses")
    built: dict[str, dict[str, bytes]] = {}

    def files(bench: Bench) -> dict[str, bytes]:
        kind = bench.board.kind
        if kind not in built:
            manifest = build(tmp_path / kind, kind, "x86")
            built[kind] = {path: (tmp_path / kind / path).read_bytes() for path in manifest.files}
        return {**built[kind], "config.json": json.dumps({**bench.config, "broker": None}).encode()}

    async def run() -> list[str]:
        emulator, _ = assemble(site, tmp_path / "run", files, {32: Path(micropython32)}, speed=None)
        async with emulator:
            start_us = emulator.timeline.now_us()
            await until(lambda: emulator.timeline.now_us() > start_us + 30_000_000, 60)
            await asyncio.sleep(0.2)
            assert all(rig.board.tally.boots == 1 for rig in emulator.rigs.values())
            return [line for rig in emulator.rigs.values() for line in rig.board.log]

    printed = asyncio.run(run())
    assert len([line for line in printed if line.startswith("TALLYGRID")]) == len(site.boards)
    assert not [line for line in printed if line.startswith(("FAULT", "Traceback"))], printed
