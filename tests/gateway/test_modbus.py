"""Emulated meters, an inverter and a battery on real sockets and a pty, polled through pymodbus into the store."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from gateway import attested, station
from gateway.config import Polled, Wires
from gateway.meters import Fault, Question
from gateway.modbus import Device, Poller
from gateway.modbus_line import Line
from gateway.polling import BACKOFF_MS, Rota
from gateway.registry import attested_id
from gateway.service import own_enrolment
from gateway.service_batch import Batches
from gateway.service_clock import SiteTime
from gateway.store import Store
from gateway.store_read import Books, Message
from hardware.emulator.parts.eastron import Sdm
from hardware.emulator.parts.gauge import Failure
from hardware.emulator.parts.modbus import RtuSlave, crc16
from hardware.emulator.parts.modbus_pty import RtuPty
from hardware.emulator.parts.modbus_tcp import ModbusTcpServer
from hardware.emulator.parts.sunspec_battery import BatteryInverter
from hardware.emulator.parts.sunspec_inverter import PvInverter
from tests.firmware.bench_drivers import House, Plant
from tests.gateway.rig import KEY, REGISTRAR, Wall, config, until
from wire import envelope, report
from wire.chain.keys import KeyRing
from wire.command import ACTIONS, OUTCOMES, Command, Receipt
from wire.enrol import Entry
from wire.rows import EVENT, EVENTS, HEAD_START, advance
from wire.state import State


def now_us() -> int:
    return time.time_ns() // 1_000


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests do not wait ten rows for a report, nor five seconds for a station to trust its peace."""
    monkeypatch.setattr(attested, "SEAL_ROWS", 3)
    monkeypatch.setattr(station, "HOLD_S", 1)


def entry(name: str, role: int = 0, limits: dict[int, int] | None = None) -> bytes:
    word = Entry(
        serial=1, device=attested_id(KEY.kid, name), enrolment=own_enrolment(KEY, KEY.kid, role, "test"), name=name,
        alliance=3, gateway=KEY.kid, limits=limits or {}, status=0, from_time=0, assignment=None,
    )  # fmt: skip
    return envelope.sign(REGISTRAR, Entry.DOMAIN, word.encode())


class Cabinet:
    """A store, and one poller over a line."""

    def __init__(self, folder: Path, wires: Wires, polled: list[Polled]) -> None:
        self.time = SiteTime(Wall())
        self.store = Store(folder / "gateway.db")
        self.batches = Batches(config(1, folder, block_age_ms=10), KEY, self.time, self.store, lambda words: None)
        self.poller = Poller(self.batches, self.time, KEY, wires, polled, 1)
        self.books = Books.open(folder / "gateway.db")

    def device(self, name: str) -> Device:
        return self.poller.devices[name]

    def messages(self, kind: str = "attested") -> list[Message]:
        return self.books.messages(0, (kind,), 1_000)

    def reports(self, name: str) -> list[report.Report]:
        """Of one device, signatures checked."""
        ring = KeyRing()
        ring.add(KEY.public_key)
        own = [one for one in self.messages() if one.device == attested_id(KEY.kid, name)]
        payloads = [envelope.open_signed(one.raw, ring, report.ATTESTED_DOMAIN) for one in own]
        return [report.decode(payload, attested=True) for payload in payloads]

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.poller.run())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


@contextlib.asynccontextmanager
async def serial(*slaves: RtuSlave) -> AsyncIterator[RtuPty]:
    line = RtuPty(slaves, now_us)
    line.start()
    try:
        yield line
    finally:
        line.close()


@contextlib.asynccontextmanager
async def tcp(**units: Any) -> AsyncIterator[int]:
    server = ModbusTcpServer({int(name[1:]): unit for name, unit in units.items()}, now_us)
    await server.start()
    try:
        yield server.port
    finally:
        await server.close()


def polled(name: str, address: int, part: str, **changed: Any) -> Polled:
    return Polled(name=name, bus="line", address=address, part=part, **{"period_ms": 200, "row_s": 1, **changed})


def test_meters_on_a_serial_line_become_attested_reports(tmp_path: Path) -> None:
    async def story() -> None:
        meters = (
            Sdm("sdm120", House(-1_500.0), 1, 38_400, import_wh=1_234_567),
            Sdm("sdm630", House(9_000.0, 3), 2, 38_400),
        )
        async with serial(*meters) as line:
            wires = Wires(name="line", port=line.path, baudrate=38_400)
            cabinet = Cabinet(tmp_path, wires, [polled("roof", 1, "sdm120"), polled("hall", 2, "sdm630")])
            for name in ("roof", "hall"):
                await cabinet.batches.enter(entry(name))
            async with cabinet.running():
                await until(lambda: all(len(cabinet.reports(name)) > 1 for name in ("roof", "hall")), 30)
        roof, hall = cabinet.reports("roof"), cabinet.reports("hall")
        assert EVENTS[roof[0].rows[0][7][0][0]] == "start"
        assert roof[1].rows[-1][1] == 1_234_567 and abs(roof[1].rows[-1][3] + 1_500) <= 2
        assert len(hall[1].rows[-1][4]) == 3 and abs(hall[1].rows[-1][3] - 9_000) <= 10
        head = HEAD_START
        for found in roof:
            assert found.head == head
            for row in found.row_bytes:
                head = advance(head, row)
        assert not cabinet.batches.alarms.standing
        assert not [one for one in cabinet.messages() if one.suspect]

    asyncio.run(story())


def test_a_restart_goes_on_in_sequence(tmp_path: Path) -> None:
    async def story() -> None:
        async with serial(Sdm("sdm120", House(800.0), 1, 38_400)) as line:
            wires = Wires(name="line", port=line.path, baudrate=38_400)
            for rounds in (1, 2):
                cabinet = Cabinet(tmp_path, wires, [polled("roof", 1, "sdm120")])
                await cabinet.batches.enter(entry("roof"))
                before = len(cabinet.reports("roof"))
                async with cabinet.running():
                    await until(lambda: len(cabinet.reports("roof")) > before)  # noqa: B023
                cabinet.store.close()
                assert len(cabinet.reports("roof")) >= rounds
        found = cabinet.reports("roof")
        assert [one.seq for one in found] == [0, found[0].next_seq]

    asyncio.run(story())


def test_a_device_that_nobody_entered_is_not_asked(tmp_path: Path) -> None:
    async def story() -> None:
        async with serial(Sdm("sdm120", House(800.0), 1, 38_400)) as line:
            cabinet = Cabinet(tmp_path, Wires(name="line", port=line.path), [polled("roof", 1, "sdm120")])
            async with cabinet.running():
                await asyncio.sleep(0.5)
            assert cabinet.device("roof").samples == 0

    asyncio.run(story())


def test_a_dead_meter_costs_its_own_turn_and_is_said_to_be_lost(tmp_path: Path) -> None:
    async def story() -> None:
        meters = [Sdm("sdm120", House(500.0), address, 38_400) for address in (1, 2, 3)]
        async with serial(*meters) as line:
            wires = Wires(name="line", port=line.path, baudrate=38_400)
            cabinet = Cabinet(tmp_path, wires, [polled(f"m{n}", n, "sdm120") for n in (1, 2, 3)])
            for number in (1, 2, 3):
                await cabinet.batches.enter(entry(f"m{number}"))
            async with cabinet.running():
                await until(lambda: all(cabinet.device(f"m{n}").samples > 2 for n in (1, 2, 3)))
                before = await _rate(cabinet, "m1", 2.0)
                meters[1].fail(Failure.DEAD, now_us())
                assert await _rate(cabinet, "m1", 3.0) >= before * 0.8, "the others keep their period"
                await until(lambda: ("bus", "line/m2") in cabinet.batches.alarms.standing)
                assert "silent" in cabinet.batches.alarms.standing["bus", "line/m2"].detail
                await until(lambda: _events(cabinet, "m2")[-1] == "sensor lost")
                meters[1].fail(Failure.NONE, now_us())
                await until(lambda: _events(cabinet, "m2")[-1] == "sensor back", 20)
                assert not cabinet.batches.alarms.standing

    asyncio.run(story())


async def _rate(cabinet: Cabinet, name: str, seconds: float) -> float:
    seen, began = cabinet.device(name).samples, time.monotonic()
    await asyncio.sleep(seconds)
    return (cabinet.device(name).samples - seen) / (time.monotonic() - began)


def _events(cabinet: Cabinet, name: str) -> list[str]:
    return [EVENTS[row[7][0][0]] for found in cabinet.reports(name) for row in found.rows if row[6] & EVENT]


class Late(RtuSlave):
    """Answers each question only when the next one has been asked."""

    delay_us = 400_000

    def receive(self, data: bytes, now_us: int) -> Any:
        return [(at_us + self.delay_us, frame) for at_us, frame in super().receive(data, now_us)]


def test_a_late_answer_is_nobodys(tmp_path: Path) -> None:
    """It arrives while another meter is asked, or in a later turn of the same one: no reading is made of it."""

    async def story() -> None:
        slow, well = Sdm("sdm120", House(111.0), 1, 38_400), Sdm("sdm120", House(2_222.0), 2, 38_400)
        late = Late(slow.registers, 1, 38_400, 20_000)
        async with serial(late, well) as line:
            wires = Wires(name="line", port=line.path, baudrate=38_400, answer_ms=300)
            cabinet = Cabinet(tmp_path, wires, [polled("slow", 1, "sdm120"), polled("well", 2, "sdm120")])
            powers: dict[str, list[int]] = {"slow": [], "well": []}
            cabinet.poller.fresh = lambda device, sample: powers[device.polled.name].append(sample.power_mw)
            for name in ("slow", "well"):
                await cabinet.batches.enter(entry(name))
            async with cabinet.running():
                await until(lambda: len(powers["well"]) > 15, 30)
            assert powers["slow"] == []
            assert all(abs(power - 2_222_000) < 3_000 for power in powers["well"])

    asyncio.run(story())


# ---------------------------------------------------------------- broken frames

HEADER = b"\0\1\0\0"
GOOD = bytes((1, 4, 4, 0, 1, 0, 2))  # unit, function, bytes, two registers


def framed(body: bytes, tid: int = 1, protocol: int = 0, length: int | None = None) -> bytes:
    size = len(body) if length is None else length
    return tid.to_bytes(2, "big") + protocol.to_bytes(2, "big") + size.to_bytes(2, "big") + body


TCP_FRAMES = [
    ("silent", b""),
    ("silent", framed(GOOD, tid=77)),
    ("silent", framed(GOOD)[:-1]),
    ("silent", framed(GOOD, length=200)),
    ("silent", framed(b"\2" + GOOD[1:])),
    ("broken", framed(bytes((1, 4, 2, 0, 1)))),
    ("broken", framed(bytes((1, 3, 4, 0, 1, 0, 2)))),
    ("refused", framed(bytes((1, 0x84, 2)))),
    ("silent broken", b"\xff" * 40),
    ("silent broken", framed(GOOD, protocol=9)),
    ("silent broken", framed(b"\1")),
    ("silent broken", framed(bytes((1, 4, 4)))),
]


async def answering(frames: list[bytes]) -> tuple[asyncio.Server, int]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                request = await reader.readexactly(12)
                frame = frames.pop(0) if frames else framed(GOOD)
                if frame[2:4] == b"\0\0" and frame[:2] == b"\0\1":
                    frame = request[:2] + frame[2:]
                writer.write(frame)
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    return server, server.sockets[0].getsockname()[1]


@pytest.mark.parametrize("reasons, frame", TCP_FRAMES)
def test_a_broken_frame_over_tcp_is_no_reading_and_the_next_one_is(reasons: str, frame: bytes) -> None:
    async def story() -> None:
        server, port = await answering([frame])
        line = Line(Wires(name="line", host="127.0.0.1", tcp_port=port, answer_ms=200))
        with pytest.raises(Fault) as found:
            await line.carry_out(_ask(), 1)
        assert found.value.reason in reasons.split()
        assert await line.carry_out(_ask(), 1) == [1, 2]
        line.close()
        server.close()

    asyncio.run(story())


def _ask() -> Any:
    return (yield Question(4, 0, 2))


def rtu(body: bytes) -> bytes:
    return body + crc16(body)


RTU_FRAMES = [
    ("silent", b""),
    ("silent", rtu(GOOD)[:-1] + b"\0"),
    ("silent", rtu(GOOD)[:-3]),
    ("silent", rtu(b"\2" + GOOD[1:])),
    ("silent", b"\xff\0\xff"),
    ("silent broken", bytes(range(60))),
    ("broken", rtu(bytes((1, 4, 2, 0, 1)))),
    ("broken", rtu(bytes((1, 3, 4, 0, 1, 0, 2)))),
    ("refused", rtu(bytes((1, 0x84, 4)))),
]


class Scripted:
    """A slave that says what it was given, then the truth."""

    baudrate = 38_400

    def __init__(self, frames: list[bytes]) -> None:
        self.frames = frames

    def receive(self, data: bytes, now_us: int) -> list[tuple[int, bytes]]:
        return [(now_us + 5_000, self.frames.pop(0) if self.frames else rtu(GOOD))]


@pytest.mark.parametrize("reasons, frame", RTU_FRAMES)
def test_a_broken_frame_on_a_serial_line_is_no_reading_and_the_next_one_is(reasons: str, frame: bytes) -> None:
    async def story() -> None:
        async with serial(Scripted([frame])) as pty:  # type: ignore[arg-type]
            line = Line(Wires(name="line", port=pty.path, baudrate=38_400, answer_ms=200))
            with pytest.raises(Fault) as found:
                await line.carry_out(_ask(), 1)
            assert found.value.reason in reasons.split()
            assert await line.carry_out(_ask(), 1) == [1, 2]
            line.close()

    asyncio.run(story())


@pytest.mark.parametrize("wires", [Wires(name="line", host="127.0.0.1", tcp_port=1), Wires(name="line", port="/none")])
def test_a_line_that_is_not_there(wires: Wires) -> None:
    async def story() -> None:
        with pytest.raises(Fault, match="down"):
            await Line(wires).carry_out(_ask(), 1)

    asyncio.run(story())


# ---------------------------------------------------------------- stations

LIMITS = {42: 3_000, 43: 4_000, 44: 150_000, 45: 300_000}


def command(name: str, action: str, limit_w: int, counter: int, lease_s: int = 300) -> Command:
    now_s = int(time.time())
    return Command(
        station=attested_id(KEY.kid, name), id=bytes([counter] * 16), counter=counter, grants=[],
        action=ACTIONS.index(action), limit_w=limit_w, energy_wh=10_000, not_before=now_s, lease_until=now_s + lease_s,
    )  # fmt: skip


def receipts(cabinet: Cabinet) -> list[tuple[int, int, str]]:
    found = []
    for one in cabinet.messages("receipt"):
        word = Receipt.decode(envelope.split(one.raw).payload)
        found.append((word.counter, word.part, OUTCOMES[word.outcome]))
    return found


async def with_station(folder: Path, make: Callable[[], Any], act: Callable[[Cabinet, Any], Awaitable[None]]) -> None:
    unit = make()
    async with tcp(u1=unit) as port:
        wires = Wires(name="line", host="127.0.0.1", tcp_port=port)
        cabinet = Cabinet(folder, wires, [polled("store", 1, "sunspec", role="station")])
        await cabinet.batches.enter(entry("store", 1, LIMITS))
        async with cabinet.running():
            await until(lambda: cabinet.messages("state"), 20)
            await act(cabinet, unit)


def a_battery() -> BatteryInverter:
    plant = Plant(capacity_wh=10_000)
    return BatteryInverter(plant, plant, 5_000)


def an_inverter() -> PvInverter:
    plant = Plant(6_000.0)
    return PvInverter(plant, plant, 8_000)


@pytest.mark.parametrize("make, limit_w", [(a_battery, 2_000), (an_inverter, 3_000)])
def test_a_command_moves_the_device_and_receipts_say_so(tmp_path: Path, make: Callable[[], Any], limit_w: int) -> None:
    async def act(cabinet: Cabinet, unit: Any) -> None:
        device = cabinet.device("store")
        await until(lambda: device.station is not None and device.station.state == "idle", 20)
        await cabinet.poller.command(device, command("store", "discharge", limit_w, 1))
        await until(lambda: abs(unit.converter.at(now_us()).power_w + limit_w) < 60, 30)
        await cabinet.poller.command(device, command("store", "idle", 0, 2))
        assert receipts(cabinet) == [(1, 1, "taken"), (1, 2, "partial"), (2, 1, "taken")]
        await until(lambda: abs(unit.converter.at(now_us()).power_w) < 60, 30)
        assert "command" in _events(cabinet, "store")
        state = State.decode(envelope.split(cabinet.messages("state")[-1].raw).payload)
        assert state.id == device.id

    asyncio.run(with_station(tmp_path, make, act))


def test_a_battery_falls_back_when_the_gateway_dies(tmp_path: Path) -> None:
    """Its own timer is what ends it: the order went out with one."""

    async def story() -> None:
        unit = a_battery()

        async def act(cabinet: Cabinet, unit: Any) -> None:
            device = cabinet.device("store")
            await until(lambda: device.station is not None and device.station.state == "idle", 20)
            await cabinet.poller.command(device, command("store", "charge", 1_000, 1))
            await until(lambda: unit.settings[704, "WSet"] == -1_000)
            assert unit.settings[704, "WSetRvrtTms"] == 60
            assert unit.settings[704, "WSetEnaRvrt"] == 1 and unit.settings[704, "WSetRvrt"] == 0

        await with_station(tmp_path, lambda: unit, act)
        assert unit.target(now_us() + 61_000_000) == 0

    asyncio.run(story())


# ---------------------------------------------------------------- turns


def test_turns_are_spread_and_keep_their_period() -> None:
    rota = Rota()
    rota.begin({f"m{n}": 1_000 for n in range(4)}, 0)
    asked = []
    now_ms = 0
    for _ in range(12):
        turn = rota.next(now_ms)
        now_ms = max(now_ms, turn.due_ms)
        asked.append((now_ms, turn.name))
        now_ms += 30
        rota.done(turn, True, now_ms)
    assert asked[:4] == [(0, "m0"), (250, "m1"), (500, "m2"), (750, "m3")]
    assert asked[8:10] == [(2_000, "m0"), (2_250, "m1")]


def test_a_dead_one_is_asked_less_and_less_and_the_others_first() -> None:
    rota = Rota()
    rota.begin({"dead": 100, "well": 100}, 0)
    asked: dict[str, list[int]] = {"dead": [], "well": []}
    now_ms = 0
    while now_ms < 600_000:
        turn = rota.next(now_ms)
        now_ms = max(now_ms, turn.due_ms)
        asked[turn.name].append(now_ms)
        now_ms += 10 if turn.name == "well" else 300
        rota.done(turn, turn.name == "well", now_ms)
    pauses = [after - before for before, after in zip(asked["dead"], asked["dead"][1:], strict=False)]
    assert pauses == sorted(pauses) and pauses[-1] <= BACKOFF_MS + 400
    assert len(asked["well"]) > 5_800


def test_a_clock_that_steps_makes_nobody_wait() -> None:
    for step_ms in (-365 * 86_400_000, 365 * 86_400_000):
        rota = Rota()
        rota.begin({"one": 1_000}, 0)
        turn = rota.next(0)
        rota.done(turn, True, step_ms)
        assert abs(rota.next(step_ms).due_ms - step_ms) <= 1_000
