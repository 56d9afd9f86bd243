"""The courier: takes registry entries from the main chain to the schedule chain, and time to what is due.

Owns: which entries the schedule chain lacks, and which grants have come to an end that nobody said.
Refuses: nothing that counts: like the relayer it is trusted with nothing.
Invariant: it keeps nothing between two looks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from ledger.client import ChainClient
from ledger.contracts.devices import DEVICES
from ledger.contracts.grants import CLOSING, OPEN
from ledger.relayer import header_for
from wire.chain import kinds
from wire.chain.rest import NodeDown
from wire.errors import WireError
from wire.ids import id_bytes

POLL_S = 0.25
RETRY_S = 1.0


@dataclass
class Courier:
    main: ChainClient
    schedule: ChainClient
    now_s: Callable[[], int]
    say: Callable[[str], None]

    async def run(self) -> None:
        while True:
            try:
                await self.entries()
                await self.ends()
                await asyncio.sleep(POLL_S)
            except (NodeDown, WireError) as trouble:
                self.say(f"registry: {trouble}")
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

    async def ends(self) -> None:
        now_s = self.now_s()
        for grant in await self.schedule.query("grants"):
            due = {OPEN: grant["lease_until"], CLOSING: grant["claim_until"]}.get(grant["status"])
            if due is not None and now_s > due:
                outcome = (await self.schedule.send(kinds.Expire(grant=grant["number"])))[0]
                self.say(f"end of grant {grant['number']}: {outcome.reason or 'taken'} {outcome.detail}".rstrip())
