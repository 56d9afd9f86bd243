"""The gateway as one process: MQTT in, one batch after another to disk, blocks out, beats and commands down.

Owns: the order of a batch: intake → store → cut and seal → commit → acknowledge → beat. Key and data of this gateway.
Refuses: acknowledging before the commit returned. A commit that fails throws the batch's effects away in memory too.
Invariant: at any instant a kill -9 loses nothing that was acknowledged; starting is recovering.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from gateway import intake
from gateway.beats import Beats
from gateway.config import Config
from gateway.cutter import Cutter
from gateway.entries import Entries
from gateway.forward import Forward
from gateway.intake import Intake
from gateway.lease import Gate, Passed
from gateway.mqtt import Link, Message
from gateway.node import Node
from gateway.registry import Registry
from gateway.sequence import Position
from gateway.store import Store
from gateway.uplink import Down, Uplink
from wire import envelope, topics
from wire.beat import Beat
from wire.chain import slave
from wire.chain.keys import KeyRing, PrivateKey, SharedKey
from wire.chain.kinds import SlaveBlock
from wire.enrol import Entry
from wire.errors import WireError
from wire.report import SYNCED

if TYPE_CHECKING:
    from gateway.registry import Device

TICK_S = 0.05
DISK_RETRY_S = 1.0


class Clock(Protocol):
    """The site clock. An emulated one also has `took` and `gave`: it stands still while a message is under way."""

    def now_ms(self) -> int: ...


class Gateway:
    def __init__(self, config: Config, key: PrivateKey, clock: Clock, say: Callable[[str], None]) -> None:
        self.config = config
        self.key = key
        self.id = config.account or key.kid
        self.clock = clock
        self.say = say
        self.store = Store(config.data / "gateway.db")
        self.registry = Registry(_ring(config.registrars))
        self.gate = Gate(_ring(config.dispatchers), self.store.counters())
        self.beats = Beats(config.period_s)
        self.sealed = asyncio.Event()
        self.stored = asyncio.Event()
        self.link = Link(config.broker, f"tallygrid-{config.name}", lambda up, words: say(words))
        self.mac_keys: dict[bytes, SharedKey] = {}
        self.entries = Entries(config.data / "entries", self.enter, say)
        self._took: Callable[[int], None] = getattr(clock, "took", _nothing)
        self._gave: Callable[[int], None] = getattr(clock, "gave", _nothing)
        for raw in self.store.entries():
            self._enter(raw)
        self._recover()

    def _recover(self) -> None:
        """Everything in memory as the disk has it: at the start, and after a commit that failed."""
        self.intake = Intake(self.id, self.registry, self.store.known_head, self.store.tracks())
        for device, track in self.intake.tracks.items():
            if device in self.registry.devices:
                track.rating_w = self.registry.devices[device].rating_w
        for held in self.store.held():
            self.intake.take(topics.up(held.device, held.kind), held.raw)
        self.height, self.tip = self.store.tip()
        self.cutter = Cutter(self.config.block_age_ms)
        self.waiting: list[int] = []
        for row in self.store.waiting():
            self.cutter.add(row.size, row.urgent, row.at_ms)
            self.waiting.append(row.n)

    # ------------------------------------------------------------ registry

    def _enter(self, raw: bytes) -> Device:
        device = self.registry.take(raw)
        self.mac_keys[device.id] = SharedKey(self.key.kid, self.key.mac_key(device.public_key))
        return device

    def enter(self, raw: bytes) -> Device:
        """A registrar's entry: in force at once for intake, kept, and sent up with the next block. Once is enough."""
        if self.store.has_entry(raw):
            return self.registry.devices[Entry.decode(envelope.split(raw).payload).device]
        device = self._enter(raw)
        now_ms = self.clock.now_ms()
        self.store.begin()
        self.store.put_entry(device.id, raw)
        self._queue(intake.Stored(device.id, "entry", raw, urgent=True), now_ms)
        self.store.commit()
        self.stored.set()
        return device

    # ------------------------------------------------------------ a batch

    def batch(self, messages: list[Message]) -> None:
        """Takes messages in, makes them durable, acknowledges them, and seals what is due."""
        now_ms = self.clock.now_ms()
        if not messages and not self._cut_is_due(now_ms):
            return
        touched: set[bytes] = set()
        self.store.begin()
        for message in messages:
            self._one(message, now_ms, touched)
        self._seal(now_ms)
        self.store.commit()
        self.link.acknowledge(messages)
        for device in touched:
            self.beats.stored(device)
        if touched:
            self.stored.set()

    def _cut_is_due(self, now_ms: int) -> bool:
        due = self.cutter.due_ms()
        return due is not None and now_ms >= due

    def _one(self, message: Message, now_ms: int, touched: set[bytes]) -> None:
        decision = self.intake.take(message.topic, message.payload)
        if isinstance(decision, intake.Stored):
            self._queue(decision, now_ms)
            touched.add(decision.device)
        elif isinstance(decision, intake.Held):
            self.store.put_held(decision)
            touched.add(decision.device)
        elif isinstance(decision, intake.Greeted):
            self.store.put_position(decision.device, self._position(decision.device))
            self.beats.greet(decision.hello)
        elif isinstance(decision, intake.Enrolling):
            self.store.put_enrolment(decision.device, now_ms, decision.raw)
        elif isinstance(decision, intake.Refused):
            self.store.put_refused(now_ms, decision.device, decision.reason, decision.detail, message.payload)
        elif decision.word == "gone":
            self.beats.gone(decision.device)
        else:
            touched.add(decision.device)  # a duplicate: the device has not seen the beat that covers it

    def _queue(self, stored: intake.Stored, now_ms: int) -> None:
        for row in self.store.put(stored, now_ms):
            self.cutter.add(row.size, row.urgent, row.at_ms)
            self.waiting.append(row.n)
        if stored.taken:
            self.store.put_position(stored.device, self._position(stored.device))

    def _position(self, device: bytes) -> Position:
        return self.intake.tracks[device].position

    def _seal(self, now_ms: int) -> None:
        for cut in self.cutter.cut(now_ms):
            rows, self.waiting = self.waiting[: cut.count], self.waiting[cut.count :]
            block = slave.seal(
                self.key,
                self.store.raws(rows),
                alliance=self.config.alliance,
                gateway=self.id,
                height=self.height + 1,
                previous=self.tip,
                urgency=cut.urgency,
                time_s=now_ms // 1_000,
            )
            self.store.put_block(block, rows)
            self.height, self.tip = block.header.height, block.header.hash()
            self.sealed.set()

    # ------------------------------------------------------------ down

    def send_beats(self) -> None:
        now_ms = self.clock.now_ms()
        for device in self.beats.due(now_ms):
            track = self.intake.tracks.get(device)
            if track is None or device not in self.mac_keys:
                continue
            beat = self.beats.beat(device, track.position, now_ms, SYNCED)
            raw = envelope.mac(self.mac_keys[device], Beat.DOMAIN, beat.encode())
            self._gave(1)
            self.link.publish(topics.down(device, "beat"), raw, qos=0)

    def pass_on(self, passed: Passed) -> None:
        self._gave(1)
        self.link.publish(topics.down(passed.command.station, "command"), passed.raw, qos=1)

    # ------------------------------------------------------------ life

    async def run(self) -> None:
        tasks = [self._work(), self.link.run()]
        nodes = []
        main, schedule = self.config.main, self.config.schedule
        if main is not None:
            node = Node(main.url, self.key, self.id)
            nodes.append(node)
            uplink = Uplink(node, main.id, SlaveBlock.NUMBER, self.store, self.key, self.id, self.sealed, self.say)
            tasks.append(uplink.run())
        if schedule is not None:
            node = Node(schedule.url, self.key, self.id)
            nodes.append(node)
            tasks.append(Forward(node, schedule.id, self.store, self.key, self.id, self.stored, self.say).run())
            down = Down(node, schedule.id, self.gate, self.store, self._now_s, self.pass_on, self.say)
            tasks.append(down.run())
        try:
            async with asyncio.TaskGroup() as group:
                for task in tasks:
                    group.create_task(task)
        finally:
            for node in nodes:
                await node.close()
            self.store.close()

    def _now_s(self) -> int:
        return self.clock.now_ms() // 1_000

    async def _work(self) -> None:
        while True:
            try:
                await asyncio.wait_for(self.link.arrived.wait(), TICK_S)
                await asyncio.sleep(self.config.commit_ms / 1_000)
            except TimeoutError:
                pass
            messages = self.link.take()
            while True:
                try:
                    self.batch(messages)
                    self.entries.look(asyncio.get_running_loop().time())
                    break
                except sqlite3.OperationalError as error:
                    # Disk full or not writable: nothing is acknowledged until it can be written.
                    self.say(f"cannot store: {error}; acknowledging nothing until it works")
                    self.store.rollback()
                    self._recover()
                    await asyncio.sleep(DISK_RETRY_S)
            self.send_beats()
            if messages:
                self._took(len(messages))


def _nothing(_: int) -> None:
    """A clock that does not wait for us need not hear what is under way."""


def _ring(public_keys: list[bytes]) -> KeyRing:
    ring = KeyRing()
    for key in public_keys:
        ring.add(key)
    return ring


def load_key(config: Config) -> PrivateKey:
    """The gateway's key; made on the first start."""
    path = config.data / "gateway.key"
    if path.exists():
        try:
            return PrivateKey.from_pem(path.read_bytes())
        except (ValueError, TypeError) as error:
            raise WireError("bad-key-length", f"{path} holds no P-256 key: {error}") from None
    key = PrivateKey.generate()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    path.write_bytes(key.to_pem())
    return key
