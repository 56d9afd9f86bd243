"""The ledger node, followed over HTTP as an auditor: blocks as they come, names and balances.

Owns: how often it asks, what it asks again after an event, who is there and since when not.
Refuses: sending transactions. Invariant: a node that does not answer leaves what was known as it was, and a word that
it does not answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ledger.client import ChainClient, ClientBlock
from pilot.page.chains import Chains
from wire.chain.kinds import SCHEDULE, SISTERS, TRANSACTION
from wire.chain.rest import NodeDown
from wire.ids import id_bytes, id_text

POLL_S = 0.5
BACK = 400  # blocks before the page's start that it looks at
REFRESH_S = 5.0  # of what no event announces
ID_BYTES = 8


@dataclass
class Node:
    clients: Mapping[str, ChainClient]
    chains: Chains
    names: dict[bytes, str] = field(default_factory=dict)
    tokens_mt: dict[bytes, int] = field(default_factory=dict)
    rights_wh: dict[bytes, int] = field(default_factory=dict)
    stations: dict[bytes, dict[str, Any]] = field(default_factory=dict)
    totals: dict[str, dict[str, Any]] = field(default_factory=dict)
    down: dict[str, str] = field(default_factory=dict)  # sort: why
    _moved: dict[str, set[bytes]] = field(default_factory=lambda: {sort: set() for sort in SISTERS})
    _members: dict[str, set[bytes]] = field(default_factory=lambda: {sort: set() for sort in SISTERS})

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for sort in self.clients:
                group.create_task(self._follow(sort))
            for sort in SISTERS:
                group.create_task(self._keep(sort))

    async def _follow(self, sort: str) -> None:
        client, at = self.clients[sort], -1
        while True:
            try:
                if at < 0:
                    at = max((await client.status())[0] - BACK, 0)
                top, _ = await client.news(at)
                while at < top:
                    block = await client.block(at + 1)
                    at += 1
                    self._take(sort, block)
                self.down.pop(sort, None)
            except NodeDown as down:
                self.down[sort] = str(down)
                await asyncio.sleep(POLL_S)

    def _take(self, sort: str, block: ClientBlock) -> None:
        self.chains.take(sort, block)
        if sort in SISTERS:
            values = (value for _, fields in block.events for value in fields.values())
            self._moved[sort] |= {value for value in values if isinstance(value, bytes) and len(value) == ID_BYTES}

    async def _keep(self, sort: str) -> None:
        """Balances of accounts that something happened to; everything else now and then."""
        client, purses = self.clients[sort], self.tokens_mt if sort == TRANSACTION else self.rights_wh
        waited_s = REFRESH_S
        while True:
            try:
                if waited_s >= REFRESH_S:
                    waited_s = 0.0
                    await self._refresh(sort, client)
                moved, self._moved[sort] = self._moved[sort], set()
                for account in (moved & self._members[sort]) | (self._members[sort] - set(purses)):
                    purses[account] = int(await client.query("balance", id_text(account)))
            except NodeDown as down:
                self.down[sort] = str(down)
            await asyncio.sleep(POLL_S)
            waited_s += POLL_S

    async def _refresh(self, sort: str, client: ChainClient) -> None:
        members = {id_bytes(row["id"]): str(row["name"]) for row in await client.query("accounts")}
        self._members[sort] = set(members)
        self.names |= members
        self.totals[sort] = await client.query("lock")
        if sort == SCHEDULE:
            self.stations = {id_bytes(row["id"]): row for row in await client.query("stations")}
