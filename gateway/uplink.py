"""Slave blocks on their way to the main node; registry entries with them; where devices stand there.

Owns: what is sent next and how fast, what the answers mean, asking for a device's position.
Refuses: forgetting a block before a main node said where it stands; sending blocks out of order. Each links to the
one before, so what is urgent cannot overtake; instead a backlog with something urgent in it is sent without a pause.
Invariant: the main chain takes a block once by (gateway, height), so sending again is always safe. A second block at
one height stops sealing.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from gateway.node import Account, table
from gateway.sequence import Position
from gateway.store import Store
from gateway.store_read import Books, Sealed
from wire.chain import kinds
from wire.chain.rest import DONE, NodeDown, Outcome
from wire.errors import WireError
from wire.ids import id_text

BATCH = 16
BATCH_BYTES = 1_500_000
ENTRIES = 16
RETRY_S = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
TROUBLE = (NodeDown, WireError, sqlite3.OperationalError)
# Refusals that say: this one stands already.
KNOWN = ("already", "known-block", "old-number")

Say = Callable[[str], None]
Alarm = Callable[[str, str, str], None]  # word, about, detail: nothing where it is over


class Retry:
    """How long to wait after the n-th failure in a row."""

    def __init__(self) -> None:
        self.failures = 0

    async def wait(self) -> None:
        await asyncio.sleep(RETRY_S[min(self.failures, len(RETRY_S) - 1)])
        self.failures += 1


@dataclass
class Uplink:
    """`sealed` is set whenever a block was sealed or an entry taken. `backfill_s` is the pause between batches of a
    backlog without anything urgent, so that a slow line stays usable."""

    main: Account
    books: Books
    store: Store
    gateway: bytes
    sealed: asyncio.Event
    say: Say
    alarm: Alarm
    forked: Callable[[], Awaitable[None]]
    backfill_s: float = 0.0
    sent: int = 0
    retry: Retry = field(default_factory=Retry)

    async def run(self) -> None:
        while True:
            self.sealed.clear()
            try:
                waiting = await self._step()
                self.alarm("main", "", "")
                self.retry.failures = 0
            except TROUBLE as trouble:
                blocks, urgent = self.books.backlog()
                self.alarm("main", "", f"{trouble}; {blocks} blocks wait, {urgent} of them urgent")
                await self.retry.wait()
                continue
            if not waiting:
                await self.sealed.wait()
            elif self.backfill_s and not self.books.backlog()[1]:
                await self._pause()

    async def _pause(self) -> None:
        """Cut short by a block that is urgent."""
        until = asyncio.get_running_loop().time() + self.backfill_s
        while (left := until - asyncio.get_running_loop().time()) > 0 and not self.books.backlog()[1]:
            self.sealed.clear()
            try:
                await asyncio.wait_for(self.sealed.wait(), left)
            except TimeoutError:
                return

    async def _step(self) -> bool:
        """Sends one batch; False where nothing waits any more."""
        await self._send_entries()
        blocks = self._batch()
        if not blocks:
            return False
        bodies = [kinds.SlaveBlock(block=self.books.block(block.height).encode()) for block in blocks]
        outcomes = await self.main.send(bodies)
        done = [(block, outcome) for block, outcome in zip(blocks, outcomes, strict=True) if _stands(outcome)]
        if any(outcome.reason in KNOWN for outcome in outcomes):
            await self._compare()
        async with self.store.writing():
            for block, outcome in done:
                self.store.put_sent(block.height, outcome.height, outcome.place)
        self.sent += len(done)
        for block, outcome in zip(blocks, outcomes, strict=True):
            if not _stands(outcome):
                await self._refused(block, outcome)
        return True

    def _batch(self) -> list[Sealed]:
        size, batch = 0, list[Sealed]()
        for block in self.books.unsent(BATCH):
            size += self.books.block_bytes(block)
            if batch and size > BATCH_BYTES:
                break
            batch.append(block)
        return batch

    async def _refused(self, block: Sealed, outcome: Outcome) -> None:
        if outcome.reason == "fork":
            await self.forked()
            self.alarm("fork", "", f"block {block.height}: {outcome.detail}")
        raise NodeDown(f"block {block.height} is refused: {outcome.reason} {outcome.detail}")

    async def _compare(self) -> None:
        """The main chain says that it has blocks of ours: are they ours?"""
        last = await self.last()
        if last is None:
            return
        height, hash = last
        block = self.books.sealed(height)
        if height > self.books.tip()[0] or (block is not None and block.hash.hex() != hash):
            await self.forked()
            self.alarm("fork", "", f"block {height} of the main chain is not ours")
            raise NodeDown(f"the main chain has another block {height}")

    async def last(self) -> tuple[int, str] | None:
        """Height and hash (hex) of the last block of ours that the main chain has."""
        rows = table(await self.main.query("gateways"), "gateway", "height", "hash")
        row = next((row for row in rows if row["gateway"] == id_text(self.gateway)), None)
        if row is None:
            return None
        if type(row["height"]) is not int or not isinstance(row["hash"], str):
            raise WireError("bad-type", "a gateway's row has a height and a hash")
        return row["height"], row["hash"]

    async def _send_entries(self) -> None:
        """The main chain's registry is the authority; whoever took an entry sees to it that it hears of it."""
        raws = self.books.unsent_entries(ENTRIES)
        if not raws:
            return
        outcomes = await self.main.send([kinds.RegistryEntry(entry=raw) for raw in raws])
        async with self.store.writing():
            for raw, outcome in zip(raws, outcomes, strict=True):
                self.store.put_entry_sent(raw)
                if not _stands(outcome):
                    self.say(f"the main chain refuses a registry entry: {outcome.reason} {outcome.detail}")


def _stands(outcome: Outcome) -> bool:
    return outcome.status == DONE or outcome.reason in KNOWN


@dataclass
class Places:
    """Where devices stand on the main chain, asked once for each that comes to this gateway. `found` hears the answer:
    None where the main chain knows nothing."""

    main: Account
    found: Callable[[bytes, Position | None], Awaitable[None]]
    alarm: Alarm
    wanted: dict[bytes, None] = field(default_factory=dict)
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    retry: Retry = field(default_factory=Retry)

    def ask(self, device: bytes) -> None:
        self.wanted[device] = None
        self.asked.set()

    async def run(self) -> None:
        while True:
            await self.asked.wait()
            self.asked.clear()
            while self.wanted:
                device = next(iter(self.wanted))
                try:
                    await self.found(device, _position(await self.main.query("position", id_text(device))))
                    self.wanted.pop(device, None)
                    self.retry.failures = 0
                except TROUBLE as trouble:
                    self.alarm("main", "", f"{trouble}; {len(self.wanted)} devices wait for their position")
                    await self.retry.wait()


def _position(answer: Any) -> Position | None:
    if answer is None:
        return None
    try:
        next_seq, head, _ = answer
        found = Position(int(next_seq), bytes.fromhex(head))
    except (TypeError, ValueError):
        raise WireError("bad-type", "a position is [next row, head, gateway]") from None
    if len(found.head) != 32 or found.next_seq < 0:
        raise WireError("bad-field", "a position is [next row, head, gateway]")
    return found
