"""Emulated boards: memory, how many keep real time, round trips, how fast a street runs, whether energy balances.

Every board is a process of real MicroPython with the real firmware. A sample is late when its question is on the
sensor's line more than 100 ms after it was due (counting seconds from the board's first sample).
"""

import argparse
import asyncio
import json
import os
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from benches import _street
from hardware.build import build
from hardware.emulator.board import BoardSpec
from hardware.emulator.parts.pzem004t import Pzem004t
from hardware.emulator.port import Phase, Reading, Scheduled, UartPort, Wiring
from hardware.emulator.runner import Emulator, Plan

GOALS = {
    "board_rss_mb": "<= 8",
    "board_cpu_percent": "<= 2",
    "boards_realtime": ">= 50",
    "speedup_12": ">= 288",
    "energy_balance_error": "<= 0.001",
}
LATE_US = 100_000
LATE_SHARE = 0.01
HEAP_KB = 192
START_S = 60  # for all boards together to make their keys and begin

PIN = """
import time
from machine import Pin
pin = Pin(4, Pin.IN)
for n in range(3):
    t = time.ticks_us()
    for i in range(1000):
        pin.value()
    print("us", time.ticks_diff(time.ticks_us(), t) / 1000)
print("done")
"""
UART = """
import time
from machine import UART
uart = UART(1, 10_000_000)
data = bytes(32)
for n in range(3):
    t = time.ticks_us()
    for i in range(300):
        uart.write(data)
        left = 32
        while left:
            left -= len(uart.read() or b"")
    print("us", time.ticks_diff(time.ticks_us(), t) / 300)
print("done")
"""


class Steady:
    """A Terminal at 230 V and 500 W."""

    def at(self, now_us: int) -> Reading:
        return Reading((Phase(230.0, 2.2, 500.0, import_wh=now_us / 7_200_000_000 % 9_000),))


class Timed(Pzem004t):
    """A sensor that notes how late it is asked."""

    def __init__(self, seed: int) -> None:
        super().__init__(Steady(), seed=seed)
        self.asked_us: list[int] = []

    def receive(self, data: bytes, now_us: int) -> Scheduled:
        self.asked_us.append(now_us)
        return super().receive(data, now_us)

    def lateness_us(self, expected: int) -> list[int]:
        """How far behind its due time each sample was; one that never came is late."""
        first_us = min((at_us - n * 1_000_000 for n, at_us in enumerate(self.asked_us)), default=0)
        came = [at_us - first_us - n * 1_000_000 for n, at_us in enumerate(self.asked_us)]
        return came + [LATE_US + 1] * (expected - len(came))


class Echo:
    """Answers at once."""

    baudrate = 10_000_000
    gap_us = 0

    def receive(self, data: bytes, now_us: int) -> Scheduled:
        return [(now_us, data)]


def micropython() -> tuple[Path, str]:
    """The emulator's interpreter and the native architecture that mpy-cross builds for it."""
    for variable, arch in (("TALLYGRID_MICROPYTHON32", "x86"), ("TALLYGRID_MICROPYTHON64", "x64")):
        if os.environ.get(variable):
            return Path(os.environ[variable]), arch
    raise SystemExit("no MicroPython: start through ./tallygrid")


def play(plans: list[Plan], act: Callable[[Emulator], Awaitable[Any]], **options: Any) -> Any:
    async def run() -> Any:
        with tempfile.TemporaryDirectory() as folder:
            async with Emulator(Path(folder), plans, **options) as emulator:
                return await act(emulator)

    return asyncio.run(run())


def round_trip(main: str) -> float:
    """The median of what the board itself timed, in microseconds."""
    plan = Plan(
        spec=BoardSpec(name="one", micropython=micropython()[0]), files={"main.py": main.encode()},
        wiring=Wiring(uart={1: UartPort([Echo()])}), flash_blocks=64,
    )  # fmt: skip

    async def act(emulator: Emulator) -> float:
        log = emulator.rigs["one"].board.log
        while "done" not in log:
            await asyncio.sleep(0.05)
        return statistics.median(float(line.split()[1]) for line in log if line.startswith("us"))

    return float(play([plan], act, speed=1))


def meters(count: int, firmware: Mapping[str, bytes]) -> tuple[list[Plan], list[Timed]]:
    sensors = [Timed(n) for n in range(count)]
    config = {"role": "meter", "board": "esp32-c3", "sensors": [{"part": "pzem004t-v3", "bus": "uart0", "address": 1}]}
    files = {**firmware, "config.json": json.dumps(config).encode()}
    plans = [
        Plan(
            spec=BoardSpec(name=f"meter-{n}", micropython=micropython()[0], heap_kb=HEAP_KB), files=files,
            wiring=Wiring(uart={1: UartPort([sensor])}), flash_blocks=256, seed=n,
        )
        for n, sensor in enumerate(sensors)
    ]  # fmt: skip
    return plans, sensors


def real_time(count: int, firmware: Mapping[str, bytes], seconds: float) -> dict[str, float]:
    """Share of late samples, resident memory and processor time of `count` boards."""
    plans, sensors = meters(count, firmware)

    async def act(emulator: Emulator) -> dict[str, float]:
        started = time.monotonic()
        while min(len(sensor.asked_us) for sensor in sensors) < 3 and time.monotonic() - started < START_S:
            await asyncio.sleep(0.2)
        for sensor in sensors:
            sensor.asked_us.clear()
        pids = [rig.board.process.pid for rig in emulator.rigs.values() if rig.board.process]
        before_s = sum(map(processor_s, pids))
        await asyncio.sleep(seconds)
        used_s = sum(map(processor_s, pids)) - before_s
        late = [late_us for sensor in sensors for late_us in sensor.lateness_us(int(seconds) - 1)]
        return {
            "late": sum(late_us > LATE_US for late_us in late) / len(late),
            "rss_mb": max(map(resident_mb, pids)),
            "cpu_percent": 100 * used_s / seconds / count,
        }

    found: dict[str, float] = play(plans, act, speed=1)
    return found


def processor_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")")[-1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_mb(pid: int) -> float:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seconds", type=float, default=15, help="how long each number of boards is watched")
    parser.add_argument("--street", type=float, default=30, help="how long the street runs")
    parser.add_argument("--boards", type=int, nargs="*", default=[50, 100, 150, 200], help="numbers of boards to try")


def run(args: argparse.Namespace) -> Mapping[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        manifest = build(Path(folder), "esp32-c3", micropython()[1])
        firmware = {name: (Path(folder) / name).read_bytes() for name in manifest.files}
    figures: dict[str, Any] = {
        "pin_roundtrip_us": round(round_trip(PIN), 1),
        "uart_roundtrip_us": round(round_trip(UART), 1),
        "boards_realtime": 0,
    }
    for count in args.boards:
        found = real_time(count, firmware, args.seconds)
        if count == args.boards[0]:
            figures["board_rss_mb"] = round(found["rss_mb"], 2)
            figures["board_cpu_percent"] = round(found["cpu_percent"], 2)
        figures[f"late_share_{count}"] = round(found["late"], 5)
        if found["late"] > LATE_SHARE:
            break
        figures["boards_realtime"] = count
    return {**figures, **_street.run(args.street)}
