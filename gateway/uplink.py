"""Slave blocks on their way to the main node, and commands on their way down from the schedule chain.

Owns: what is sent next and what the answers mean.
Refuses: forgetting a block before a main node said where it stands; sending blocks out of order.
Invariant: the main chain takes a block once by (gateway, height), so sending again is always safe.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.lease import Gate, Passed, Stopped
from gateway.node import Node
from gateway.store import Store
from wire.chain import tx
from wire.chain.rest import DONE, REFUSED, NodeDown
from wire.enrol import id_text
from wire.errors import WireError

if TYPE_CHECKING:
    from wire.envelope import Signer

BATCH = 16
WAIT_S = 10
RETRY_S = 1.0
POLL_S = 0.1


@dataclass
class Uplink:
    """`sealed` is set whenever a block was sealed."""

    node: Node
    chain: str
    kind: int  # of the transaction that carries a slave block
    store: Store
    signer: Signer
    account: bytes
    sealed: asyncio.Event
    say: Callable[[str], None]
    sequence: int | None = None

    async def run(self) -> None:
        while True:
            heights = self.store.unsent(BATCH)
            if not heights:
                self.sealed.clear()
                await self.sealed.wait()
                continue
            try:
                await self._send(heights)
            except NodeDown as down:
                self.say(f"main node: {down}; {len(heights)} or more blocks wait")
                self.sequence = None
                await asyncio.sleep(RETRY_S)
            except WireError as error:
                self.say(f"main node answers wrongly: {error}")
                self.sequence = None
                await asyncio.sleep(RETRY_S)

    async def _send(self, heights: list[int]) -> None:
        if self.sequence is None:
            self.sequence = int((await self.node.query(self.chain, "accounts", id_text(self.account)))[0]["sequence"])
        txs = []
        for i, height in enumerate(heights):
            body = {1: self.store.block(height).encode()}
            txs.append(tx.sign(self.signer, self.chain, self.account, self.sequence + i, self.kind, body))
        outcomes = await self.node.submit(self.chain, txs, WAIT_S)
        done: list[tuple[int, int, int]] = []
        for height, (status, main_height, index, reason, detail) in zip(heights, outcomes, strict=True):
            if status == DONE or reason == "known-block":
                done.append((height, main_height, index))
            elif status == REFUSED:
                self.say(f"block {height} refused by the main chain: {reason} {detail}")
        self.store.begin()
        for height, main_height, index in done:
            self.store.put_sent(height, main_height, index)
        self.store.commit()
        if len(done) == len(heights):
            self.sequence += len(heights)
        else:
            self.sequence = None
            await asyncio.sleep(RETRY_S)


@dataclass
class Down:
    """Fetches commands, looks at them and hands on what may go to a station."""

    node: Node
    chain: str
    gate: Gate
    store: Store
    now_s: Callable[[], int]
    pass_on: Callable[[Passed], None]
    say: Callable[[str], None]
    after: int = 0

    async def run(self) -> None:
        while True:
            try:
                for number, _, raw in await self.node.commands(self.chain, self.after):
                    self._one(raw)
                    self.after = number
                await asyncio.sleep(POLL_S)
            except NodeDown as down:
                self.say(f"schedule node: {down}")
                await asyncio.sleep(RETRY_S)
            except WireError as error:
                self.say(f"schedule node answers wrongly: {error}")
                await asyncio.sleep(RETRY_S)

    def _one(self, raw: bytes) -> None:
        verdict = self.gate.look(raw, self.now_s())
        if isinstance(verdict, Stopped):
            self.say(f"a command was not passed on: {verdict.reason} {verdict.detail}")
            return
        # Kept before it goes out: after a restart the same command is not passed on twice.
        self.store.put_counter(verdict.command.station, verdict.command.counter)
        self.pass_on(verdict)
