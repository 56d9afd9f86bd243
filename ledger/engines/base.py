"""What both engines do alike: receipts, followers, proofs, and the one way to begin.

Owns: waiting for blocks, the end of an engine, recovery from the store.
Refuses: to answer after the engine failed; whoever waits gets the failure.
Invariant: what is shown here is in force and on the disk.
"""

from __future__ import annotations

import asyncio
import gc
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from ledger.app import App, Result
from ledger.engines.pool import WAITING_MAX, Pool, Waiting
from ledger.engines.port import Evidence, Receipt
from ledger.genesis import Genesis
from ledger.light import LightBlock
from ledger.store import Block, Store, StoreError
from wire.chain import tx as transaction
from wire.errors import WireError


class BaseEngine(ABC):
    def __init__(self, app: App, store: Store, genesis: Genesis) -> None:
        self.app = app
        self.store = store
        self.genesis = genesis
        self._pool = Pool()
        self._news = asyncio.Condition()  # a block is in force, or none will be any more
        self._failure: Exception | None = None
        self._checker = ThreadPoolExecutor(2, thread_name_prefix="check")  # one opens while one waits for signatures
        self._taken_in: asyncio.Future[None] | None = None  # the batch that came last

    # ------------------------------------------------------------ life

    async def join(self) -> None:
        """Until the engine stops; raises what stopped it."""
        await self._until(lambda: False)

    async def _until(self, holds: Callable[[], bool]) -> None:
        async with self._news:
            await self._news.wait_for(lambda: self._failure or holds())
        self._raise()

    def _raise(self) -> None:
        if self._failure is not None:
            raise self._failure

    async def _end(self, failure: Exception) -> None:
        self._failure = self._failure or failure
        self._pool.give_up(self._failure)
        await self._tell()

    async def _tell(self) -> None:
        async with self._news:
            self._news.notify_all()

    # ------------------------------------------------------------ transactions

    async def submit(self, raws: Sequence[bytes]) -> list[Result]:
        return [result for result, _ in await self._take_in(raws)]

    async def execute(self, raws: Sequence[bytes]) -> list[Receipt]:
        receipts = []
        for raw, (result, waiting) in zip(raws, await self._take_in(raws), strict=True):
            found = None
            if waiting is not None:
                found = await waiting.receipt
            elif result.reason == "sequence":  # its signature holds: who only guesses what was sent learns nothing
                found = find_receipt(self.store, raw)
            receipts.append(found or Receipt(0, 0, result))
        return receipts

    async def _take_in(self, raws: Sequence[bytes]) -> list[tuple[Result, Waiting | None]]:
        loop = asyncio.get_running_loop()
        before, mine = self._taken_in, loop.create_future()
        self._taken_in = mine
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
        await self._taken([waiting for _, waiting in taken if waiting is not None])
        return taken

    @abstractmethod
    async def _taken(self, waiting: Sequence[Waiting]) -> None:
        """These stand in the pool now."""

    # ------------------------------------------------------------ looking

    def height(self) -> int:
        return self.app.height

    async def block(self, height: int) -> Block | None:
        return self.store.block(height)

    @abstractmethod
    async def light_block(self, height: int, known_height: int | None = None) -> LightBlock | None: ...

    @abstractmethod
    def want(self, height: int) -> None: ...

    async def reach(self, height: int) -> None:
        """Until that block is in force; makes it come."""
        self.want(height)
        await self._until(lambda: self.app.height >= height)

    async def prove(self, key: bytes, height: int | None = None) -> Evidence:
        after = self.app.height
        if height is None:
            top = await self.light_block(after)
            unchanged = top is not None and top.header.app_hash == self.app.app_hash
            height = after if unchanged else after + 1  # what the last block changed is under the next header
        else:
            after = height - 1
        await self.reach(height)
        value, proof = self.app.prove(key, after)
        return Evidence(height, key, value, proof)

    async def follow(self, height: int) -> AsyncIterator[Block]:
        while True:
            while height <= self.app.height:
                block = self.store.block(height)
                if block is None:
                    raise StoreError(f"{self.store.path}: block {height} is not kept here")
                yield block
                height += 1
            await self._until(lambda: self.app.height >= height)  # noqa: B023  awaited here


def recover(app: App, store: Store, genesis: Genesis) -> None:
    """The one way to begin, after genesis as after a crash: the app takes over what the store holds."""
    gc.disable()  # a state is many small objects of which none is garbage: looking for it doubles the time
    try:
        _recover(app, store, genesis)
        gc.freeze()  # and a third of a block's, later
    finally:
        gc.enable()


def _recover(app: App, store: Store, genesis: Genesis) -> None:
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
