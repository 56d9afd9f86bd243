"""On a new box: what the old one sealed after the backup is fetched, then the chain goes on behind it.

Owns: walking the main chain for blocks of this gateway, putting them into the store, what becomes of messages that were
stored and not sealed.
Refuses: a block that does not link to the one before, or is not under the gateway's key: then nothing is sealed.
Invariant: messages that the old box sealed are not sealed again; those that it did not are kept, behind its blocks.
"""

from __future__ import annotations

from collections.abc import Callable

from gateway.intake import Stored, receipt_identity
from gateway.node import Node
from gateway.registry import Device
from gateway.sequence import Item
from gateway.service_batch import Batches
from gateway.store_layout import KINDS
from gateway.store_read import open_rows
from gateway.uplink import TROUBLE, Alarm, Retry, Uplink
from wire import envelope
from wire.chain import kinds, slave, tx
from wire.chain.keys import KeyRing
from wire.chain.slave import SlaveBlock
from wire.command import Receipt
from wire.errors import WireError
from wire.state import State

Waiting = tuple[int, int, bytes]  # kind, urgent, bytes


class Restore:
    def __init__(
        self, batches: Batches, uplink: Uplink, node: Node, chain: str, alarm: Alarm, say: Callable[[str], None]
    ) -> None:
        self.batches = batches
        self.uplink = uplink
        self.node = node
        self.chain = chain
        self.alarm = alarm
        self.say = say

    async def run(self) -> None:
        """Until the store is where the main chain is. Devices are heard meanwhile; nothing is sealed."""
        retry = Retry()
        while self.batches.store.get_meta("restoring") is not None:
            try:
                self.alarm("restoring", "", "blocks behind the backup are asked for")
                await self._go_on(await self._missing())
                self.alarm("restoring", "", "")
            except TROUBLE as trouble:
                self.alarm("restoring", "", str(trouble))
                await retry.wait()

    async def _missing(self) -> list[tuple[SlaveBlock, int, int]]:
        """Blocks of ours that the main chain has and the store has not, in order, with where they stand there."""
        last = await self.uplink.last()
        books = self.batches.store.books
        height, tip = books.tip()
        if last is None or last[0] <= height:
            if last is not None and last[0] == height and last[1] != tip.hex():
                raise WireError("bad-link", f"the main chain has another block {height}")
            return []
        ring = KeyRing()
        ring.add(self.batches.key.public_key)
        found: dict[int, tuple[SlaveBlock, int, int]] = {}
        at = await self.node.height(self.chain)
        while at > 0 and height + 1 not in found:
            for place, raw in enumerate(await self.node.block_txs(self.chain, at)):
                block = self._ours(raw)
                if block is not None and block.header.height > height:
                    block.check_signature(ring)
                    found.setdefault(block.header.height, (block, at, place))
            at -= 1
        blocks = [found[number] for number in sorted(found)]
        for block, _, _ in blocks:
            block.check_link(height, tip)
            block.check_body()
            height, tip = block.header.height, block.header.hash()
        if height < last[0]:
            raise WireError("bad-link", f"blocks up to {last[0]} are wanted, found up to {height}")
        return blocks

    def _ours(self, raw: bytes) -> SlaveBlock | None:
        try:
            found = tx.open(raw)
            if found.kind != kinds.SlaveBlock.NUMBER:
                return None
            block = slave.decode(kinds.SlaveBlock.of(found.body).block)
        except WireError:
            return None
        return block if block.header.gateway == self.batches.id else None

    async def _go_on(self, blocks: list[tuple[SlaveBlock, int, int]]) -> None:
        """In one transaction: the fetched blocks, then what they do not hold of what was stored."""
        batches, store = self.batches, self.batches.store
        async with store.writing():
            waiting: list[Waiting] = store.execute(
                "select kind, urgent, raw from stored where n > (select coalesce(max(last_n), 0) from block) order by n"
            ).fetchall()
            if blocks:
                store.execute("delete from stored where n > (select coalesce(max(last_n), 0) from block)")
                store.execute("delete from held")
                batches.intake.forget()
                sealed = {_identity(raw) for block, _, _ in blocks for raw in block.body}
                for block, height, place in blocks:
                    self._put(block, height, place)
                for kind, urgent, raw in waiting:
                    if _identity(raw) not in sealed:
                        self._again(KINDS[kind], bool(urgent), raw)
            store.execute("delete from meta where key = 'restoring'")
        batches.sealing = store.get_meta("fork") is None
        batches.recover()
        self.say(f"restored: {len(blocks)} blocks fetched, block {batches.height} is the last")

    def _put(self, block: SlaveBlock, height: int, place: int) -> None:
        store, now_ms = self.batches.store, self.batches.time.now_ms()
        first_n = store.next_n
        for raw in block.body:
            self._message(*self._what(raw), raw, now_ms)
        store.put_block(block, first_n, store.next_n - 1, now_ms, (height, place))

    def _what(self, raw: bytes) -> tuple[str, Item | None, Device | None]:
        """Kind, rows and device of a sealed message; anything else stands as an entry, which it is or may be."""
        for kind in ("report", "attested", "coarse"):
            try:
                item, _ = open_rows(KINDS.index(kind), raw)
            except WireError:
                continue
            return kind, item, self.batches.registry.devices.get(item.id)
        return "entry", None, None

    def _word(self, raw: bytes) -> Stored:
        """A sealed message without rows: a station's word, or an entry."""
        payload = envelope.split(raw).payload
        try:
            state = State.decode(payload)
            return Stored(state.id, "state", raw, number=state.number)
        except WireError:
            pass
        try:
            receipt = Receipt.decode(payload)
            return Stored(receipt.station, "receipt", raw, receipt=receipt_identity(receipt))
        except WireError:
            return Stored(self.batches.id, "entry", raw)

    def _message(self, kind: str, item: Item | None, device: Device | None, raw: bytes, now_ms: int) -> None:
        store, intake = self.batches.store, self.batches.intake
        if item is not None and device is not None:
            track = intake.track(device)
            if track is not None:
                decision = intake.follow(device, kind, track, item, raw, track.position.key)
                if isinstance(decision, Stored):
                    store.put(decision, now_ms)
                    return
            store.put(Stored(device.id, kind, raw), now_ms)
        else:
            store.put(self._word(raw), now_ms)

    def _again(self, kind: str, urgent: bool, raw: bytes) -> None:
        """A message that the old box did not seal: behind its blocks, if it still follows."""
        kind_found, item, device = self._what(raw) if kind in ("report", "attested", "coarse") else (kind, None, None)
        now_ms = self.batches.time.now_ms()
        if item is None:
            self.batches.store.put(self._word(raw)._replace(urgent=urgent), now_ms)
            return
        track = self.batches.intake.track(device) if device is not None else None
        if device is None or track is None or item.next_seq <= track.position.next_seq:
            return
        decision = self.batches.intake.follow(device, kind_found, track, item, raw, track.position.key)
        if isinstance(decision, Stored):
            self.batches.store.put(decision, now_ms)


def _identity(raw: bytes) -> bytes:
    """The signed content: a second signature over it is the same message."""
    signed = envelope.split(raw)
    return signed.kid + signed.payload
