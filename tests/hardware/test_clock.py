"""The one site clock: lock-step, pace, services that sleep and hold, and months of asyncio on one board."""

import asyncio
import inspect
import time
from pathlib import Path

import pytest

from hardware.emulator.clock import SiteClock, WallClock
from hardware.emulator.lockstep import LockStep
from hardware.emulator.runner import Emulator
from tests.hardware.rigs import START_US, lines, plan, play, until

IDLE = """
    import time
    while True:
        time.sleep(1)
"""


def test_both_clocks_have_the_same_methods() -> None:
    def methods(kind: type) -> dict[str, str]:
        found = inspect.getmembers(kind, inspect.isfunction)
        return {name: str(inspect.signature(it)) for name, it in found if not name.startswith("_")}

    assert methods(SiteClock) == methods(WallClock)


def test_a_service_wakes_when_it_wanted_and_the_clock_waits_for_it(micropython: str, tmp_path: Path) -> None:
    async def act(emulator: Emulator) -> list[tuple[str, int]]:
        clock = SiteClock(emulator.clock_path, "test")
        seen: list[tuple[str, int]] = []

        async def service(name: str, period_ms: int) -> None:
            start_ms = START_US // 1000
            for n in range(1, 6):
                await clock.sleep_until(start_ms + n * period_ms)
                await asyncio.sleep(0.01)  # work of wall time
                seen.append((name, clock.now_ms() - start_ms))

        async def begin() -> None:
            await asyncio.sleep(0.1)
            emulator.set_speed(None)

        await asyncio.gather(service("fast", 10_000), service("slow", 25_000), begin())
        clock.close()
        return seen

    seen = play(tmp_path, [plan(micropython, IDLE)], act, speed=0)
    fast = [("fast", n * 10_000) for n in range(1, 6)]
    slow = [("slow", n * 25_000) for n in range(1, 6)]
    assert sorted(seen) == sorted(fast + slow) and [at for _, at in seen] == sorted(at for _, at in seen)


def test_a_held_clock_stands_and_a_forgotten_hold_is_reported(micropython: str, tmp_path: Path) -> None:
    async def act(emulator: Emulator) -> tuple[int, float, dict[str, int]]:
        timeline = emulator.timeline
        assert isinstance(timeline, LockStep)
        clock = SiteClock(emulator.clock_path, "gateway")
        with clock.hold("answer"):
            await asyncio.sleep(0.05)
            before_ms = clock.now_ms()
            await asyncio.sleep(0.2)
            stood = clock.now_ms() - before_ms
        await until(lambda: clock.now_ms() > before_ms)
        clock.gave()  # to a board that never gets it
        await asyncio.sleep(0.05)
        began, before_ms = time.monotonic(), clock.now_ms()
        await until(lambda: clock.now_ms() > before_ms)
        waited = time.monotonic() - began
        clock.close()
        return stood, waited, dict(timeline.overdue)

    stood, waited, overdue = play(tmp_path, [plan(micropython, IDLE)], act)
    assert stood == 0 and 1.5 < waited < 2.5
    assert overdue == {"message to a board": 1}


def test_what_a_dead_service_held_is_released(micropython: str, tmp_path: Path) -> None:
    async def act(emulator: Emulator) -> float:
        clock, other = SiteClock(emulator.clock_path), SiteClock(emulator.clock_path)
        clock.hold("something").__enter__()
        task = asyncio.create_task(clock.sleep_until(0))
        await asyncio.sleep(0.05)
        began, before_ms = time.monotonic(), other.now_ms()
        clock.close()
        await until(lambda: other.now_ms() > before_ms)
        task.cancel()
        other.close()
        return time.monotonic() - began

    assert play(tmp_path, [plan(micropython, IDLE)], act) < 1


def test_a_paced_clock_keeps_its_speed_and_can_change_it(micropython: str, tmp_path: Path) -> None:
    async def act(emulator: Emulator) -> list[float]:
        clock = SiteClock(emulator.clock_path)
        timeline = emulator.timeline
        assert isinstance(timeline, LockStep)
        speeds = []
        for speed in (20.0, 200.0):
            timeline.set_speed(speed)
            await asyncio.sleep(0.1)
            began, before_ms = time.monotonic(), clock.now_ms()
            await asyncio.sleep(0.5)
            speeds.append((clock.now_ms() - before_ms) / 1000 / (time.monotonic() - began))
        clock.close()
        return speeds

    slow, quick = play(tmp_path, [plan(micropython, IDLE)], act, speed=20)
    assert 16 < slow < 24 and 160 < quick < 240


def test_in_real_time_the_site_clock_is_the_wall_clock_with_an_offset(micropython: str, tmp_path: Path) -> None:
    async def run() -> tuple[int, float]:
        emulator = Emulator(tmp_path, [plan(micropython, IDLE)], speed=1, start_us=START_US)
        async with emulator:
            clock = SiteClock(emulator.clock_path)
            off_ms = clock.now_ms() - emulator.timeline.now_us() // 1000
            began = time.monotonic()
            await clock.sleep_until(clock.now_ms() + 200)
            clock.close()
            return abs(off_ms), time.monotonic() - began

    off_ms, slept = asyncio.run(run())
    assert off_ms <= 5 and 0.19 < slept < 0.4


def test_a_file_that_is_no_clock_is_refused(tmp_path: Path) -> None:
    (tmp_path / "clock").write_bytes(bytes(72))
    with pytest.raises(ValueError, match="no clock"):
        SiteClock(tmp_path / "clock")


def test_a_stubborn_board_does_not_stop_the_others(micropython: str, tmp_path: Path) -> None:
    async def act(emulator: Emulator) -> dict[str, int]:
        await lines(emulator, "second", "two")
        assert isinstance(emulator.timeline, LockStep)
        return dict(emulator.timeline.overdue)

    stuck = plan(micropython, "while True:\n    pass\n", "one")
    other = plan(micropython, "import time\ntime.sleep(5)\nprint('second')\n", "two")
    assert play(tmp_path, [stuck, other], act) == {"a board that does not come back": 1}


@pytest.mark.parametrize("width", ["micropython32", "micropython64"])
def test_months_of_asyncio_on_one_board(width: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """Longer than half the period of ticks on 32 bits, and longer than the whole."""
    main = """
        import asyncio, time
        counts = [0, 0]
        async def every(seconds, which):
            while True:
                await asyncio.sleep(seconds)
                counts[which] += 1
        async def main():
            event = asyncio.Event()
            asyncio.create_task(every(3600, 0))
            task = asyncio.create_task(every(4 * 86400, 1))
            for day in range(40):
                await asyncio.sleep(86400)
                asyncio.create_task(setter(event))
                await event.wait()
                event.clear()
                try:
                    await asyncio.wait_for(event.wait(), 1)
                except asyncio.TimeoutError:
                    pass
            task.cancel()
            print("done", counts, time.time())
        async def setter(event):
            event.set()
        asyncio.run(main())
    """

    async def act(emulator: Emulator) -> list[str]:
        return await lines(emulator, "done")

    printed = play(tmp_path, [plan(request.getfixturevalue(width), main)], act)
    assert printed == ["done [960, 10] 3456040"]
