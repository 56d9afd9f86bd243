"""What the schedule chain needs from devices: station states, receipts, and the readings that settle grants.

Owns: the outbox: a pointer into the stored messages, kept on disk.
Refuses: changing anything; every message goes on as the device signed it.
Invariant: the pointer moves only over what the chain has answered for, so nothing is left out; what the chain knows
already it refuses, which does no harm.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.node import Node
from gateway.store import Outgoing, Store
from wire.chain import kinds, tx
from wire.chain.rest import REFUSED, WAITING, NodeDown
from wire.enrol import id_text
from wire.errors import WireError

if TYPE_CHECKING:
    from wire.envelope import Signer

BATCH = 64
WAIT_S = 10
RETRY_S = 1.0
POINTER = "forwarded"


@dataclass
class Forward:
    """`stored` is set whenever messages were stored."""

    node: Node
    chain: str
    store: Store
    signer: Signer
    account: bytes
    stored: asyncio.Event
    say: Callable[[str], None]
    sequence: int | None = None

    async def run(self) -> None:
        after = int.from_bytes(self.store.get_meta(POINTER) or b"", "big")
        while True:
            batch = self.store.outgoing(after, BATCH)
            if not batch:
                self.stored.clear()
                await self.stored.wait()
                continue
            try:
                await self._send(batch)
            except (NodeDown, WireError) as trouble:
                self.say(f"schedule node: {trouble}")
                self.sequence = None
                await asyncio.sleep(RETRY_S)
                continue
            after = batch[-1].n
            self.store.put_meta(POINTER, after.to_bytes(8, "big"))

    async def _send(self, batch: list[Outgoing]) -> None:
        if self.sequence is None:
            self.sequence = int((await self.node.query(self.chain, "accounts", id_text(self.account)))[0]["sequence"])
        bodies = bodies_of(batch)
        txs = [
            tx.sign(self.signer, self.chain, self.account, self.sequence + i, body.NUMBER, body.to_map())
            for i, body in enumerate(bodies)
        ]
        outcomes = await self.node.submit(self.chain, txs, WAIT_S)
        for body, (status, _, _, reason, detail) in zip(bodies, outcomes, strict=True):
            if status == WAITING or reason == "sequence":
                raise NodeDown(f"not decided: {reason}")
            if status == REFUSED:
                self.say(f"{type(body).__name__} refused by the schedule chain: {reason} {detail}")
        self.sequence += len(txs)


def bodies_of(batch: list[Outgoing]) -> list[kinds.Kind]:
    """One transaction a state or receipt; reports that follow one another go together."""
    bodies: list[kinds.Kind] = []
    reports: list[list[object]] = []
    for message in batch:
        if message.kind in ("report", "coarse"):
            reports.append([kinds.EVIDENCE.index(message.kind), message.raw])
            continue
        if reports:
            bodies.append(kinds.Readings(reports=reports))
            reports = []
        if message.kind == "state":
            bodies.append(kinds.StationState(state=message.raw))
        else:
            bodies.append(kinds.StationReceipt(receipt=message.raw))
    if reports:
        bodies.append(kinds.Readings(reports=reports))
    return bodies
