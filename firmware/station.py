"""The station: a meter that also acts. Commands become orders, orders move relays and inverters, receipts say what came
of them; local safety stands above all of it.

Owns: the state, the order in force, what relays and inverters are told, receipts, the station state.
Refuses: acting without a lease, without the gateway's beat, or against `safety`; signing an answer to every forgery.
Invariants: the physical world moves first, signatures come after; the relay is open in every state but charging and
discharging (and then no longer than its minimum time, at no power); a counter is on flash before it is acted on.
"""

import asyncio

from firmware import orders, safety
from firmware.meter import LOST_ROUNDS, Meter
from firmware.records import RECEIPT
from firmware.safety import CHARGING, DISCHARGING, FAULT, IDLE, LEASED, SAFE
from firmware.store import Slots
from firmware.watched import Watched
from wire import command, rows
from wire.state import State

SAFE_IN = rows.EVENTS.index("safe entered")
SAFE_OUT = rows.EVENTS.index("safe left")
COMMAND = rows.EVENTS.index("command")
SESSION_START = rows.EVENTS.index("session start")
SESSION_END = rows.EVENTS.index("session end")
STORE_ROUNDS = 15  # a scan of an inverter's models may take so many
REFUSALS = 4  # signed at once; then one in REFUSAL_S
REFUSAL_S = 5
FULL_AGAIN_MILLI = 20  # a flag that fell at a limit rises only so far from it
MOVE_MS = 20
MOVES = 10  # a contact and the pulse of a latching coil are through by then


class Station(Meter):
    def __init__(self, base):
        self.relays = []
        self.converter = None
        self._store = None
        super().__init__(base)
        board, config, files = base.board, base.config, base.files
        self.state = safety.BOOTING
        self.why = ""  # the reason of a safe state
        self.order = None
        self._ending = None  # (order, outcome, reason, since): its receipt waits until the relay has opened
        self._part1 = None
        self._slot = Slots(files, "order")
        record = self._slot.load()
        self._left_over = orders.unpack_order(record) if record else None
        self._door = board.pin(config.door) if config.door else None
        self._clear_s = None
        self._closed = False  # what the relays were told
        self._moved_s = -config.relay_off_s_min
        self._set_w = 0
        self._eased_w = self._eased_s = 0  # what was in force before the set point last fell, and when that was
        self._control_s = 0
        self._refused = 0
        self._tokens = REFUSALS
        self._token_s = 0
        self._told = None  # flags and stored energy of the last state message
        self._sample = None
        self.turns = 0

    def take_actors(self, actors):
        others = []
        for part, driver in actors:
            if part.startswith("relay"):
                self.relays.append(driver)
                driver.open()
                continue
            watched = Watched(driver)
            others.append(watched)
            self.converter = driver
            if part == "sunspec-battery":
                self._store = watched
        return others

    # ------------------------------------------------------------ tasks

    def tasks(self):
        return super().tasks() + [self._control()]

    async def _control(self):
        while True:
            self.turns += 1
            self.control()
            await self._move()
            await asyncio.sleep(1)

    def watched_turns(self):
        return super().watched_turns() + ((self.turns, 5),)

    async def _move(self):
        """Relays are looked after until they have moved."""
        for _ in range(MOVES):
            now_ms = self.board.ticks_ms()
            for relay in self.relays:
                relay.poll(now_ms)
            if not self._moving:
                return
            await asyncio.sleep_ms(MOVE_MS)
        self._moving = False

    _moving = False

    def sampled(self, sample, now_ms):
        self._sample = sample if sample is not None else self._sample
        store = self._store.last if self._store else None
        if store is not None:
            self.rows.soc_milli = store.soc_permille
            self.rows.temperature_dc = store.temperature_dc
        super().sampled(sample, now_ms)

    def flags(self):
        closed = rows.CLOSED if self.is_closed() else 0
        return closed | (rows.SAFE if self.state in (safety.BOOTING, SAFE, FAULT) else 0)

    def is_closed(self):
        """What the contacts say; where none is wired, what the relays were told."""
        said = [relay.closed for relay in self.relays]
        return self._closed if not said or None in said else any(said)

    # ------------------------------------------------------------ control, once a second

    def control(self):
        view = self._look()
        state = self.state
        if state == safety.BOOTING:
            if self.started:
                self._recover()
                self._enter("started", "reset")
        elif self._is_stuck(view):
            if state != FAULT:
                self._enter("stuck", "stuck-relay")
            self._clear_s = None
        elif state in (SAFE, FAULT):
            self._wait_until_clear(safety.broken(self.config, view))
        else:
            reason = safety.broken(self.config, view)
            if reason:
                self._enter("unsafe", reason)
            elif self.order is not None:
                self._follow(view)
        self._drive()
        self._finish(view)
        self._tell_state_if_changed()

    def _look(self):
        view = safety.View()
        sample = self._sample
        view.acting = 1 if self.state == CHARGING else -1 if self.state == DISCHARGING else 0
        view.limit_w = self._limit_in_force()
        view.measured = sample is not None and self.missed < LOST_ROUNDS
        if sample is not None:
            volts, amps = sample.voltage_mv, sample.current_ma
            view.power_w = sample.power_w
            view.voltage_mv = volts if type(volts) is int else _worst(self.config, volts)
            view.current_ma = amps if type(amps) is int else max(amps)
        watched = self._store
        if watched is not None:
            view.has_store = True
            view.store_seen = watched.last is not None and watched.missed < STORE_ROUNDS
            if watched.last is not None:
                view.soc_milli = watched.last.soc_permille
                view.temperature_dc = watched.last.temperature_dc
        most = self.config.frozen_samples
        view.frozen = bool(view.acting and most and max([main.same for main in self.sensors.mains]) >= most)
        view.door_open = self._door is not None and bool(self._door.value())
        view.link_lost = self.session.lost(self.clock.uptime_s)
        view.no_clock = self.clock.quality == rows.NONE
        return view

    def _limit_in_force(self):
        """A lower limit is held against what was measured once the inverter has had time to follow it."""
        follows = self.clock.uptime_s - self._eased_s < safety.FOLLOW_S
        return max(abs(self._set_w), self._eased_w) if follows else abs(self._set_w)

    def _is_stuck(self, view):
        """Told to open, but the contact says closed, or where there is none, current still flows."""
        if self._closed or not self.relays or self.clock.uptime_s - self._moved_s < safety.STUCK_S:
            return False
        for relay in self.relays:
            if relay.closed is not None:
                return bool(relay.closed)
        return view.measured and (view.current_ma or 0) > safety.LEAK_MA

    def _wait_until_clear(self, reason):
        uptime_s = self.clock.uptime_s
        if reason and self.state == SAFE:
            self._clear_s = None
            self.why = reason
            return
        if self._clear_s is None:
            self._clear_s = uptime_s
        if uptime_s - self._clear_s < safety.HOLD_S:
            return
        self._clear_s = None
        if self.state == FAULT:
            self._go("freed")
            return
        self._go("clear")
        self.why = ""
        self.event(SAFE_OUT)

    def _enter(self, happening, reason):
        """Into safe or fault: the world first, then the order's end, then the signed event."""
        self._go(happening)
        self.why = reason
        self._clear_s = None
        self._drive()
        if self.order is not None:
            self._end("failed-safe", reason)
        self.event(SAFE_IN, safety.reason(reason))

    def _go(self, happening):
        self.state = safety.after(self.state, happening) or self.state

    # ------------------------------------------------------------ the order

    def _follow(self, view):
        order = self.order
        time_s = self.clock.time_s()
        barred = safety.barred(self.config, view, order.action)
        if order.action != "idle" and order.moved_wh(self.registers) >= order.energy_wh:
            self._over("done", "")
        elif time_s >= order.lease_until:
            self._over("done" if order.action == "idle" else "partial", "lease-ended")
        elif barred:
            self._over("partial", barred)
        elif self._closed and not self.is_closed() and self._waited(safety.STUCK_S):
            self._enter("unsafe", "stuck-relay")
        elif self.state == LEASED and order.action != "idle" and time_s >= order.not_before and self._rested():
            self._go(order.action)
            self._drive()
            self.event(SESSION_START, order.counter)

    def _rested(self):
        return self._closed or self._waited(self.config.relay_off_s_min)

    def _waited(self, seconds):
        return self.clock.uptime_s - self._moved_s >= seconds

    def _over(self, outcome, reason):
        self._go("over")
        self._drive()
        self._end(outcome, reason)

    def _end(self, outcome, reason):
        """The order is over; what came of it is told once the relay has opened, or when it should have."""
        if self._ending is not None:
            self._tell_end()
        self._ending = (self.order, outcome, reason, self.clock.uptime_s)
        self.order = None

    def _finish(self, view):
        if self._ending is None:
            return
        still = self.is_closed() or (view.measured and (view.current_ma or 0) > safety.LEAK_MA)
        if not still or self.clock.uptime_s - self._ending[3] >= safety.STUCK_S:
            self._tell_end()

    def _tell_end(self):
        order, outcome, reason, _ = self._ending
        self._ending = None
        self.event(SESSION_END, order.counter, True)
        self._receipt(order, 2, outcome, reason)
        if self.order is None:
            self._slot.save(b"")

    def _receipt(self, order, part, outcome, reason):
        registers = self.registers
        now = [registers.import_wh, registers.export_wh]
        receipt = command.Receipt(
            station=self.id, command=order.id, counter=order.counter, part=part,
            outcome=command.OUTCOMES.index(outcome), reason=safety.reason(reason),
            before=list(order.before), after=now if part == 2 else list(order.before),
            first_seq=order.first_seq, last_seq=self.journal.next_seq - 1, time_s=self.clock.time_s(),
        )  # fmt: skip
        signed = self.sign(receipt)
        self.journal.append(RECEIPT, signed)
        self.link.poke()
        return signed

    def _recover(self):
        """An order was in force when the device went down: it ended there and then. Each part is said once."""
        order = self._left_over
        if order is None:
            return
        said = self._parts_said(order)
        if 1 not in said:
            self._receipt(order, 1, "taken", "")
        if 2 not in said:
            self._receipt(order, 2, "failed-safe", "reset")
        self._slot.save(b"")
        self._left_over = None

    def _parts_said(self, order):
        """The parts of an order's receipt that are in the journal."""
        parts = []
        place = self.journal.seek(order.first_seq)
        while place:
            record, place = self.journal.read(place)
            if record is None:
                break
            if record.kind == RECEIPT:
                receipt = command.Receipt.decode(record.payload())
                if receipt.command == order.id:
                    parts.append(receipt.part)
        return parts

    # ------------------------------------------------------------ relays and inverters

    def _drive(self):
        seconds = self.clock.uptime_s - self._control_s
        self._control_s = self.clock.uptime_s
        acting = self.state in (CHARGING, DISCHARGING)
        wanted_w = safety.allowed_w(self.config, self.order.action, self.order.limit_w) if acting else 0
        before_w, in_force_w = abs(self._set_w), self._limit_in_force()
        self._set_w = safety.ramped(self.config, self._set_w, wanted_w, seconds) if acting else 0
        if abs(self._set_w) < before_w:
            self._eased_w, self._eased_s = in_force_w, self.clock.uptime_s
        if self.converter is not None:
            self.converter.set(self._set_w)
        rests = self.state in (IDLE, LEASED) and self.converter is not None
        if acting:
            self._switch(True)
        elif not rests or self._waited(self.config.relay_on_s_min):
            self._switch(False)

    def _switch(self, closed):
        if closed == self._closed:
            return
        self._closed = closed
        self._moved_s = self.clock.uptime_s
        self._moving = True
        for relay in self.relays:
            if closed:
                relay.close()
            else:
                relay.open()

    # ------------------------------------------------------------ commands

    def arrived(self, kind, payload, retained):
        if kind == "command":
            try:
                self._command(payload, retained)
            except orders.Refusal as refusal:
                self._refuse(refusal)
            except OSError as error:
                self.trouble = "command: %s" % error
        else:
            super().arrived(kind, payload, retained)

    def _command(self, payload, retained):
        if retained:
            raise orders.Refusal("retained")
        found = orders.read(payload, self.identity.open_mac, self.identity.dispatch_kid, self.id)
        if self._part1 is not None and self._part1[0] == found.id:
            self.say("receipt", self._part1[1])  # a second copy of the message, not of the order
            return
        if not self.session.settled:
            raise orders.Refusal("no-hello", found)
        if self.clock.quality == rows.NONE:
            raise orders.Refusal("no-clock", found)
        orders.check(found, self.numbers.command, self.clock.time_s())
        if self.state in (safety.BOOTING, SAFE, FAULT):
            raise orders.Refusal("stuck-relay" if self.state == FAULT else "safe-state", found)
        action = command.ACTIONS[found.action]
        barred = safety.barred(self.config, self._look(), action)
        if barred:
            raise orders.Refusal(barred, found)
        if action != "idle" and found.lease_until - found.not_before < self.config.relay_on_s_min:
            raise orders.Refusal("relay-rest", found)
        self._take(found, action)

    def _take(self, found, action):
        self.numbers.keep("command", found.counter)
        if self.order is not None:
            done = self.order.action == "idle" or self.order.moved_wh(self.registers) >= self.order.energy_wh
            self._end("done" if done else "partial", "replaced")
            self._tell_end()
        self.event(COMMAND, found.counter)
        before = (self.registers.import_wh, self.registers.export_wh)
        self.order = orders.Order(
            found.id, found.counter, action, found.limit_w, found.energy_wh, found.not_before, found.lease_until,
            before, self.journal.next_seq - 1,
        )  # fmt: skip
        self._slot.save(self.order.pack())
        self._go("order")
        self._part1 = (found.id, self._receipt(self.order, 1, "taken", ""))
        self.control()

    def _refuse(self, refusal):
        """Signed, but not at any rate: whoever floods us gets one answer in a while, with the number of refusals."""
        self._refused += 1
        uptime_s = self.clock.uptime_s
        self._tokens = min(REFUSALS, self._tokens + (uptime_s - self._token_s) // REFUSAL_S)
        self._token_s += (uptime_s - self._token_s) // REFUSAL_S * REFUSAL_S
        if not self._tokens:
            return
        self._tokens -= 1
        order = refusal.order
        registers = [self.registers.import_wh, self.registers.export_wh]
        last_seq = max(0, self.journal.next_seq - 1)
        receipt = command.Receipt(
            station=self.id, command=order.id if order else None, counter=order.counter if order else self._refused,
            part=1, outcome=command.OUTCOMES.index("expired" if refusal.reason == "late" else "refused"),
            reason=safety.reason(refusal.reason), before=registers, after=registers,
            first_seq=last_seq, last_seq=last_seq, time_s=self.clock.time_s(),
        )  # fmt: skip
        self.say("receipt", self.sign(receipt))

    # ------------------------------------------------------------ what the station says of itself

    def _beat(self, payload):
        first = self.session.position is None
        super()._beat(payload)
        if first and self.started:
            self._tell_state()

    def _flags_ok(self, soc):
        """(may give, may take), with a distance from the limit that it fell at."""
        if self.state in (safety.BOOTING, SAFE, FAULT):
            return (0, 0)
        config = self.config
        low, high = config.soc_min_milli, config.soc_max_milli
        before = self._told[0] if self._told else (1, 1)
        supply = config.discharge_w_max and soc is not None and soc > low + (0 if before[0] else FULL_AGAIN_MILLI)
        acquire = config.charge_w_max and soc is not None and soc < high - (0 if before[1] else FULL_AGAIN_MILLI)
        return (int(bool(supply)), int(bool(acquire)))

    def _stored(self):
        """(state of charge, usable energy, usable capacity): what lies within the window."""
        config = self.config
        store = self._store.last if self._store else None
        soc = store.soc_permille if store is not None else None
        window = max(0, config.soc_max_milli - config.soc_min_milli)
        above = min(max(0, (soc or 0) - config.soc_min_milli), window)
        return soc, config.capacity_wh * above // 1000, config.capacity_wh * window // 1000

    def _tell_state_if_changed(self):
        if self._told is None or self.session.position is None:
            return
        soc, stored_wh, _ = self._stored()
        idle = self.order is None and self._ending is None
        if self._flags_ok(soc) != self._told[0] or (idle and abs(stored_wh - self._told[1]) >= self.config.unit_wh):
            self._tell_state()

    def _tell_state(self):
        soc, stored_wh, capacity_wh = self._stored()
        flags = self._flags_ok(soc)
        self._told = (flags, stored_wh)
        self.numbers.keep("state", self.numbers.state + 1)
        store = self._store.last if self._store else None
        state = State(
            id=self.id, number=self.numbers.state, seq=self.journal.next_seq + len(self.rows.pending),
            stored_wh=stored_wh, capacity_wh=capacity_wh, soc_milli=soc or 0,
            temperature_dc=store.temperature_dc if store else None,
            supply_ok=flags[0], acquire_ok=flags[1], time_s=self.clock.time_s(), quality=self.clock.quality,
        )  # fmt: skip
        self.say("state", self.sign(state))


def _worst(config, volts):
    """Of three phases the voltage that is furthest out; the lowest where all are within."""
    highest = max(volts)
    return highest if highest > config.voltage_mv_max else min(volts)
