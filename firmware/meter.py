"""The meter: samples become registers and rows, rows become signed reports on flash, reports go to the gateway.

Owns: putting the cores together, the tasks, what is done about each message that comes down.
Refuses: sending anything that is not on flash first; acting on what carries no right MAC.
Invariants: sampling waits for nobody; a report has its seq and signature and is on flash before it is sent; before the
first beat of a connection only hello and enrolment go out.
"""

import asyncio

from firmware.clock import Clock
from firmware.journal import COARSENING
from firmware.link import Link
from firmware.memory import once
from firmware.records import COARSE, RECEIPT, REPORT
from firmware.rows import SEAL_ROWS_DOWN, TAMPER, Rows, sane
from firmware.sensors import Sensors
from firmware.session import TAKE_OVER, Session
from wire import envelope, hello, units
from wire import rows as wire_rows
from wire.errors import WireError

START = wire_rows.EVENTS.index("start")
POWER_FAIL = wire_rows.EVENTS.index("power fail")
STEP = wire_rows.EVENTS.index("clock step")
CONFIGURED = wire_rows.EVENTS.index("configuration")
COARSENED = wire_rows.EVENTS.index("coarsened")
LOST = wire_rows.EVENTS.index("sensor lost")
BACK = wire_rows.EVENTS.index("sensor back")

OUTBOX = 8  # messages beside the journal that may wait
CONFIGURATION = "tallygrid/configuration/1"  # wire.settings.Configuration.DOMAIN, without loading it
LOST_ROUNDS = 3  # rounds without a sample before rows say that nobody measures
_TOPICS = {REPORT: "report", COARSE: "coarse", RECEIPT: "receipt"}


class Meter:
    def __init__(self, base):
        self.board = base.board
        self.config = base.config
        self.files = base.files
        self.identity = base.identity
        self.id = base.identity.id
        self.numbers = base.numbers
        self.journal = base.journal
        self.journal.coarse = self.coarse
        self.registers = base.registers
        self.saved_registers = base.saved_registers
        self.enrolment = base.enrolment
        self.problems = base.problems
        self.clock = Clock(self.board.ticks_ms())
        self.sensors = Sensors(base.mains, self.take_actors(base.actors), self.board.ticks_ms)
        self.rows = Rows(self.clock.time_s(), self.registers)
        self.session = Session(self.id, self.journal.next_seq)
        self.link = Link(self.board, self.config, self.id, self)
        self.rounds = 0
        self.started = False
        self.missed = 0
        self.trouble = ""  # what the flash said last
        self._said_merged = 0
        self._outbox = []
        self._row_due_s = self._save_due_s = 0
        self._saved = None

    def take_actors(self, actors):
        """What must be asked besides the sensors; a station has actors."""
        return []

    # ------------------------------------------------------------ tasks

    async def run(self):
        self.board.on_power_fail(self._power_fails)
        self._tasks = [asyncio.create_task(task) for task in self.tasks()]
        await self._sample_on()

    def tasks(self):
        return [self.link.run(), self._watch()]

    def watched_turns(self):
        """What must rise, and within how many seconds, for the watchdog to be fed."""
        return ((self.rounds, 5 + 3 * self.config.sample_ms // 1000), (self.link.turns, 90))

    async def _sample_on(self):
        ticks_ms = self.board.ticks_ms
        due_ms = ticks_ms()
        while True:
            period_ms = self.config.sample_ms
            sample = await self.sensors.round(period_ms - 20)
            self.sampled(sample, ticks_ms())
            self.rounds += 1
            due_ms += period_ms
            left_ms = (due_ms - ticks_ms()) & 0x3FFFFFFF
            if left_ms > period_ms:  # late by more than a whole period: begin anew instead of catching up
                due_ms = ticks_ms()
                left_ms = 0
            await asyncio.sleep_ms(left_ms)

    async def _watch(self):
        """Feeds the watchdog only when every loop came round since."""
        dog = self.board.watchdog()
        seen = [(0, 0)] * len(self.watched_turns())
        while True:
            uptime_s = self.clock.uptime_s
            alive = True
            for i, (turns, limit_s) in enumerate(self.watched_turns()):
                if turns != seen[i][0]:
                    seen[i] = (turns, uptime_s)
                alive = alive and uptime_s - seen[i][1] <= limit_s
            if alive:
                dog.feed()
            await asyncio.sleep(1)

    # ------------------------------------------------------------ measuring

    def sampled(self, sample, now_ms):
        """One round is over. `sample` is None where nobody measured."""
        self.clock.tick(now_ms)
        if sample is not None and not sane(sample):
            sample = None
        if sample is None:
            self.missed += 1
            if self.missed == LOST_ROUNDS and self.started:
                self.rows.lost()
                self.event(LOST)
        else:
            self._measured(sample, now_ms)
        if not self.started and (sample is not None or self.missed >= LOST_ROUNDS):
            self.started = True
            self.event(START, self.board.reset_cause())
            self._plan_row()
        uptime_s = self.clock.uptime_s
        if uptime_s >= self._row_due_s and self.started:
            self.close_row()
        if uptime_s >= self._save_due_s:
            self.save_registers()
        self.seal_if_due()

    def _measured(self, sample, now_ms):
        back = self.missed >= LOST_ROUNDS and self.started
        self.missed = 0
        if back:
            self.rows.close(self.clock.time_s(), self.registers, self.flags())
        followed = self.registers.take(sample, now_ms, self.config.sample_ms)
        self.rows.add(sample)
        if back:
            self.event(BACK)
        if not followed and self.started:
            self.event(TAMPER, units.SUSPECT.index("register-fell"))

    def close_row(self):
        self._plan_row()
        self.rows.close(self.clock.time_s(), self.registers, self.flags())

    def _plan_row(self):
        """Rows end where the clock's seconds are a multiple of the interval, on all devices at the same time."""
        row_s = self.config.row_s
        self._row_due_s = self.clock.uptime_s + row_s - self.clock.time_s() % row_s

    def event(self, code, value=0, boundary=False):
        """An event is a row of its own, sealed at once."""
        flags = self.flags() | (wire_rows.BOUNDARY if boundary else 0)
        self.rows.close(self.clock.time_s(), self.registers, flags, [code, value])
        if self.clock.uptime_s >= self._row_due_s:
            self._plan_row()  # a plain row that is due in this second would say the same
        self.seal()

    def flags(self):
        return 0

    def save_registers(self):
        self._save_due_s = self.clock.uptime_s + self.config.save_s
        record = self.registers.pack()
        if record == self._saved:
            return
        try:
            self.saved_registers.save(record)
            self._saved = record
        except OSError as error:
            self.trouble = "registers: %s" % error

    # ------------------------------------------------------------ sealing

    def seal_if_due(self):
        if self.link.up:
            due = self.rows.due(self.clock.time_s(), self.config.seal_rows, self.config.seal_s)
        else:
            due = self.rows.due(0, SEAL_ROWS_DOWN, 0)
        if due:
            self.seal()

    def seal(self):
        """The pending rows become one signed report on flash."""
        rows = self.rows.pending[: wire_rows.ROWS_MAX]
        if not rows:
            return
        journal = self.journal
        head = journal.head
        try:
            body = self.signed_report(journal.next_seq, head, self.rows.base_s, self.clock.quality, rows)
            for row in rows:
                head = wire_rows.advance(head, row)
            journal.append(REPORT, body, len(rows), head)
        except OSError as error:  # full flash, or a secure element that does not answer
            self.trouble = "journal: %s" % error
            if len(self.rows.pending) >= wire_rows.ROWS_MAX:
                self.rows.pending = once("firmware.thinning wire.report wire.state", "thin", self.rows.pending)
            return
        self.rows.sealed(len(rows))
        self.link.poke()
        if journal.merged != self._said_merged:
            merged = journal.merged - self._said_merged
            self._said_merged = journal.merged
            self.event(COARSENED, merged)

    def signed_report(self, seq, head, time_s, quality, rows):
        payload = wire_rows.encode(self.id, self.numbers.boot, seq, head, time_s, quality, rows)
        return envelope.sign(self.identity.signer, wire_rows.DOMAIN, payload)

    def coarse(self, *fields):
        """The signed bytes of a coarse report; fields as in `coarsening.signed`."""
        return once(COARSENING, "signed", self, *fields)

    def sign(self, message):
        return envelope.sign(self.identity.signer, message.DOMAIN, message.encode())

    # ------------------------------------------------------------ the link's holder

    def greeted(self):
        """Whether the gateway has answered what was said first."""
        return self.session.position is not None

    def connected(self):
        """What is said first on a connection."""
        nonce = self.board.random(16)
        self.session.connected(nonce)
        registers = self.registers
        journal = self.journal
        greeting = hello.Hello(
            id=self.id, boot=self.numbers.boot, nonce=nonce, oldest_seq=journal.oldest_seq, next_seq=journal.next_seq,
            head=journal.head, registers=[registers.import_wh, registers.export_wh],
            configuration=self.numbers.configuration,
        )  # fmt: skip
        messages = [("hello", self.sign(greeting))]
        if not self.session.settled or self.identity.next is not None:
            messages.insert(0, ("enrolment", self.enrolment))
        return messages

    def disconnected(self):
        self.session.disconnected()
        for entry in self._outbox:
            entry[2] = False  # whatever was under way is to be sent again

    def say(self, kind, message):
        """Sends a message that is not in the journal, once the gateway has beaten; of states only the newest."""
        if kind == "state":
            self._outbox = [entry for entry in self._outbox if entry[0] != kind]
        self._outbox = self._outbox[1 - OUTBOX :] + [[kind, message, False]]
        self.link.poke()

    def next_message(self):
        if self.session.position is None:
            return None
        for entry in self._outbox:
            if not entry[2]:
                entry[2] = True
                return entry[0], entry[1], entry
        found = self.session.due(self.journal)
        if found is None:
            return None
        if isinstance(found, tuple):
            coarse = self.coarse(*self.session.gap(found[1]), 0, None, None)
            self.session.gap_sent(found[1])
            return "coarse", coarse, None
        self.session.sent()
        return _TOPICS[found.kind], found.body, None

    def acknowledged(self, entry):
        if entry in self._outbox:
            self._outbox.remove(entry)

    def arrived(self, kind, payload, retained):
        """A message from the broker: beats and configurations; a station takes commands too."""
        if retained:
            return
        try:
            if kind == "beat":
                self._beat(self.identity.open_mac(payload, hello.Beat.DOMAIN, self.identity.gateway_kid))
            elif kind == "configuration":
                self._configure(self.identity.open_mac(payload, CONFIGURATION, self.identity.gateway_kid))
        except WireError as error:
            self.problem("%s refused: %s" % (kind, error))
        except OSError as error:
            self.trouble = "%s: %s" % (kind, error)

    def problem(self, words):
        """Kept for whoever asks at the console; the newest ten."""
        self.problems = self.problems[-9:] + [words]

    # ------------------------------------------------------------ beats

    def _beat(self, payload):
        beat = self.session.beat(payload, self.clock.uptime_s)
        step_s = self.clock.hear(beat.time_s, beat.quality)
        if step_s:
            self._step(step_s)
        if self.session.stand(beat, self.journal) == TAKE_OVER:
            self._take_over(beat)
            self.session.stand(beat, self.journal)
        self.link.poke()

    def _step(self, seconds):
        """The rows before a step keep the time they were made in; the event says how far it went."""
        if self.rows.samples:
            self.close_row()
        if self.rows.pending:
            self.seal()
        self.clock.step(seconds)
        self.rows.rebase(self.clock.time_s())
        self._plan_row()
        if self.started:
            self.event(STEP, seconds)

    def _take_over(self, beat):
        """The gateway holds more than this flash."""
        if self.rows.pending:
            self.seal()
        once("firmware.takeover wire.report wire.state", "take_over", self, beat)
        self.session.taken_over(beat.next_seq)

    def _configure(self, payload):
        version = once("firmware.changes firmware.config firmware.keyring wire.settings", "take", self, payload)
        self._plan_row()
        self.event(CONFIGURED, version)

    def _power_fails(self, pin):
        """The supply lasts some milliseconds more: registers first, they are short."""
        self.save_registers()
        if self.started:
            self.event(POWER_FAIL)
