"""The relayer: carries proofs between the sister chains. Anyone may run one, and two at once do no harm.

Owns: what to do for each lock that is under way: take it up, acknowledge it, or have it refunded.
Refuses: nothing that counts: it is trusted with nothing, the chains check every proof.
Invariants: it keeps nothing that counts; what is under way is asked from the chains after each of their blocks, so a
restart loses nothing; while no block comes it asks nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ledger.client import ChainClient, Evidence
from ledger.contracts.lock import LOCKS, RECEIPTS
from wire.chain import kinds
from wire.chain.rest import NodeDown
from wire.errors import WireError

NEWS_S = 10  # one question for news stands so long
RETRY_S = 1.0  # after a failure, or a step that was refused
RETRY_S_MAX = 60.0  # of a step that is refused again and again, twice as long each time
OTHERS_FIRST = ("already", "unknown-lock", "known-header", "not-later", "sequence")  # another relayer was quicker


@dataclass
class Relayer:
    """Carries what is locked on either chain to the other. `say` is told each step in plain words."""

    transaction: ChainClient
    schedule: ChainClient
    confirmations: int
    say: Callable[[str], None]

    _refused: dict[tuple[str, int], tuple[float, float]] = field(default_factory=dict)  # lock -> wait, not before

    async def run(self) -> None:
        ways = ((self.transaction, self.schedule), (self.schedule, self.transaction))
        async with asyncio.TaskGroup() as group:
            for source, target in ways:
                group.create_task(self._carry(source, target))

    async def _carry(self, source: ChainClient, target: ChainClient) -> None:
        while True:
            try:
                heights = (await source.status())[0], (await target.status())[0]
                left = await self.look(source, target)
                await _news(source, target, heights, left, self._patience_s(source))
            except (NodeDown, WireError) as trouble:
                self.say(f"{source.chain} → {target.chain}: {trouble}")
                await asyncio.sleep(RETRY_S)

    async def look(self, source: ChainClient, target: ChainClient) -> bool:
        """The next step for every lock that is under way; whether any is."""
        under_way = (await source.query("lock"))["under_way"]
        known = {(source.chain, lock["lock"]) for lock in under_way}
        for name in [name for name in self._refused if name[0] == source.chain and name not in known]:
            del self._refused[name]
        for lock in under_way:
            if self._refused.get((source.chain, lock["lock"]), (0.0, 0.0))[1] <= _now_s():
                await self.one(source, target, lock)
        return bool(under_way)

    def _patience_s(self, source: ChainClient) -> float:
        """How long until something that was refused is to be tried again."""
        waits = [until_s - _now_s() for (chain, _), (_, until_s) in self._refused.items() if chain == source.chain]
        return max(min(waits, default=float(NEWS_S)), RETRY_S)

    async def one(self, source: ChainClient, target: ChainClient, lock: dict[str, Any]) -> None:
        """The next step for one lock."""
        number = lock["lock"]
        height, time_s = await target.status()
        height = max(height, 1)  # a chain that has no block yet makes its first one for this proof
        receipt = await evidence_of(target, RECEIPTS.key(number), height)
        if receipt.value is not None:
            await self._acknowledge(source, target, number, receipt.height)
        elif time_s < lock["deadline_s"]:
            await self._take_up(source, target, number, lock["height"] + self.confirmations)
        else:
            await self._refund(source, target, number, receipt.height, receipt.proof)

    async def _take_up(self, source: ChainClient, target: ChainClient, number: int, height: int) -> None:
        evidence = await evidence_of(source, LOCKS.key(number), height)
        if evidence.value is None:
            return  # acknowledged or refunded since we asked
        header = await header_for(source, target, evidence.height)
        proof = [evidence.height, evidence.value, evidence.proof]
        unlock = kinds.Unlock(lock=number, proof=proof)
        done = await self._send((source.chain, number), target, f"lock {number} of {source.chain}", *header, unlock)
        if done:
            await self._acknowledge(source, target, number, done)

    async def _acknowledge(self, source: ChainClient, target: ChainClient, number: int, height: int) -> None:
        evidence = await evidence_of(target, RECEIPTS.key(number), height + self.confirmations)
        if evidence.value is None:
            return
        header = await header_for(target, source, evidence.height)
        proof = [evidence.height, evidence.value, evidence.proof]
        body = kinds.Acknowledge(lock=number, proof=proof)
        await self._send((source.chain, number), source, f"receipt of lock {number}", *header, body)

    async def _refund(self, source: ChainClient, target: ChainClient, number: int, height: int, proof: bytes) -> None:
        header = await header_for(target, source, height)
        body = kinds.Refund(lock=number, height=height, proof=proof)
        await self._send((source.chain, number), source, f"refund of lock {number}", *header, body)

    async def _send(self, lock: tuple[str, int], chain: ChainClient, what: str, *bodies: kinds.Kind) -> int:
        """The height it is in force at, 0 where it was refused."""
        outcomes = await chain.send(*bodies)
        last = outcomes[-1]
        # Another relayer may have been first, or the block is not there yet: the next look tells.
        if last.reason:
            self._refuse(lock, last.reason)
            self.say(f"{what}: {chain.chain} says {last.reason} {last.detail}")
            return 0
        self.say(f"{what}: in block {last.height} of {chain.chain}")
        return last.height

    def _refuse(self, lock: tuple[str, int], reason: str) -> None:
        wait_s = RETRY_S
        if reason not in OTHERS_FIRST and lock in self._refused:
            wait_s = min(self._refused[lock][0] * 2, RETRY_S_MAX)
        self._refused[lock] = wait_s, _now_s() + wait_s


async def _news(source: ChainClient, target: ChainClient, heights: tuple[int, int], left: bool, wait_s: float) -> None:
    """Until the source has a block above that height, or, where locks are left, the target: the time of its blocks
    decides on refunds, and it may hold a receipt that another relayer brought."""
    asking = [asyncio.ensure_future(source.news(heights[0], NEWS_S))]
    if left:
        asking.append(asyncio.ensure_future(target.news(heights[1], NEWS_S)))
    try:
        done, _ = await asyncio.wait(asking, timeout=wait_s, return_when=asyncio.FIRST_COMPLETED)
        for one in done:
            one.result()
    finally:
        for one in asking:
            one.cancel()
        await asyncio.gather(*asking, return_exceptions=True)


def _now_s() -> float:
    return asyncio.get_running_loop().time()


async def evidence_of(chain: ChainClient, key: bytes, height: int) -> Evidence:
    """Under the header of that height; where the node was started anew since and keeps no older states, under the next
    one that it makes."""
    try:
        return await chain.evidence(key, height)
    except WireError as error:
        if error.reason != "too-old":
            raise
    return await chain.evidence(key, (await chain.status())[0] + 1)


async def header_for(of: ChainClient, to: ChainClient, height: int) -> list[kinds.Kind]:
    """What makes `to` know that header of `of`: nothing, where it does already."""
    client = next(one for one in await to.query("clients") if one["chain"] == of.chain)
    if height in client["heights"]:
        return []
    known = max((one for one in client["heights"] if one < height), default=0)
    return [kinds.Header(chain=of.chain, block=await of.light_block(height, known))]
