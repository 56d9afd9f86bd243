"""One process, one file: blocks without a consortium, in the format that a consortium's light client reads.

Owns: the block rule (when a block is made), and the order apply, disk, memory, receipts.
Refuses: to go on after a write that failed; the next start recovers.
Invariants: what a receipt names is on the disk; starting after a crash is starting; blocks are made by one thread,
while others check the signatures of what comes in.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ledger.app import App
from ledger.engines.base import BaseEngine, recover
from ledger.engines.pool import Waiting
from ledger.engines.port import Clock
from ledger.engines.sealer import MAX_BYTES, Sealed, Sealer
from ledger.genesis import Genesis
from ledger.light import LightBlock
from ledger.store import Store, StoreError


class Rules(NamedTuple):
    """When a block is made. `max_wait_s` is wall time from the first waiting transaction, `idle_s` site time."""

    max_wait_s: float = 0.2
    max_txs: int = 1_000
    idle_s: float = 30.0


class LocalEngine(BaseEngine):
    def __init__(
        self, app: App, store: Store, genesis: Genesis, key: Ed25519PrivateKey, clock: Clock, rules: Rules | None = None
    ) -> None:
        super().__init__(app, store, genesis)
        self._clock = clock
        self._rules = rules or Rules()
        self._sealer = Sealer(app, genesis, key)
        self._wanted = 0
        self._stir = asyncio.Event()  # there may be something to make a block for
        self._maker = ThreadPoolExecutor(1, thread_name_prefix="block")
        self._task: asyncio.Task[None] | None = None

    # ------------------------------------------------------------ life

    async def start(self) -> None:
        recover(self.app, self.store, self.genesis)
        block = self.store.block(self.app.height)
        if block is not None:
            self._sealer.follows(block)
        self._task = asyncio.create_task(self._run(), name="blocks of " + self.app.chain_id)

    async def stop(self) -> None:
        """After the block that is being made. What still waits is told so, and may be sent again."""
        await self._end(StoreError("the engine was stopped"))
        if self._task is not None:
            await self._task
        self._checker.shutdown()
        self._maker.shutdown()

    async def _end(self, failure: Exception) -> None:
        self._stir.set()
        await super()._end(failure)

    # ------------------------------------------------------------ blocks

    async def _taken(self, waiting: Sequence[Waiting]) -> None:
        self._stir.set()

    def want(self, height: int) -> None:
        self._wanted = max(self._wanted, height)
        self._stir.set()

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        looked_s, made = 0.0, True
        try:
            while self._failure is None:
                await self._stirred(looked_s, made)
                looked_s = loop.time()
                picked = self._pool.pick(self.app.turns(), self._rules.max_txs, MAX_BYTES, looked_s)
                made = bool(picked) or self._is_wanted() or self._idle_left_s() <= 0
                if made and self._failure is None:
                    await self._make(picked)
        except Exception as failure:  # the top of this chain: nothing goes on after it
            await self._end(failure)

    async def _stirred(self, looked_s: float, made: bool) -> None:
        """Until the rules ask for a block, or what waits has waited long enough to be looked at. `made`: the last look
        at it gave a block; where it did not, a full pool is no reason to hurry."""
        loop = asyncio.get_running_loop()
        if not self._pool and not self._is_wanted():
            idle = asyncio.ensure_future(self._clock.sleep(self._idle_left_s()))
            stir = asyncio.ensure_future(self._stir.wait())
            await asyncio.wait({idle, stir}, return_when=asyncio.FIRST_COMPLETED)
            idle.cancel()
            stir.cancel()
        oldest_s = self._pool.oldest_s()
        end_s = max(loop.time() if oldest_s is None else oldest_s, looked_s) + self._rules.max_wait_s
        while self._failure is None and loop.time() < end_s and self._idle_left_s() > 0:
            if made and len(self._pool) >= self._rules.max_txs:
                break
            self._stir.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stir.wait(), end_s - loop.time())
        self._stir.clear()

    def _is_wanted(self) -> bool:
        return self.app.height < max(self._wanted, self.app.awaits())

    def _idle_left_s(self) -> float:
        return self._rules.idle_s - (self._clock.now_ns() - self._sealer.time_ns) / 1e9

    async def _make(self, picked: Sequence[Waiting]) -> None:
        loop = asyncio.get_running_loop()
        txs = [waiting.raw for waiting in picked]
        sealed = await loop.run_in_executor(self._maker, self._seal_and_write, txs, self._clock.now_ns())
        # Only here, on the loop's thread, does what queries and proofs see move on.
        self.app.commit()
        self._sealer.follows(sealed.block)
        self._pool.settle(sealed.block.height, txs, sealed.block.results)
        await self._tell()

    def _seal_and_write(self, txs: Sequence[bytes], now_ns: int) -> Sealed:
        sealed = self._sealer.seal(txs, now_ns)
        self.store.write(sealed.applied.diff, sealed.block, sealed.applied.places)
        return sealed

    async def light_block(self, height: int, known_height: int | None = None) -> LightBlock | None:
        block = self.store.block(height)
        if block is None or block.light is None:
            return None
        light = LightBlock.decode(block.light)
        skips = known_height is not None and height != known_height + 1
        return light._replace(known=self._sealer.validators) if skips else light
