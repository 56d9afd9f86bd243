"""The courier: takes registry entries from the main chain to the schedule chain, and time to what is due.

Owns: which entries the schedule chain lacks, and which grants have come to an end that nobody said.
Refuses: nothing that counts: like the relayer it is trusted with nothing.
Invariants: it keeps nothing that counts between two looks; where no chain moved it asks for their heights and no more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ledger.client import ChainClient
from ledger.contracts.devices import DEVICES
from ledger.contracts.grants import CLOSING, OPEN
from ledger.relayer import header_for
from wire.chain import kinds
from wire.chain.rest import NodeDown
from wire.errors import WireError
from wire.ids import id_bytes

NEWS_S = 1
RETRY_S = 1.0


@dataclass
class Courier:
    main: ChainClient
    schedule: ChainClient
    now_s: Callable[[], int]
    say: Callable[[str], None]

    async def run(self) -> None:
        seen: tuple[int, int] | None = None
        grants: list[dict[str, Any]] = []
        while True:
            try:
                heights = (await self.main.status())[0], (await self.schedule.status())[0]
                if seen is None or heights[0] != seen[0]:
                    await self.entries()
                if seen is None or heights[1] != seen[1]:
                    grants = await self.schedule.query("grants")
                seen = heights
                await self.ends(grants)
                await self.main.news(heights[0], NEWS_S)  # entries are brought at once, ends a little later
            except (NodeDown, WireError) as trouble:
                self.say(f"registry: {trouble}")
                seen = None
                await asyncio.sleep(RETRY_S)

    async def entries(self) -> None:
        known = {row["id"]: row["serial"] for row in await self.schedule.query("devices")}
        for row in await self.main.query("devices"):
            if known.get(row["id"], -1) < row["serial"]:
                await self._entry(row["id"], row["name"])

    async def _entry(self, id: str, name: str) -> None:
        device = id_bytes(id)
        height, _ = await self.main.status()
        evidence = await self.main.evidence(DEVICES.key(device), height + 1)
        if evidence.value is None:
            return
        header = await header_for(self.main, self.schedule, evidence.height)
        proof = [evidence.height, evidence.value, evidence.proof]
        outcome = (await self.schedule.send(*header, kinds.TakeEntry(device=device, proof=proof)))[-1]
        self.say(f"entry of {name}: {outcome.reason or 'taken'} {outcome.detail}".rstrip())

    async def ends(self, grants: list[dict[str, Any]]) -> None:
        now_s = self.now_s()
        for grant in grants:
            due = {OPEN: grant["lease_until"], CLOSING: grant["claim_until"]}.get(grant["status"])
            if due is not None and now_s > due:
                outcome = (await self.schedule.send(kinds.Expire(grant=grant["number"])))[0]
                self.say(f"end of grant {grant['number']}: {outcome.reason or 'taken'} {outcome.detail}".rstrip())
