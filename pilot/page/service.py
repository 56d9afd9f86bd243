"""The page as a part of the pilot: sources, hub and web server put together.

Owns: the tasks that read the gateway's disk and follow the ledger node, and the server's life.
Refuses: any address but this machine's own.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import uvicorn

from hardware.emulator.clock import WallClock
from ledger.client import ChainClient
from pilot.founding import SORTS, Founded
from pilot.page.app import Page, create_app
from pilot.page.boards import Boards, Notice
from pilot.page.cabinet import Cabinet, GatewayDisk
from pilot.page.chains import Chains
from pilot.page.chainspage import ChainsPage
from pilot.page.hub import Hub
from pilot.page.node import Node
from pilot.page.street import StreetPage

if TYPE_CHECKING:
    from pilot.processes import Plan

LOOK_S = 0.5
FAILED = b"FAILED "  # how a part says in its log why it ended


async def serve(founded: Founded, plan: Plan, clock: WallClock, say: Callable[[str], None]) -> None:
    site = founded.site
    assert site.ledger is not None
    cabinet = GatewayDisk(founded.folder / "gateway" / "gateway.db", clock.now_ms() // 1_000, site.utc_offset_min)
    boards = Boards(site.utc_offset_min)
    chains = Chains(founded.chains, site.ledger.confirmations)
    async with httpx.AsyncClient(base_url=plan.ledger_url, timeout=20) as http:
        key = founded.keys["observer"]
        node = Node({sort: ChainClient(http, founded.chains[sort], key, key.kid) for sort in SORTS}, chains)
        accounts = {name: founded.account(name) for name in founded.keys}
        street = StreetPage(site, boards, {}, node, chains, accounts, {})
        ledger = ChainsPage(chains, node, boards, street.name, site.utc_offset_min, site.ledger.unit_wh)
        hub = Hub({"street": street.view, "chains": ledger.view}, clock.now_ms)
        pages = [
            Page("street", "Street", "/", {"street": street.street, "cards": street.cards}),
            Page("chains", "Chains", "/chains", {"chains": founded.chains}),
        ]
        server = _Server(
            uvicorn.Config(
                create_app(hub, pages, site.title, site.utc_offset_min),
                host="127.0.0.1",
                port=plan.page_port,
                log_level="warning",
                access_log=False,
                timeout_graceful_shutdown=1,
                lifespan="off",
            )
        )
        logs = Logs(founded.folder / "run", clock.now_ms)
        async with asyncio.TaskGroup() as group:
            group.create_task(node.run())
            group.create_task(hub.run())
            group.create_task(_look(cabinet, street, ledger, logs))
            say(f"the page: http://127.0.0.1:{plan.page_port}/")
            await server.serve()


class _Server(uvicorn.Server):
    """Signals belong to the process, which cancels `serve`."""

    def capture_signals(self) -> AbstractContextManager[None]:  # type: ignore[override]
        return nullcontext()


async def _look(cabinet: Cabinet, street: StreetPage, chains: ChainsPage, logs: Logs) -> None:
    """Reads on, a little at a time: a long day must not keep the page from answering."""
    boards = street.boards
    while True:
        try:
            while found := cabinet.messages():
                for stored in found:
                    boards.take(stored)
                await asyncio.sleep(0)
            street.board_ids |= {name: device for device, name in cabinet.names().items()}
            boards.notices.extend(cabinet.refused())
            chains.sealed, chains.waiting = cabinet.blocks(), cabinet.waiting()
            street.parts.pop("the gateway's disk", None)
        except sqlite3.OperationalError as error:  # locked, or just being made: it is asked again
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
