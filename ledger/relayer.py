"""The relayer: carries proofs between the sister chains. Anyone may run one, and two at once do no harm.

Owns: what to do for each lock that is under way: take it up, acknowledge it, or have it refunded.
Refuses: nothing that counts: it is trusted with nothing, the chains check every proof.
Invariant: it keeps nothing; what is under way is asked from the chains each time, so a restart loses nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ledger.client import ChainClient
from ledger.contracts.lock import LOCKS, RECEIPTS
from wire.chain import kinds
from wire.chain.rest import NodeDown
from wire.errors import WireError

POLL_S = 0.05
RETRY_S = 1.0


@dataclass
class Relayer:
    """Carries what is locked on either chain to the other. `say` is told each step in plain words."""

    transaction: ChainClient
    schedule: ChainClient
    confirmations: int
    say: Callable[[str], None]

    async def run(self) -> None:
        ways = ((self.transaction, self.schedule), (self.schedule, self.transaction))
        async with asyncio.TaskGroup() as group:
            for source, target in ways:
                group.create_task(self._carry(source, target))

    async def _carry(self, source: ChainClient, target: ChainClient) -> None:
        while True:
            try:
                for lock in (await source.query("lock"))["under_way"]:
                    await self.one(source, target, lock)
                await asyncio.sleep(POLL_S)
            except (NodeDown, WireError) as trouble:
                self.say(f"{source.chain} → {target.chain}: {trouble}")
                await asyncio.sleep(RETRY_S)

    async def one(self, source: ChainClient, target: ChainClient, lock: dict[str, Any]) -> None:
        """The next step for one lock."""
        number = lock["lock"]
        height, time_s = await target.status()
        height = max(height, 1)  # a chain that has no block yet makes its first one for this proof
        receipt = await target.evidence(RECEIPTS.key(number), height)
        if receipt.value is not None:
            await self._acknowledge(source, target, number, height)
        elif time_s < lock["deadline_s"]:
            await self._take_up(source, target, number, lock["height"] + self.confirmations)
        else:
            await self._refund(source, target, number, height, receipt.proof)

    async def _take_up(self, source: ChainClient, target: ChainClient, number: int, height: int) -> None:
        evidence = await source.evidence(LOCKS.key(number), height)
        if evidence.value is None:
            return  # acknowledged or refunded since we asked
        header = await header_for(source, target, evidence.height)
        proof = [evidence.height, evidence.value, evidence.proof]
        unlock = kinds.Unlock(lock=number, proof=proof)
        done = await self._send(target, f"lock {number} of {source.chain}", *header, unlock)
        if done:
            await self._acknowledge(source, target, number, done)

    async def _acknowledge(self, source: ChainClient, target: ChainClient, number: int, height: int) -> None:
        evidence = await target.evidence(RECEIPTS.key(number), height + self.confirmations)
        if evidence.value is None:
            return
        header = await header_for(target, source, evidence.height)
        proof = [evidence.height, evidence.value, evidence.proof]
        await self._send(source, f"receipt of lock {number}", *header, kinds.Acknowledge(lock=number, proof=proof))

    async def _refund(self, source: ChainClient, target: ChainClient, number: int, height: int, proof: bytes) -> None:
        header = await header_for(target, source, height)
        body = kinds.Refund(lock=number, height=height, proof=proof)
        await self._send(source, f"refund of lock {number}", *header, body)

    async def _send(self, chain: ChainClient, what: str, *bodies: kinds.Kind) -> int:
        """The height it is in force at, 0 where it was refused."""
        outcomes = await chain.send(*bodies)
        last = outcomes[-1]
        # Another relayer may have been first, or the block is not there yet: the next look tells.
        if last.reason:
            self.say(f"{what}: {chain.chain} says {last.reason} {last.detail}")
            return 0
        self.say(f"{what}: in block {last.height} of {chain.chain}")
        return last.height


async def header_for(of: ChainClient, to: ChainClient, height: int) -> list[kinds.Kind]:
    """What makes `to` know that header of `of`: nothing, where it does already."""
    client = next(one for one in await to.query("clients") if one["chain"] == of.chain)
    if height in client["heights"]:
        return []
    known = max((one for one in client["heights"] if one < height), default=0)
    return [kinds.Header(chain=of.chain, block=await of.light_block(height, known))]
