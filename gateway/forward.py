"""What the schedule chain needs from devices: station states, receipts, and the readings that settle grants.

Owns: two pointers into the stored messages, kept on disk: words (states, receipts), which go first, and readings.
Refuses: changing anything; every message goes on as the device signed it.
Invariants: a pointer moves only over what the chain has answered for. One device's refusal costs the others nothing:
its readings travel in a transaction of their own. Where the chain says that it stands elsewhere, it is asked where, and
what it lacks is sent from there; a device that it does not know (yet) is passed over, and looked for again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from gateway.intake import ATTESTED, COARSE, RECEIPT, REPORT, ROWS, STATE
from gateway.node import Account, table
from gateway.store import Store
from gateway.store_read import Books, Message
from gateway.uplink import TROUBLE, Alarm, Retry, Say
from wire import cbor, envelope
from wire.chain import kinds
from wire.chain.rest import REFUSED, Outcome
from wire.ids import id_text

BATCH = 256  # messages at a time
TX_REPORTS = 64
TX_BYTES = 300_000
LOOK_S = 1.0  # how often the chain is asked whether it knows a device now
ABSENT = ("unknown-device", "revoked", "not-allowed", "wrong-id")
ELSEWHERE = ("old-rows", "gap")

READINGS, WORDS = "forwarded", "forwarded-words"


@dataclass
class Forward:
    """`stored` is set whenever messages were stored; `hold` keeps an emulated site's clock while readings are on their
    way."""

    schedule: Account
    store: Store
    books: Books
    stored: asyncio.Event
    say: Say
    alarm: Alarm
    hold: Callable[[str], AbstractContextManager[None]]
    absent: dict[bytes, None] = field(default_factory=dict)
    next_look_s: float = 0.0
    retry: Retry = field(default_factory=Retry)

    async def run(self) -> None:
        while True:
            self.stored.clear()
            try:
                moved = await self._step()
                self.alarm("schedule", "readings", "")
                self.retry.failures = 0
            except TROUBLE as trouble:
                self.alarm("schedule", "readings", str(trouble))
                await self.retry.wait()
                continue
            if not moved:
                await self.stored.wait()

    async def _step(self) -> bool:
        """Sends what waits, words first; False where nothing does."""
        words = self.books.messages(self._pointer(WORDS), (STATE, RECEIPT), BATCH)
        if words:
            with self.hold("words to the schedule chain"):
                await self._words(words)
            await self._move(WORDS, words[-1].n)
            return True
        readings = self.books.messages(self._pointer(READINGS), ROWS, BATCH)
        if not readings:
            return False
        with self.hold("readings to the schedule chain"):
            await self._readings(readings)
        await self._move(READINGS, readings[-1].n)
        return True

    def _pointer(self, name: str) -> int:
        return int.from_bytes(self.books.get_meta(name) or b"", "big")

    async def _move(self, name: str, n: int) -> None:
        async with self.store.writing():
            self.store.put_meta(name, n.to_bytes(8, "big"))

    # ------------------------------------------------------------ words

    async def _words(self, words: list[Message]) -> None:
        bodies: list[kinds.Kind] = [
            kinds.StationState(state=word.raw) if word.kind == STATE else kinds.StationReceipt(receipt=word.raw)
            for word in words
        ]
        for word, outcome in zip(words, await self.schedule.send(bodies), strict=True):
            if outcome.status == REFUSED and outcome.reason != "old-number":
                self._tell(word.device, word.kind, outcome)

    def _tell(self, device: bytes, what: str, outcome: Outcome) -> None:
        self.say(f"{what} of {id_text(device)} refused by the schedule chain: {outcome.reason} {outcome.detail}")

    # ------------------------------------------------------------ readings

    async def _readings(self, readings: list[Message]) -> None:
        await self._look()
        groups: dict[bytes, list[Message]] = {}
        for reading in readings:
            if reading.device not in self.absent:
                groups.setdefault(reading.device, []).append(reading)
        parts = [part for group in groups.values() for part in in_parts(group)]
        if not parts:
            return
        outcomes = await self.schedule.send([body_of(part) for part in parts])
        elsewhere: dict[bytes, Message] = {}
        for part, outcome in zip(parts, outcomes, strict=True):
            device = part[0].device
            if outcome.status != REFUSED:
                continue
            if outcome.reason in ELSEWHERE:
                elsewhere[device] = part[-1]
            elif outcome.reason in ABSENT:
                self.absent[device] = None
            else:
                self._tell(device, "readings", outcome)
        for device, last in elsewhere.items():
            await self._from_there(device, last)

    async def _look(self) -> None:
        """Whether the chain knows by now some of those that it did not."""
        now_s = asyncio.get_running_loop().time()
        if self.absent and now_s >= self.next_look_s:
            self.next_look_s = now_s + LOOK_S
            known = {row["id"] for row in table(await self.schedule.query("devices"), "id")}
            self.absent = {device: None for device in self.absent if id_text(device) not in known}

    async def _from_there(self, device: bytes, last: Message) -> None:
        """Sends a device's readings from where the chain stands, up to `last`."""
        seq = await self._chain_position(device)
        while True:
            found = [one for one in self.books.rows_from(device, seq, TX_REPORTS) if one.n <= last.n]
            part = next(iter(in_parts(found)), None)
            if part is None:
                return
            (outcome,) = await self.schedule.send([body_of(part)])
            if outcome.status == REFUSED:
                self._tell(device, "readings", outcome)
                return
            seq = next_seq(part[-1])

    async def _chain_position(self, device: bytes) -> int:
        rows = table(await self.schedule.query("positions"), "id", "next_seq")
        return next((int(row["next_seq"]) for row in rows if row["id"] == id_text(device)), 0)


def in_parts(messages: list[Message]) -> list[list[Message]]:
    """One device's readings, in order, as much a part as a transaction may hold."""
    parts: list[list[Message]] = []
    size = 0
    for message in messages:
        size += len(message.raw)
        if not parts or len(parts[-1]) == TX_REPORTS or size > TX_BYTES:
            parts.append([])
            size = len(message.raw)
        parts[-1].append(message)
    return parts


def body_of(part: list[Message]) -> kinds.Readings:
    return kinds.Readings(reports=[[kinds.EVIDENCE.index(message.kind), message.raw] for message in part])


def next_seq(message: Message) -> int:
    """The row behind a stored report."""
    fields = cbor.decode(envelope.split(message.raw).payload)
    assert isinstance(fields, dict) and message.kind in (REPORT, ATTESTED, COARSE)
    return int(fields[5]) if message.kind == COARSE else int(fields[3]) + len(fields[7])
