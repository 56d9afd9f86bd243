"""Modbus devices from the first question to reports that are stored: one loop a bus.

Owns: carrying out plans in turn, what becomes of samples, a station's words as rows, receipts and states.
Refuses: polling a device that no registrar's entry has named; carrying on with a block of models that has changed.
Invariants: a reading's time is that of its answer; what was not answered is no reading. Reports and words become
durable in the order in which they happened; until they are, rows wait (gateway/attested.py bounds them). A command is
on disk before the device hears of it.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from gateway import sunspec
from gateway.attested import Attester, Counter
from gateway.config import Polled, Wires
from gateway.intake import RECEIPT, STATE, Stored, receipt_identity
from gateway.meters import Fault, Sample, meter
from gateway.modbus_line import Line
from gateway.polling import Rota, Turn
from gateway.registry import attested_id
from gateway.service_batch import Batches
from gateway.service_clock import SiteTime
from gateway.station import BOOTING, Event, Limits, Order, Station, receipt
from gateway.station import SAFE as SAFE_STATE
from gateway.sunspec import Found
from hardware import catalog
from wire import cbor, envelope, report
from wire.chain.keys import PrivateKey
from wire.command import Command
from wire.ids import id_text
from wire.rows import SAFE
from wire.state import State

LOST_AFTER = 3  # failures in a row until a device counts as lost
REVERT_S = 60
UNIT_WH = 100
STALL_MS = 10_000


@dataclass
class Device:
    """One polled device while the gateway runs."""

    polled: Polled
    id: bytes
    attester: Attester | None = None
    found: Found | None = None  # of a SunSpec device
    scans: int = 0
    station: Station | None = None
    told: tuple[int, int] | None = None  # what a station's device was told last, and when (ms)
    beats: int = 0
    its_beat: tuple[int | None, int] = (None, 0)  # and since when (ms)
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)  # polling and commands take turns
    pending: list[Stored] = field(default_factory=list)  # receipts and states that are not on disk yet
    samples: int = 0
    late_ms: list[int] = field(default_factory=list)


class Poller:
    """`fresh` is told of every sample: for the page, metrics, Home Assistant."""

    def __init__(
        self, batches: Batches, time: SiteTime, key: PrivateKey, wires: Wires, polled: list[Polled], boot: int
    ) -> None:
        self.batches = batches
        self.time = time
        self.key = key
        self.line = Line(wires)
        self.rota = Rota()
        self.boot = boot
        self.devices = {one.name: Device(one, attested_id(batches.id, one.name)) for one in polled}
        self.fresh: Callable[[Device, Sample], None] = lambda device, sample: None

    async def run(self) -> None:
        self.rota.begin({name: one.polled.period_ms for name, one in self.devices.items()}, self.time.now_ms())
        try:
            while True:
                turn = self.rota.next(self.time.now_ms())
                await self.time.sleep_until(turn.due_ms)
                device = self.devices[turn.name]
                async with device.lock:
                    answered = await self._turn(device, turn)
                self.rota.done(turn, answered, self.time.now_ms())
        finally:
            self.line.close()

    async def _turn(self, device: Device, turn: Turn) -> bool:
        if not await self._admitted(device):
            return True
        about = f"{self.line.wires.name}/{device.polled.name}"
        try:
            sample = await self._sample(device)
        except Fault as fault:
            if turn.failures + 1 >= LOST_AFTER:
                self.batches.alarm("bus", about, str(fault))
                assert device.attester is not None
                device.attester.silent(self.time.now_ms())
            await self._control(device, reachable=False)
            await self._keep(device)
            return False
        self.batches.alarm("bus", about, "")
        self._taken(device, sample, turn)
        await self._control(device)
        await self._keep(device)
        return True

    def _taken(self, device: Device, sample: Sample, turn: Turn) -> None:
        assert device.attester is not None
        now_ms = self.time.now_ms()
        device.samples += 1
        device.late_ms = [*device.late_ms[-99:], now_ms - turn.due_ms]
        device.attester.take(sample, now_ms)
        if device.station is not None:
            self._look(device.station, device.attester, sample, now_ms)
        self.fresh(device, sample)

    # ------------------------------------------------------------ beginning

    async def _admitted(self, device: Device) -> bool:
        """Whether the device is entered and where its rows go on is known."""
        known = self.batches.registry.devices.get(device.id)
        if known is None or known.gateway != self.batches.id:
            return False
        if device.attester is not None:
            return True
        async with self.batches.store.lock:
            position = self.batches.durable(device.id)
        if position is None:
            await self.batches.admit(device.id)
            return False
        notes = self.batches.store.get_meta(_note(device))
        device.attester = Attester(
            id=device.id,
            gateway=self.batches.id,
            boot=self.boot,
            seq=position.next_seq,
            head=position.head,
            imported=_counter(notes, 0, position.registers),
            exported=_counter(notes, 1, position.registers),
            row_s=device.polled.row_s,
        )
        if device.polled.role == "station":
            device.station = Station(Limits.of(known.limits))
            left_over = self.batches.store.get_meta(_order(device))
            if left_over:
                device.station.recover(Order.unpack(left_over))
        return True

    # ------------------------------------------------------------ reading

    async def _sample(self, device: Device) -> Sample:
        polled = device.polled
        if polled.part != "sunspec":
            return await self.line.carry_out(meter(catalog.load(polled.part), polled.low_first), polled.address)
        try:
            if device.found is None:
                device.scans += 1
                device.found = await self.line.carry_out(sunspec.scan(device.scans - 1), polled.address)
                device.told = None
            sample = await self.line.carry_out(sunspec.sample(device.found), polled.address)
            if device.station is not None:
                health = await self.line.carry_out(sunspec.health(device.found), polled.address)
                await self._beat(device)
                device.station.view.health = health
            return sample
        except Fault as fault:
            if fault.reason == "no-model":
                device.found = None
            raise

    async def _beat(self, device: Device) -> None:
        """Ours to the device while it acts; its own must not stand still."""
        assert device.found is not None and device.station is not None
        now_ms = self.time.now_ms()
        if device.station.acting():
            device.beats += 1
        beat = await self.line.carry_out(
            sunspec.heartbeat(device.found, device.beats if device.station.acting() else None), device.polled.address
        )
        if beat is None or beat != device.its_beat[0]:
            device.its_beat = (beat, now_ms)
        elif now_ms - device.its_beat[1] > STALL_MS:
            raise Fault("stalled")

    def _look(self, station: Station, attester: Attester, sample: Sample, now_ms: int) -> None:
        view = station.view
        view.at_s = now_ms // 1_000
        view.power_w = sample.power_mw // 1_000
        volts, amps = sample.voltage_mv, sample.current_ma
        view.voltages_mv = (volts,) if isinstance(volts, int) else tuple(volts)
        view.current_ma = amps if isinstance(amps, int) else max(amps)
        view.imported_wh, view.exported_wh = attester.imported.register, attester.exported.register

    # ------------------------------------------------------------ stations

    def mine(self, station: bytes) -> Device | None:
        return next((one for one in self.devices.values() if one.id == station and one.station is not None), None)

    async def command(self, device: Device, found: Command) -> None:
        """A command of the chain that gateway/lease.py let through."""
        async with device.lock:
            if device.station is None or device.attester is None:
                return
            device.station.take(found, self.time.now_s(), self.time.doubted(), device.attester.next_seq)
            await self._keep(device)
            await self._control(device)
            await self._keep(device)

    async def _control(self, device: Device, reachable: bool = True) -> None:
        """The world first: what the device should do now, told again before its revert timer ends it."""
        station = device.station
        if station is None or device.attester is None:
            return
        limit_w = station.step(self.time.now_s(), self.time.doubted())
        now_ms = self.time.now_ms()
        told_w, told_ms = device.told or (None, 0)
        if not reachable or (told_w == limit_w and 0 <= now_ms - told_ms < REVERT_S * 250):
            return
        about = id_text(device.id)
        try:
            if device.found is None:
                raise Fault("no-model")
            await self.line.carry_out(sunspec.tell(device.found, limit_w, REVERT_S), device.polled.address)
            held = await self.line.carry_out(sunspec.in_force(device.found), device.polled.address)
        except Fault as fault:
            self.batches.alarm("order", about, str(fault))
            return
        near = held is not None and abs(held - limit_w) <= max(10, abs(limit_w) // 50)
        self.batches.alarm("order", about, "" if near else f"told {limit_w} W, it holds {held} W")
        device.told = (limit_w, now_ms) if near else None

    # ------------------------------------------------------------ keeping

    async def _keep(self, device: Device) -> None:
        """Words of a station become rows, receipts and a state; due rows a report; all of it in one transaction."""
        attester = device.attester
        if attester is None:
            return
        now_ms = self.time.now_ms()
        if device.station is not None:
            self._words(device, device.station, attester, now_ms)
        if not attester.due(now_ms) and not device.pending:
            return
        notes = {_note(device): _counters(attester)}
        if device.station is not None:
            notes[_order(device)] = device.station.order.pack() if device.station.order else b""
        try:
            await self.batches.keep(lambda: [*self._report(device.id, attester), *device.pending], notes)
        except sqlite3.OperationalError as error:
            self.batches.alarm("disk", "", f"cannot store: {error}; rows wait")
            return
        device.pending.clear()
        if attester.rows:
            attester.sealed()

    def _report(self, id: bytes, attester: Attester) -> list[Stored]:
        if not attester.rows:
            return []
        payload = attester.payload(self.time.quality())
        raw = envelope.sign(self.key, report.ATTESTED_DOMAIN, payload)
        return [self.batches.attest(id, raw, report.decode(payload, attested=True))]

    def _words(self, device: Device, station: Station, attester: Attester, now_ms: int) -> None:
        attester.flags = SAFE if station.state in (BOOTING, SAFE_STATE) else 0
        for word in station.words:
            if isinstance(word, Event):
                attester.event(word.code, word.value, now_ms)
                continue
            made = receipt(word, device.id, station.view, attester.next_seq - 1, now_ms // 1_000)
            raw = envelope.sign(self.key, made.DOMAIN, made.encode())
            device.pending.append(Stored(device.id, RECEIPT, raw, urgent=True, receipt=receipt_identity(made)))
        station.words.clear()
        if station.wants_to_tell(UNIT_WH):
            number = max([self.batches.store.number(device.id), *[one.number or 0 for one in device.pending]]) + 1
            state = station.tell(device.id, number, attester.next_seq, now_ms // 1_000, self.time.quality())
            raw = envelope.sign(self.key, State.DOMAIN, state.encode())
            device.pending.append(Stored(device.id, STATE, raw, urgent=True, number=number))


def _note(device: Device) -> str:
    return f"counters:{device.polled.name}"


def _order(device: Device) -> str:
    return f"order:{device.polled.name}"


def _counters(attester: Attester) -> bytes:
    return cbor.encode(
        [[one.register, one.offset, one.last, one.part_mwms] for one in (attester.imported, attester.exported)]
    )


def _counter(notes: bytes | None, place: int, registers: tuple[int, int] | None) -> Counter:
    """As it was kept, on the register that was stored last."""
    register = registers[place] if registers else 0
    if not notes:
        return Counter(register)
    saved: Any = cbor.decode(notes)
    _, offset, last, part = saved[place]
    return Counter(register, offset, last, part)
