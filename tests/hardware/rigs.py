"""What the tests of the emulator share: plans for boards with a few lines of main.py, waiting for what they print.

Owns: `plan`, `fault`, `until`, `lines`, `play`. Refuses: assertions.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from textwrap import dedent
from types import SimpleNamespace
from typing import TypeVar

from hardware.emulator.board import BoardSpec
from hardware.emulator.port import Wiring
from hardware.emulator.runner import Emulator, Plan

START_US = 1_800_000_000_000_000
T = TypeVar("T")


def plan(
    micropython: str, main: str, name: str = "one", wiring: Wiring | None = None, seed: int = 1, **spec: object
) -> Plan:
    fields = {"seed": seed.to_bytes(8, "big"), **spec}
    return Plan(
        spec=BoardSpec(name=name, micropython=Path(micropython), **fields),  # type: ignore[arg-type]
        files={"main.py": dedent(main).encode()},
        wiring=wiring or Wiring(),
        flash_blocks=64,
        seed=seed,
    )


def fault(kind: str, at_s: int, for_s: int = 0, amount: int | None = None, seed: int = 0) -> object:
    return SimpleNamespace(kind=kind, on="one", at_s=at_s, for_s=for_s, amount=amount, seed=seed)


async def until(condition: Callable[[], bool], timeout_s: float = 10) -> None:
    async with asyncio.timeout(timeout_s):
        while not condition():
            await asyncio.sleep(0.002)


async def lines(
    emulator: Emulator, last: str, name: str = "one", timeout_s: float = 10, after: int = 0
) -> list[str]:
    """What a board has printed once a line, not one of the first `after`, begins with `last`."""
    log = emulator.rigs[name].board.log
    try:
        await until(lambda: any(line.startswith(last) for line in list(log)[after:]), timeout_s)
    except TimeoutError:
        raise AssertionError(f"no line {last!r}, but:\n" + "\n".join(log)) from None
    return list(log)


def play(
    folder: Path, plans: Sequence[Plan], act: Callable[[Emulator], Awaitable[T]], speed: float | None = None,
    **options: object,
) -> T:  # fmt: skip
    """Start an emulator, let `act` play with it, stop it."""

    async def run() -> T:
        start_us = None if speed == 1 else START_US
        emulator = Emulator(folder, plans, speed=speed, start_us=start_us, **options)  # type: ignore[arg-type]
        async with emulator:
            return await act(emulator)

    return asyncio.run(run())
