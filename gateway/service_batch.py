"""One batch after another: open → signatures → judge → store → cut and seal → commit → acknowledge.

Owns: what of the gateway must agree with its disk: intake, cutter, the chain's tip, counts and alarms not yet written.
Refuses: acknowledging before the commit returned. A commit that fails throws the batch's effects away in memory too.
Invariant: after `recover` memory is what the disk says; at any instant a kill -9 loses nothing that was acknowledged.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from gateway import intake
from gateway.alarms import Alarms
from gateway.beats import Beats
from gateway.config import Config
from gateway.cutter import Cut, Cutter
from gateway.guard import Window
from gateway.intake import Decision, Intake, Opened
from gateway.mqtt import Message
from gateway.registry import Device, Registry
from gateway.sequence import Position, position_at_hello
from gateway.service_clock import SiteTime, mono_ms
from gateway.store import Store
from gateway.verify import Checker
from wire import envelope, report
from wire.chain import slave
from wire.chain.keys import KeyRing, PrivateKey
from wire.enrol import Entry
from wire.errors import WireError
from wire.hello import Hello
from wire.ids import id_text
from wire.units import SUSPECT

KEEP_A_MINUTE = 20  # refusals of one device for one reason that are written down whole
ENROLMENTS_MAX = 1_000
ALARMING = ("clone", "foreign-gateway", "flood")  # refusals that somebody should look at


class Batches:
    """`ask` is told of a device whose position only the main chain can say; without a main chain it is None."""

    def __init__(
        self, config: Config, key: PrivateKey, time: SiteTime, store: Store, say: Callable[[str], None]
    ) -> None:
        self.config = config
        self.key = key
        self.id = config.account or key.kid
        self.time = time
        self.store = store
        self.say = say
        self.alarms = Alarms({(one.word, one.about): one for one in store.alarms()})
        self.registry = Registry(ring(config.registrars))
        self._load_entries()
        self.intake = Intake(self.id, self.registry, store)
        self.checker = Checker(self.registry.keys, config.workers)
        self.beats = Beats(self.durable, config.period_s)
        self.ask: Callable[[bytes], None] | None = None
        self.on_stored: Callable[[], None] = _nothing  # whoever sends stored messages on
        self.on_sealed: Callable[[list[Cut]], None] = _nothing  # whoever sends blocks on
        self.pairing: Callable[[], bool] = lambda: True
        self.unplaced: dict[bytes, Hello] = {}
        self.counts: Counter[str] = Counter()  # of this batch
        self.totals: Counter[str] = Counter(store.books.tallies())
        self._kept = Window(KEEP_A_MINUTE, 60_000)
        self._raised: list[tuple[str, str, str]] = []
        self.sealing = store.get_meta("fork") is None and store.get_meta("restoring") is None
        store.on_failure = self.recover
        self.recover()

    def _load_entries(self) -> None:
        for raw in self.store.books.entries():
            try:
                self.registry.put(*self.registry.read(raw, trusted=True))
            except WireError as error:
                self.alarm("entry", "", f"{error}; restore a backup, or enter the device again")

    def recover(self) -> None:
        """Everything in memory as the disk has it: at the start, and after a commit that failed."""
        self.intake.forget()
        self.height, self.tip = self.store.books.tip()
        self.cutter = Cutter(self.config.block_age_ms)
        if self.sealing:
            long_ago = mono_ms() - self.config.block_age_ms
            for n, raw, urgent in self.store.waiting():
                self.cutter.add(n, raw, urgent, long_ago)

    def alarm(self, word: str, about: str, detail: str) -> None:
        """Raised with a detail, over with none; told once."""
        if not detail:
            if self.alarms.down(word, about):
                self.say(f"{word} {about}".rstrip() + ": over")
        elif self.alarms.up(word, about, detail, self.time.now_ms()):
            self.say(f"{word} {about}".rstrip() + f": {detail}")

    async def fork(self) -> None:
        """Another box seals under our key: no further block from here until somebody has looked."""
        self.sealing = False
        async with self.store.writing():
            self.store.put_meta("fork", b"1")

    # ------------------------------------------------------------ messages of devices

    def due(self) -> bool:
        """Whether a block must be cut though nothing came."""
        due_ms = self.cutter.due_ms()
        return self.sealing and due_ms is not None and mono_ms() >= due_ms

    async def take(self, messages: Sequence[Message], backlog: bool = False) -> list[bytes]:
        """Makes messages durable and seals what is due; the devices that want a beat. Then they may be acknowledged."""
        now_ms = self.time.now_ms()
        self.counts.clear()
        self._raised.clear()
        opened = [self._open(message, now_ms) for message in messages]
        claims = [one.claim() for one in opened if isinstance(one, Opened)]
        verdicts = iter(await self.checker.check(claims, backlog) if claims else [])
        wanting: dict[bytes, None] = {}
        async with self.store.writing():
            for message, one in zip(messages, opened, strict=True):
                decision: Decision
                if isinstance(one, Opened):
                    bad = next(verdicts)
                    decision = intake.Refused(bad, "", one.device.id) if bad else self.intake.judge(one)
                else:
                    decision = one
                if self._apply(decision, one, message.payload, now_ms):
                    assert decision.device is not None
                    wanting[decision.device] = None
            cuts = self._seal(now_ms)
            self._write_counts()
        self._committed(cuts)
        return list(wanting)

    def _open(self, message: Message, now_ms: int) -> Opened | intake.Enrolling | intake.Ignored | intake.Refused:
        if message.retained:
            return intake.Refused("retained", message.topic)
        return self.intake.open(message.topic, message.payload, now_ms)

    def _apply(self, decision: Decision, opened: object, raw: bytes, now_ms: int) -> bool:
        """True where the device should hear a beat."""
        if isinstance(decision, intake.Stored):
            self._queue(decision, now_ms)
            return True
        if isinstance(decision, intake.Held):
            assert isinstance(opened, Opened)
            self.store.put_held(decision, opened.key)
            self.counts["held"] += 1
            self._raised.append(("gap", id_text(decision.device), f"rows before {decision.seq} are missing"))
            return True
        if isinstance(decision, intake.Greeted):
            return self._greet(decision, now_ms)
        if isinstance(decision, intake.Enrolling):
            decision = self._enrol(decision, now_ms)
        if isinstance(decision, intake.Refused):
            self._refuse(decision, raw, now_ms)
            return decision.reason == "held-full"
        if isinstance(decision, intake.Ignored):
            self.counts[decision.word] += 1
            if decision.word == "gone":
                self.beats.gone(decision.device)
        return isinstance(decision, intake.Ignored) and decision.word == "duplicate"  # it has not seen the beat for it

    def _greet(self, greeted: intake.Greeted, now_ms: int) -> bool:
        device, hello = greeted.device, greeted.hello
        self.beats.greet(hello, now_ms)
        if greeted.placed:
            return True
        if self.ask is None:
            position = position_at_hello(hello.oldest_seq, hello.next_seq, hello.head)
            self.store.put_place(device, position, self.registry.devices[device].since)
            return True
        self.unplaced[device] = hello
        self.ask(device)
        return False

    async def place(self, device: bytes, position: Position | None) -> None:
        """The main chain's word on where a device stands; None where it knows nothing."""
        known = self.registry.devices.get(device)
        hello = self.unplaced.pop(device, None)
        if known is None:
            return
        if position is None:
            position = position_at_hello(hello.oldest_seq, hello.next_seq, hello.head) if hello else Position()
        async with self.store.writing():
            self.store.put_place(device, position, known.since)
        self.intake.tracks.pop(device, None)
        self.beats.want(device, self.time.now_ms())

    def _enrol(self, enrolling: intake.Enrolling, now_ms: int) -> Decision:
        if enrolling.device in self.registry.devices:
            pass  # a rotation, or a device that asks again
        elif not self.pairing():
            return intake.Refused("pairing-closed", "", enrolling.device)
        elif len(self.store.books.enrolments()) >= ENROLMENTS_MAX:
            return intake.Refused("pairing-full", "", enrolling.device)
        self.store.put_enrolment(enrolling.device, now_ms, enrolling.raw)
        return intake.Ignored(enrolling.device, "enrolment")

    def _refuse(self, refused: intake.Refused, raw: bytes, now_ms: int) -> None:
        self.counts[f"refused:{refused.reason}"] += 1
        if self._kept.allows((refused.device, refused.reason), now_ms):
            kept = raw[: intake.MESSAGE_MAX if refused.reason in ALARMING else 1_024]  # whole where it is evidence
            self.store.put_refused(now_ms, refused.device, refused.reason, refused.detail, kept)
        if refused.reason in ALARMING and refused.device is not None:
            self._raised.append((refused.reason, id_text(refused.device), refused.detail or refused.reason))

    # ------------------------------------------------------------ what is stored

    def _queue(self, stored: intake.Stored, now_ms: int) -> None:
        since_ms = mono_ms()
        for n, raw in self.store.put(stored, now_ms):
            if self.sealing:
                self.cutter.add(n, raw, stored.urgent, since_ms)
        self.counts["stored"] += max(len(stored.taken), 1)
        if len(stored.taken) > 1 and not self.intake.tracks[stored.device].gap():
            self._raised.append(("gap", id_text(stored.device), ""))
        for taken in stored.taken:
            if taken.suspect:
                self.counts[f"suspect:{SUSPECT[taken.suspect]}"] += 1
                self._raised.append(("suspect", id_text(stored.device), SUSPECT[taken.suspect]))

    def attest(self, device: bytes, raw: bytes, item: report.Report) -> intake.Stored:
        """A report of our own making, judged like any other. Only within `keep`, which makes it durable."""
        known = self.registry.devices[device]
        track = self.intake.track(known)
        assert track is not None, "its attester began at this position"
        decision = self.intake.follow(known, intake.ATTESTED, track, item, raw, 0)
        assert isinstance(decision, intake.Stored), decision
        return decision

    async def admit(self, device: bytes) -> None:
        """A device of our own whose rows are to begin: where, says the main chain if there is one."""
        if self.ask is None:
            await self.place(device, None)
        else:
            self.ask(device)

    async def keep(self, make: Callable[[], list[intake.Stored]], notes: dict[str, bytes]) -> None:
        """Messages of the gateway's own making, and what it must remember with them."""
        now_ms = self.time.now_ms()
        self.counts.clear()
        self._raised.clear()
        async with self.store.writing():
            for one in make():
                self._queue(one, now_ms)
            for name, note in notes.items():
                self.store.put_meta(name, note)
            cuts = self._seal(now_ms)
            self._write_counts()
        self._committed(cuts)

    async def enter(self, raw: bytes) -> Device:
        """A registrar's entry: kept, sent up with the next block, and in force at once. Once is enough."""
        if self.store.has_entry(raw):
            return self.registry.devices[Entry.decode(envelope.split(raw).payload).device]
        device, public_key = self.registry.read(raw)
        async with self.store.writing():
            self.store.put_entry(device.id, raw)
            self._queue(intake.Stored(device.id, "entry", raw, urgent=True), self.time.now_ms())
            cuts = self._seal(self.time.now_ms())
        self.registry.put(device, public_key)
        self.intake.tracks.pop(device.id, None)
        self.beats.want(device.id, self.time.now_ms())
        self._committed(cuts)
        return self.registry.devices[device.id]

    def _seal(self, now_ms: int) -> list[Cut]:
        cuts = self.cutter.cut(mono_ms()) if self.sealing else []
        for cut in cuts:
            block = slave.seal(
                self.key,
                cut.body,
                alliance=self.config.alliance,
                gateway=self.id,
                height=self.height + 1,
                previous=self.tip,
                urgency=cut.urgency,
                time_s=now_ms // 1_000,
            )
            self.store.put_block(block, cut.first_n, cut.last_n, now_ms)
            self.height, self.tip = block.header.height, block.header.hash()
        return cuts

    def _write_counts(self) -> None:
        for word, count in self.counts.items():
            self.store.add(word, count)
        for word, about, detail in self._raised:
            self.alarm(word, about, detail)
        self.write_alarms()

    def write_alarms(self) -> None:
        """Inside a transaction: what the disk has not heard of."""
        for (word, about), alarm in self.alarms.changed.items():
            self.store.put_alarm(word, about, alarm)

    def _committed(self, cuts: list[Cut]) -> None:
        """All this is on disk."""
        self.alarms.changed.clear()
        self.totals.update(self.counts)
        self.counts.clear()
        self.on_stored()
        if cuts:
            self.on_sealed(cuts)

    def durable(self, device: bytes) -> Position | None:
        """Where a device stands on disk. Only while no batch is under way."""
        known = self.registry.devices.get(device)
        track = self.intake.track(known) if known is not None else None
        return None if track is None else track.position


def _nothing(*_: object) -> None: ...


def ring(public_keys: list[bytes]) -> KeyRing:
    found = KeyRing()
    for key in public_keys:
        found.add(key)
    return found
