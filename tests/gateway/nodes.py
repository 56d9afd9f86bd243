"""A ledger node as gateways meet one, in this process: slave blocks by the rules of the main chain, readings by those
of the schedule chain, and faults on request.

Owns: no test.
"""

from __future__ import annotations

from typing import Any

from gateway.node import Account
from tests.gateway.rig import KEY
from wire import cbor, envelope
from wire.chain import kinds, slave, tx
from wire.chain.rest import DONE, REFUSED, NodeDown, Outcome
from wire.errors import WireError
from wire.ids import id_text


class FakeNode:
    """`down` makes it unreachable, `lose` lets the next transactions through and loses the answer."""

    url = "fake"

    def __init__(self) -> None:
        self.down = False
        self.lose = False
        self.sequence = 0
        self.blocks: list[list[bytes]] = []
        self.last: slave.SlaveBlock | None = None
        self.entries: list[bytes] = []
        self.positions: dict[bytes, list[Any]] = {}
        self.known: set[bytes] = set()  # devices on the schedule chain
        self.read: dict[bytes, int] = {}  # next row of each
        self.words: list[bytes] = []

    def account(self) -> Account:
        return Account(self, "chain", KEY, KEY.kid)  # type: ignore[arg-type]

    async def submit(self, chain: str, txs: list[bytes], wait_s: int) -> list[Outcome]:
        if self.down:
            raise NodeDown("fake: down")
        self.blocks.append(txs)
        outcomes = [self._one(tx.open(raw), place) for place, raw in enumerate(txs)]
        if self.lose:
            self.lose = False
            raise NodeDown("fake: the answer is lost")
        return outcomes

    def _one(self, found: tx.SignedTx, place: int) -> Outcome:
        if found.sequence != self.sequence:
            return Outcome(REFUSED, 0, 0, "sequence", str(self.sequence))
        self.sequence += 1
        try:
            self._apply(found)
        except WireError as error:
            return Outcome(REFUSED, len(self.blocks), place, error.reason, error.detail)
        return Outcome(DONE, len(self.blocks), place, "", "")

    def _apply(self, found: tx.SignedTx) -> None:
        body = kinds.BY_NUMBER[found.kind].of(found.body)
        if isinstance(body, kinds.SlaveBlock):
            self._slave(slave.decode(body.block))
        elif isinstance(body, kinds.RegistryEntry):
            self.entries.append(body.entry)
        elif isinstance(body, kinds.Readings):
            for _, raw in body.reports:
                self._reading(raw)
        elif isinstance(body, kinds.StationState):
            self.words.append(body.state)
        elif isinstance(body, kinds.StationReceipt):
            self.words.append(body.receipt)

    def _slave(self, block: slave.SlaveBlock) -> None:
        height, hash = (0, slave.START) if self.last is None else (self.last.header.height, self.last.header.hash())
        if block.header.height == height and block.header.hash() != hash:
            raise WireError("fork", "")
        if block.header.height <= height:
            raise WireError("already", "")
        block.check_link(height, hash)
        block.check_body()
        self.last = block

    def _reading(self, raw: bytes) -> None:
        fields: Any = cbor.decode(envelope.split(raw).payload)
        device, seq, count = fields[1], fields[3], len(fields[7])
        if device not in self.known:
            raise WireError("unknown-device", "")
        at = self.read.get(device, 0)
        if seq < at:
            raise WireError("old-rows", "")
        if seq > at:
            raise WireError("gap", "")
        self.read[device] = seq + count

    async def query(self, chain: str, path: str, argument: str = "") -> Any:
        if self.down:
            raise NodeDown("fake: down")
        if path == "accounts":
            return [{"sequence": self.sequence}]
        if path == "gateways":
            last = self.last
            rows = [] if last is None else [(last.header.height, last.header.hash().hex())]
            return [{"gateway": id_text(KEY.kid), "height": height, "hash": hash} for height, hash in rows]
        if path == "devices":
            return [{"id": id_text(device)} for device in self.known]
        if path == "positions":
            return [{"id": id_text(device), "next_seq": at} for device, at in self.read.items()]
        return self.positions.get(argument.encode())

    async def height(self, chain: str) -> int:
        if self.down:
            raise NodeDown("fake: down")
        return len(self.blocks)

    async def block_txs(self, chain: str, height: int) -> list[bytes]:
        return self.blocks[height - 1]
