"""One process, one file: blocks without a consortium, in the format that a consortium's light client reads.

Owns: the block rule (when a block is made), the order apply - disk - memory - receipts, followers, recovery.
Refuses: to go on after a write that failed; the next start recovers.
Invariants: what a receipt names is on the disk; starting after a crash is starting; blocks are made by one thread,
while another checks the signatures of what comes in.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ledger.app import App, Result
from ledger.engines.pool import WAITING_MAX, Pool, Waiting
from ledger.engines.port import Clock, Evidence, Receipt
from ledger.engines.sealer import MAX_BYTES, Sealed, Sealer
from ledger.genesis import Genesis
from ledger.light import LightBlock
from ledger.store import Block, Store, StoreError
from wire.chain import tx as transaction
from wire.errors import WireError


class Rules(NamedTuple):
    """When a block is made. `max_wait_s` is wall time from the first waiting transaction, `idle_s` site time."""

    max_wait_s: float = 0.2
    max_txs: int = 1_000
    idle_s: float = 30.0


class LocalEngine:
    def __init__(
        self, app: App, store: Store, genesis: Genesis, key: Ed25519PrivateKey, clock: Clock, rules: Rules | None = None
    ) -> None:
        self.app = app
        self.store = store
        self._genesis = genesis
        self._clock = clock
        self._rules = rules or Rules()
        self._sealer = Sealer(app, genesis, key)
        self._pool = Pool()
        self._wanted = 0
        self._taken_in: asyncio.Future[None] | None = None  # the batch that came last
        self._stir = asyncio.Event()  # there may be something to make a block for
        self._news = asyncio.Condition()  # a block is in force, or none will be any more
        self._checker = ThreadPoolExecutor(2, thread_name_prefix="check")  # one opens while one waits for signatures
        self._maker = ThreadPoolExecutor(1, thread_name_prefix="block")
        self._task: asyncio.Task[None] | None = None
        self._failure: Exception | None = None

    # ------------------------------------------------------------ life

    async def start(self) -> None:
        recover(self.app, self.store, self._genesis)
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

    async def join(self) -> None:
        """Until the engine stops; raises what stopped it."""
        async with self._news:
            await self._news.wait_for(lambda: self._failure)
        self._raise()

    def _raise(self) -> None:
        if self._failure is not None:
            raise self._failure

    async def _end(self, failure: Exception) -> None:
        self._failure = self._failure or failure
        self._stir.set()
        self._pool.give_up(self._failure)
        async with self._news:
            self._news.notify_all()

    # ------------------------------------------------------------ transactions in

    async def submit(self, raws: Sequence[bytes]) -> list[Result]:
        return [result for result, _ in await self._take_in(raws)]

    async def execute(self, raws: Sequence[bytes]) -> list[Receipt]:
        receipts = []
        for raw, (result, waiting) in zip(raws, await self._take_in(raws), strict=True):
            if waiting is not None:
                receipts.append(await waiting.receipt)
            else:
                receipts.append(find_receipt(self.store, raw) or Receipt(0, 0, result))
        return receipts

    async def _take_in(self, raws: Sequence[bytes]) -> list[tuple[Result, Waiting | None]]:
        loop = asyncio.get_running_loop()
        before, self._taken_in = self._taken_in, loop.create_future()
        mine = self._taken_in
        try:
            results = await loop.run_in_executor(self._checker, self.app.check_many, raws)
            if before is not None:
                await before  # batches stand in the order in which they came
        finally:
            mine.set_result(None)
        self._raise()
        taken: list[tuple[Result, Waiting | None]] = []
        for raw, result in zip(raws, results, strict=True):
            waiting = None
            if not result.reason:
                waiting = self._pool.add(raw, loop.time())
                if waiting is None:
                    result = Result("full", f"{WAITING_MAX} transactions are waiting")
            taken.append((result, waiting))
        self._stir.set()
        return taken

    # ------------------------------------------------------------ blocks out

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
        self._pool.done(sealed.block.height, picked, sealed.block.results)
        async with self._news:
            self._news.notify_all()

    def _seal_and_write(self, txs: Sequence[bytes], now_ns: int) -> Sealed:
        sealed = self._sealer.seal(txs, now_ns)
        self.store.write(sealed.applied.diff, sealed.block, sealed.applied.places)
        return sealed

    # ------------------------------------------------------------ looking

    def height(self) -> int:
        return self.app.height

    async def block(self, height: int) -> Block | None:
        return self.store.block(height)

    async def light_block(self, height: int, known_height: int | None = None) -> LightBlock | None:
        block = self.store.block(height)
        if block is None or block.light is None:
            return None
        light = LightBlock.decode(block.light)
        skips = known_height is not None and height != known_height + 1
        return light._replace(known=self._sealer.validators) if skips else light

    def want(self, height: int) -> None:
        self._wanted = max(self._wanted, height)
        self._stir.set()

    async def reach(self, height: int) -> None:
        """Until that block is in force; makes it come."""
        self.want(height)
        async with self._news:
            await self._news.wait_for(lambda: self._failure or self.app.height >= height)
        self._raise()

    async def prove(self, key: bytes, height: int | None = None) -> Evidence:
        top = self.app.height
        if height is None:
            sealed = top > 0 and self._sealer.app_hash_sealed == self.app.app_hash
            height = top if sealed else top + 1  # what the last block changed is under the next header
            await self.reach(height)
            after = top
        else:
            await self.reach(height)
            after = height - 1
        value, proof = self.app.prove(key, after)
        return Evidence(height, key, value, proof)

    async def follow(self, height: int) -> AsyncIterator[Block]:
        while True:
            block = self.store.block(height)
            if block is not None and height <= self.app.height:
                yield block
                height += 1
                continue
            async with self._news:
                await self._news.wait_for(lambda: self._failure or self.app.height >= height)  # noqa: B023
            self._raise()


def recover(app: App, store: Store, genesis: Genesis) -> None:
    """The one way to begin, after genesis as after a crash: the app takes over what the store holds."""
    head = store.head()
    if head is None:
        diff = app.genesis(genesis.salt, genesis.sections, genesis.time_ns)
        store.create(genesis.chain_id, genesis.encode(), diff)
        return
    if store.genesis != genesis.encode():
        raise StoreError(f"{store.path}: belongs to another genesis, of chain {store.chain_id}")
    try:
        app.load(genesis.salt, head.height, store.rows())
    except WireError as error:
        raise StoreError(f"{store.path}: {error}; `restore` brings a backup back") from error
    if app.app_hash != head.app_hash:
        raise StoreError(f"{store.path}: the state is not the one that was written; `restore` brings a backup back")
    gc.collect()
    gc.freeze()  # the state stays: looking through it again and again for garbage costs a third of a block's time


def find_receipt(store: Store, raw: bytes) -> Receipt | None:
    """Of a transaction that is in a block already, known by what it says, not by its signature."""
    try:
        tx = transaction.open(raw)
    except WireError:
        return None
    place = store.find(tx.account, tx.sequence)
    block = store.block(place[0]) if place else None
    if place is None or block is None or transaction.open(block.txs[place[1]]).payload != tx.payload:
        return None
    return Receipt(*place, block.results[place[1]])
