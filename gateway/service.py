"""The gateway as one process: what runs beside what, from the start to the end.

Owns: the loops (devices, beats, files, blocks up, commands down, what is polled, what people ask), their order at the
start, and what becomes of a disk that takes nothing.
Refuses: work of its own: a batch is service_batch.py's, each way up or down has its file.
Invariant: starting is recovering; stopping, however, loses nothing that was acknowledged.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Coroutine
from typing import Any

from gateway.config import Config, Polled
from gateway.cutter import Cut
from gateway.down import Down
from gateway.entries import Folder
from gateway.forward import Forward
from gateway.lease import Gate, Passed
from gateway.modbus import Poller
from gateway.mqtt import Link, Message
from gateway.node import Account, Node
from gateway.registry import Device, attested_id
from gateway.restore import Restore
from gateway.service_batch import Batches, ring
from gateway.service_clock import Clock, SiteTime, mono_ms
from gateway.store import Store
from gateway.store_read import Books
from gateway.store_retention import give_up
from gateway.uplink import Places, Uplink
from wire import envelope, topics
from wire.chain.keys import PrivateKey, SharedKey
from wire.enrol import ROLES, Enrolment
from wire.errors import WireError
from wire.hello import Beat

BATCH = 256  # messages: at 0.1 ms each others wait 25 ms at most
LOOK_S = 1.0
DISK_RETRY_S = 1.0
BEATS_MS = 1_000
GIVE_UP_MS = 60_000
MAC_KEYS_MAX = 4_096


class Gateway:
    def __init__(self, config: Config, key: PrivateKey, clock: Clock, say: Callable[[str], None]) -> None:
        self.config = config
        self.key = key
        self.say = say
        self.time = SiteTime(clock)
        self.store = Store(config.data / "gateway.db")
        self.books = Books.open(config.data / "gateway.db")
        self.batches = Batches(config, key, self.time, self.store, say)
        self.id = self.batches.id
        self.alarm = self.batches.alarm
        self.gate = Gate(ring(config.dispatchers), self.store.counters())
        self.link = Link(config.broker, f"tallygrid-{config.name}", self._on_link, self._on_lie)
        self.entries = Folder(config.data / "entries", self.enter, say)
        self.sealed = asyncio.Event()
        self.stored = asyncio.Event()
        self.batches.on_stored = self.stored.set
        self.batches.on_sealed = self._on_sealed
        self._mac_keys: dict[bytes, SharedKey] = {}
        self._gave_up_ms = mono_ms()
        self.pollers: list[Poller] = []
        self._nodes: list[Node] = []

    async def enter(self, raw: bytes) -> Device:
        device = await self.batches.enter(raw)
        self._mac_keys.pop(device.id, None)
        self.sealed.set()  # the entry goes up too
        return device

    def _on_link(self, up: bool, words: str) -> None:
        self.alarm("broker", "", "" if up else words)
        if up:
            self.say(words)

    def _on_lie(self, words: str) -> None:
        self.alarm("broker-lies", "", words)

    def _on_sealed(self, _: list[Cut]) -> None:
        self.sealed.set()

    # ------------------------------------------------------------ life

    async def run(self) -> None:
        loops = [self._devices(), self._beats(), self._files(), self.link.run(), *self._main(), *self._schedule()]
        loops += [poller.run() for poller in self._begin_polling()]
        try:
            async with asyncio.TaskGroup() as group:
                for loop in loops:
                    group.create_task(loop)
        finally:
            for node in self._nodes:
                await node.close()
            await self.batches.checker.close()
            self.books.close()
            self.store.close()

    def _main(self) -> list[Coroutine[Any, Any, None]]:
        chain = self.config.main
        if chain is None:
            return []
        node = Node(chain.url, self.key, self.id)
        self._nodes.append(node)
        account = Account(node, chain.id, self.key, self.id)
        uplink = Uplink(
            main=account,
            books=self.books,
            store=self.store,
            gateway=self.id,
            sealed=self.sealed,
            say=self.say,
            alarm=self.alarm,
            forked=self.batches.fork,
            backfill_s=self.config.backfill_ms / 1_000,
        )
        places = Places(Account(node, chain.id, self.key, self.id), self.batches.place, self.alarm)
        self.batches.ask = places.ask
        restore = Restore(self.batches, uplink, node, chain.id, self.alarm, self.say)
        return [self._up(restore, uplink), places.run()]

    async def _up(self, restore: Restore, uplink: Uplink) -> None:
        await restore.run()
        await uplink.run()

    def _schedule(self) -> list[Coroutine[Any, Any, None]]:
        chain = self.config.schedule
        if chain is None:
            return []
        node = Node(chain.url, self.key, self.id)
        self._nodes.append(node)
        account = Account(node, chain.id, self.key, self.id)
        forward = Forward(account, self.store, self.books, self.stored, self.say, self.alarm, self.time.hold)
        down = Down(
            node=node,
            chain=chain.id,
            gate=self.gate,
            store=self.store,
            now_s=self.time.now_s,
            mine=self._mine,
            pass_on=self.pass_on,
            say=self.say,
            alarm=self.alarm,
        )
        return [forward.run(), down.run()]

    def _mine(self, station: bytes) -> bool:
        known = self.batches.registry.devices.get(station)
        return known is not None and known.gateway == self.id

    def _begin_polling(self) -> list[Poller]:
        """A loop for each bus that has devices."""
        if not self.config.device:
            return []
        boot = int.from_bytes(self.store.get_meta("boot") or b"", "big") + 1
        with self.store.writing_now():
            self.store.put_meta("boot", boot.to_bytes(4, "big"))
            for polled in self.config.device:
                self._ask_for(polled)
        for wires in self.config.bus:
            here = [polled for polled in self.config.device if polled.bus == wires.name]
            if here:
                self.pollers.append(Poller(self.batches, self.time, self.key, wires, here, boot))
        return self.pollers

    def _ask_for(self, polled: Polled) -> None:
        """A device that cannot ask for itself: the gateway's own enrolment stands for it."""
        id = attested_id(self.id, polled.name)
        if id not in self.batches.registry.devices:
            role = ROLES.index(polled.role)
            self.store.put_enrolment(id, self.time.now_ms(), own_enrolment(self.key, self.id, role, polled.part))

    # ------------------------------------------------------------ devices

    async def _devices(self) -> None:
        while True:
            try:
                await asyncio.wait_for(self.link.arrived.wait(), self._patience_s())
                if len(self.link.inbox) < BATCH:
                    await asyncio.sleep(self.config.commit_ms / 1_000)
            except TimeoutError:
                pass
            messages = self.link.take(BATCH)
            if messages or self.batches.due():
                await self._through(messages)

    def _patience_s(self) -> float:
        """Until the next block is due; a while where nothing waits."""
        due_ms = self.batches.cutter.due_ms()
        return 1.0 if due_ms is None else min(max(due_ms - mono_ms(), 0) / 1_000, 1.0)

    async def _through(self, messages: list[Message]) -> None:
        """However long the disk takes: until then nothing of this is acknowledged, and nothing else is taken."""
        while True:
            try:
                wanting = await self.batches.take(messages, backlog=len(self.link.inbox) >= BATCH)
                break
            except sqlite3.OperationalError as error:
                self.alarm("disk", "", f"cannot store: {error}; nothing is acknowledged until it works")
                await asyncio.sleep(DISK_RETRY_S)
        self.alarm("disk", "", "")
        self.link.acknowledge(messages)
        now_ms = self.time.now_ms()
        for device in wanting:
            self.batches.beats.want(device, now_ms)
        self.send_beats(now_ms)
        if messages:
            self.time.took(len(messages))

    # ------------------------------------------------------------ down

    async def _beats(self) -> None:
        """By the site's time: a beat's period is a promise to devices."""
        beats = self.batches.beats
        while True:
            soon_ms = self.time.now_ms() + BEATS_MS
            due_ms = beats.next_ms()
            await self.time.sleep_until(soon_ms if due_ms is None else min(due_ms, soon_ms))
            async with self.store.lock:  # not while memory is ahead of the disk
                self.send_beats(self.time.now_ms())

    def send_beats(self, now_ms: int) -> None:
        for beat in self.batches.beats.due(now_ms, self.time.quality()):
            raw = envelope.mac(self._mac_key(beat.id), Beat.DOMAIN, beat.encode())
            self._publish(topics.down(beat.id, "beat"), raw, qos=0)

    def _mac_key(self, device: bytes) -> SharedKey:
        """Under the device's newest key: after a rotation the first such beat is the switch."""
        key = self._mac_keys.get(device)
        if key is None:
            if len(self._mac_keys) >= MAC_KEYS_MAX:
                self._mac_keys.pop(next(iter(self._mac_keys)))
            registry = self.batches.registry
            public_key = registry.keys.public_key(registry.devices[device].kids[-1])
            key = self._mac_keys[device] = SharedKey(self.key.kid, self.key.mac_key(public_key))
        return key

    async def pass_on(self, passed: Passed) -> None:
        for poller in self.pollers:
            device = poller.mine(passed.command.station)
            if device is not None:
                await poller.command(device, passed.command)
                return
        self._publish(topics.down(passed.command.station, "command"), passed.raw, qos=1)

    def _publish(self, topic: str, payload: bytes, qos: int) -> None:
        self.time.gave(1)
        self.link.publish(topic, payload, qos)

    # ------------------------------------------------------------ what happens once a second

    async def _files(self) -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            try:
                await self.entries.look()
                await self._note()
            except sqlite3.OperationalError as error:
                self.alarm("disk", "", f"cannot store: {error}; nothing is acknowledged until it works")

    async def _note(self) -> None:
        step_ms = self.time.stepped_ms()
        if step_ms:
            self.alarm("clock-step", "", f"by {step_ms / 1_000:+.0f} s")
        elif not self.time.doubted():
            self.alarm("clock-step", "", "")
        if mono_ms() - self._gave_up_ms >= GIVE_UP_MS:
            self._gave_up_ms = mono_ms()
            chains = self.config.main is not None, self.config.schedule is not None
            await give_up(self.store, self.batches.registry, self.config.keep, self.time.now_ms(), *chains)
        if self.batches.alarms.changed:
            async with self.store.writing():
                self.batches.write_alarms()
            self.batches.alarms.changed.clear()


def own_enrolment(key: PrivateKey, gateway: bytes, role: int, board: str) -> bytes:
    """The gateway's word on itself, or on a device that it reads."""
    word = Enrolment(id=gateway, public_key=key.public_key, role=role, board=board[:32], firmware=bytes(32))
    return envelope.sign(key, Enrolment.DOMAIN, word.encode())


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
