"""The pilot's parts, each as a process of its own: what `python -m pilot.processes PART FOLDER` does.

Owns: building one part from the founded folder and running it until SIGTERM.
Refuses: starting others, watching others: that is pilot/supervisor.py's.
Invariant: every part takes its time from the site clock.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any

from hardware import site as sites
from hardware.emulator.clock import SiteClock
from pilot.founding import SORTS, Founded, found
from pilot.plan import Plan


class EngineClock:
    """The site clock as an engine asks for it."""

    def __init__(self, clock: SiteClock) -> None:
        self._clock = clock

    def now_ns(self) -> int:
        return self._clock.now_ns()

    async def sleep(self, seconds: float) -> None:
        await self._clock.sleep_until(self._clock.now_ms() + int(seconds * 1_000))


def say(words: str) -> None:
    print(words, flush=True)


def site_clock(folder: Path, name: str) -> SiteClock:
    return SiteClock(folder / "boards" / "clock", name)


# ---------------------------------------------------------------- the parts


async def ledger(founded: Founded, plan: Plan) -> None:
    from ledger.service import ChainConfig, Config, Service

    chains = [ChainConfig(sort, founded.genesis(sort), founded.validator(sort), founded.store(sort)) for sort in SORTS]
    config = Config(chains, port=plan.ledger_port, dispatch_key=founded.key_file("dispatch"))
    await Service(config, EngineClock(site_clock(founded.folder, "ledger")), say).run()


async def gateway(founded: Founded, plan: Plan) -> None:
    from gateway.config import load
    from gateway.service import Gateway, load_key

    config = load(founded.folder / "gateway" / "gateway.toml")
    await Gateway(config, load_key(config), site_clock(founded.folder, "gateway"), say).run()


async def relayer(founded: Founded, plan: Plan) -> None:
    import httpx

    from ledger.client import ChainClient
    from ledger.courier import Courier
    from ledger.relayer import Relayer

    clock = site_clock(founded.folder, "relayer")
    key = founded.keys["relay"]
    assert founded.site.ledger is not None
    async with httpx.AsyncClient(base_url=plan.ledger_url, timeout=20) as http:
        main, transaction, schedule = (ChainClient(http, founded.chains[sort], key, key.kid) for sort in SORTS)
        relaying = Relayer(transaction, schedule, founded.site.ledger.confirmations, say)
        carrying = Courier(main, schedule, lambda: clock.now_ms() // 1_000, say)
        async with asyncio.TaskGroup() as group:
            group.create_task(relaying.run())
            group.create_task(carrying.run())


async def emulator(founded: Founded, plan: Plan) -> None:
    from pilot.boards import run_boards

    await run_boards(founded, plan, say)


async def page(founded: Founded, plan: Plan) -> None:
    from pilot.page.service import serve

    await serve(founded, plan, site_clock(founded.folder, "page"), say)


PARTS: dict[str, Callable[[Founded, Plan], Coroutine[Any, Any, None]]] = {
    "ledger": ledger,
    "gateway": gateway,
    "relayer": relayer,
    "emulator": emulator,
    "page": page,
}


def main(part: str, folder: Path) -> int:
    plan = Plan.read(folder)
    founded = found(sites.load(plan.site), folder)

    async def run() -> None:
        task = asyncio.ensure_future(PARTS[part](founded, plan))
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, task.cancel)
        with suppress(asyncio.CancelledError):
            await task

    try:
        asyncio.run(run())
    except Exception as failure:  # the top of a part's process
        for cause in getattr(failure, "exceptions", [failure]):
            say(f"FAILED {type(cause).__name__}: {cause}")
        if "TALLYGRID_TRACE" in os.environ:
            raise
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2])))
