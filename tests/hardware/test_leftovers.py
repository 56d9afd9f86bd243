"""Whatever ends an emulator, nothing of it stays: no boards, no sockets, no locks; the next one starts at once."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hardware.emulator.runner import Busy, Emulator
from tests.hardware.rigs import lines, plan, play

ROOT = Path(__file__).resolve().parents[2]
SITE = """
import asyncio, sys
from pathlib import Path
from hardware.emulator.runner import Emulator, serve
from tests.hardware.rigs import plan
IDLE = "import time\\nwhile True:\\n    time.sleep(1)\\n"
BUSY = "while True:\\n    pass\\n"
async def main():
    plans = [plan(sys.argv[1], IDLE, "idle"), plan(sys.argv[1], BUSY, "busy")]
    emulator = Emulator(Path(sys.argv[2]), plans, speed=1)
    async def tell():
        while len([rig for rig in emulator.rigs.values() if rig.board.tally.packets]) < 2:
            await asyncio.sleep(0.01)
        print(*[rig.board.process.pid for rig in emulator.rigs.values()], flush=True)
    task = asyncio.create_task(tell())
    await serve(emulator)
asyncio.run(main())
"""


def alive(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rsplit(")")[-1].split()[0]
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_nothing_outlives_the_emulator(micropython: str, tmp_path: Path, number: signal.Signals) -> None:
    command = [sys.executable, "-c", SITE, micropython, str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as emulator:
        assert emulator.stdout
        boards = [int(pid) for pid in emulator.stdout.readline().split()]
        assert len(boards) == 2 and all(map(alive, boards))
        mark = f"tg-{emulator.pid:x}-"
        assert mark in Path("/proc/net/unix").read_text()
        os.kill(emulator.pid, number)
        code = emulator.wait(5)
    assert code == (-9 if number == signal.SIGKILL else 0)
    end = time.monotonic() + 2
    while any(map(alive, boards)) and time.monotonic() < end:
        time.sleep(0.01)
    assert not any(map(alive, boards))
    assert mark not in Path("/proc/net/unix").read_text()

    async def act(again: Emulator) -> list[str]:
        return await lines(again, "here")

    assert play(tmp_path, [plan(micropython, "print('here')")], act) == ["here"]


def test_a_folder_has_one_emulator_and_a_failed_start_leaves_nothing(micropython: str, tmp_path: Path) -> None:
    async def act(emulator: Emulator) -> None:
        with pytest.raises(Busy, match="already"):
            await Emulator(tmp_path, []).start()
        await lines(emulator, "here")

    play(tmp_path, [plan(micropython, "print('here')")], act)

    async def fail() -> None:
        doubtful = plan(micropython, "", name="no/such/folder")
        with pytest.raises(FileNotFoundError):
            await Emulator(tmp_path, [plan(micropython, ""), doubtful]).start()

    asyncio.run(fail())
    play(tmp_path, [plan(micropython, "print('here')")], act)


def test_an_interpreter_that_does_not_start_is_not_tried_for_ever(tmp_path: Path) -> None:
    async def act(emulator: Emulator) -> tuple[int, str]:
        board = emulator.rigs["one"].board
        while board.powered:
            await asyncio.sleep(0.01)
        return board.tally.boots, board.last_reset

    assert play(tmp_path, [plan("/bin/false", "")], act) == (1, "does not start")
