"""The page as a part of the pilot: sources, hub and web server put together.

Owns: the tasks that read the gateway's disk and follow the ledger node, and the server's life.
Refuses: any address but this machine's own.
"""

from __future__ import annotations

import asyncio
import itertools
import sqlite3
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import uvicorn
from starlette.applications import Starlette

from gateway.store_layout import LayoutError
from hardware.emulator.clock import WallClock
from ledger.client import ChainClient
from pilot.founding import SORTS, Founded
from pilot.page.boards import Notice
from pilot.page.cabinet import Cabinet, GatewayDisk
from pilot.page.website import Website, build

if TYPE_CHECKING:
    from pilot.plan import Plan

LOOK_S = 0.5
NAMES_EVERY = 20  # looks: a board is replaced now and then
FAILED = b"FAILED "  # how a part says in its log why it ended


async def serve(founded: Founded, plan: Plan, clock: WallClock, say: Callable[[str], None]) -> None:
    site, folder = founded.site, founded.folder
    cabinet = GatewayDisk(folder / "gateway" / "gateway.db", clock.now_ms() // 1_000, site.utc_offset_min)
    accounts = {name: founded.account(name) for name in founded.keys}
    key = founded.keys["observer"]
    async with httpx.AsyncClient(base_url=plan.ledger_url, timeout=20) as http:
        clients = {sort: ChainClient(http, founded.chains[sort], key, key.kid) for sort in SORTS}
        website = build(site, founded.chains, accounts, clients, clock.now_ms, plan.speed)
        server = Server(website.app, plan.page_port)
        async with asyncio.TaskGroup() as group:
            group.create_task(website.node.run())
            group.create_task(website.hub.run())
            group.create_task(_look(cabinet, website, Logs(folder / "run", clock.now_ms)))
            say(f"the page: http://127.0.0.1:{plan.page_port}/")
            await server.serve()


class Server(uvicorn.Server):
    """Signals belong to the process, which cancels `serve`."""

    def __init__(self, app: Starlette, port: int) -> None:
        options = {"log_level": "warning", "access_log": False, "lifespan": "off", "timeout_graceful_shutdown": 1}
        super().__init__(uvicorn.Config(app, host="127.0.0.1", port=port, **options))  # type: ignore[arg-type]

    def capture_signals(self) -> AbstractContextManager[None]:  # type: ignore[override]
        return nullcontext()


async def _look(cabinet: Cabinet, website: Website, logs: Logs) -> None:
    """Reads on, a little at a time: a long day must not keep the page from answering."""
    boards, street, chains = website.boards, website.street, website.chains
    for look in itertools.count():
        try:
            while found := cabinet.messages():
                for stored in found:
                    boards.take(stored)
                await asyncio.sleep(0)
            if look % NAMES_EVERY == 0 or len(street.board_ids) < len(street.site.boards):
                street.board_ids |= {name: device for device, name in cabinet.names().items()}
            boards.notices.extend(cabinet.refused())
            street.alarms = cabinet.alarms()
            chains.sealed, chains.waiting = cabinet.blocks(), cabinet.waiting()
            street.parts.pop("the gateway's disk", None)
        except (sqlite3.Error, LayoutError) as error:  # locked, or just being made: it is asked again
            street.parts["the gateway's disk"] = f"cannot be read: {error}"
        boards.notices.extend(logs.look())
        await asyncio.sleep(LOOK_S)


class Logs:
    """Parts that ended with an error, by the last words in their logs."""

    def __init__(self, folder: Path, now_ms: Callable[[], int]) -> None:
        self._folder = folder
        self._now_ms = now_ms
        self._read = {path: path.stat().st_size for path in folder.glob("*.log")}

    def look(self) -> list[Notice]:
        found = []
        for path in self._folder.glob("*.log"):
            size = path.stat().st_size
            if size > self._read.get(path, 0):
                with path.open("rb") as log:
                    log.seek(self._read.get(path, 0))
                    lines = log.read(size - self._read.get(path, 0)).splitlines()
                self._read[path] = size
                words = [
                    line.removeprefix(FAILED).decode(errors="replace") for line in lines if line.startswith(FAILED)
                ]
                at_s = self._now_ms() // 1_000
                found += [Notice(at_s, f"the {path.stem}", f"ended and starts again: {one}", True) for one in words]
        return found
