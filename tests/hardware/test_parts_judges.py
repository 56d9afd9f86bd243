"""Emulated Modbus parts asked by clients that nobody here wrote: pymodbus, pysunspec2, mbpoll; over TCP and a pty."""

import asyncio
import subprocess
import threading
import time
from collections.abc import Coroutine, Iterator
from typing import Any

import pytest
from pymodbus.client import ModbusSerialClient, ModbusTcpClient

from hardware import catalog
from hardware.emulator.parts.build import SunSpecSlave
from hardware.emulator.parts.eastron import Sdm
from hardware.emulator.parts.gauge import Failure
from hardware.emulator.parts.modbus_pty import RtuPty
from hardware.emulator.parts.modbus_tcp import ModbusTcpServer
from hardware.emulator.parts.pzem004t import Pzem004t
from hardware.emulator.parts.sunspec_battery import BatteryInverter
from hardware.emulator.parts.sunspec_inverter import PvInverter
from tests.firmware.bench_drivers import House, Plant


def now_us() -> int:
    return time.time_ns() // 1000


class Site:
    """An inverter and a battery on TCP, all meters, an inverter and a battery on one serial line; in a thread."""

    def __init__(self) -> None:
        self.sun, self.store = Plant(6_000.0), Plant(capacity_wh=10_000)
        self.inverter = PvInverter(self.sun, self.sun, 8_000)
        self.battery = BatteryInverter(self.store, self.store, 5_000)
        self.tcp = ModbusTcpServer({1: self.inverter, 2: self.battery}, now_us)
        self.sdm120 = Sdm("sdm120", House(-1_500.0), 1, 9600, import_wh=1_234_567)
        self.pty = RtuPty(
            (
                self.sdm120,
                Sdm("sdm630", House(9_000.0, 3), 2, 9600),
                Pzem004t(House(500.0), 3),
                SunSpecSlave(self.inverter, 4, 9600),
                SunSpecSlave(self.battery, 5, 9600),
            ),
            now_us,
        )
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self._run(self.tcp.start())
        self._run(self._start_pty())

    async def _start_pty(self) -> None:
        self.pty.start()

    async def _close(self) -> None:
        self.pty.close()
        await self.tcp.close()

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    def close(self) -> None:
        self._run(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    found = Site()
    yield found
    found.close()


@pytest.fixture
def serial(site: Site) -> Iterator[ModbusSerialClient]:
    client = ModbusSerialClient(site.pty.path, baudrate=9600, timeout=1, retries=0)
    assert client.connect()
    yield client
    client.close()


@pytest.fixture
def tcp(site: Site) -> Iterator[ModbusTcpClient]:
    client = ModbusTcpClient("127.0.0.1", port=site.tcp.port, timeout=1, retries=0)
    assert client.connect()
    yield client
    client.close()


METERS = [("sdm120", 1, -1_500_000), ("sdm630", 2, 9_000_000), ("pzem004t-v3", 3, 500_000)]


@pytest.mark.parametrize("name, device, power_mw", METERS)
def test_pymodbus_reads_the_meters(serial: ModbusSerialClient, name: str, device: int, power_mw: int) -> None:
    part = catalog.load(name)
    answers = {}
    for block in part.blocks:
        reply = serial.read_input_registers(block.address, count=block.count, device_id=device)
        assert not reply.isError()
        answers[block] = reply.registers
    found = part.decode(answers)
    power = found["power_mw"]
    assert isinstance(power, int) and abs(power - power_mw) <= abs(power_mw) // 2_000
    if name == "sdm120":
        assert found["import_wh"] == 1_234_567


def test_pymodbus_gets_the_exceptions(serial: ModbusSerialClient) -> None:
    assert serial.read_input_registers(0x34, count=2, device_id=1).exception_code == 2
    assert serial.read_input_registers(0, count=120, device_id=1).exception_code == 3
    assert serial.read_coils(0, count=1, device_id=1).exception_code == 1


def test_pymodbus_waits_for_a_dead_meter_alone(site: Site, serial: ModbusSerialClient) -> None:
    site.sdm120.fail(Failure.DEAD, now_us())
    with pytest.raises(Exception, match=r"(?i)no response"):
        serial.read_input_registers(0, count=2, device_id=1)
    site.sdm120.fail(Failure.NONE, now_us())
    assert not serial.read_input_registers(0, count=2, device_id=2).isError()
    assert not serial.read_input_registers(0, count=2, device_id=1).isError()


def test_pymodbus_limits_an_inverter_and_reads_it_back(site: Site, tcp: ModbusTcpClient) -> None:
    at = next(at for at, model in site.inverter.models if model.id == 123)
    assert not tcp.write_registers(at + 5, [2_500, 0, 1, 0, 1], device_id=1).isError()
    deadline = time.monotonic() + 3
    limited = False
    while time.monotonic() < deadline and not limited:
        limited = tcp.read_holding_registers(at + 5, count=5, device_id=1).registers == [2_500, 0, 1, 0, 1]
    assert limited
    time.sleep(1.2)
    assert tcp.read_holding_registers(at + 9, count=1, device_id=1).registers == [0], "its timer ran out"
    assert tcp.write_registers(at + 5, [10_001], device_id=1).exception_code == 3
    assert tcp.write_registers(at + 23, [0], device_id=1).exception_code == 2, "a scale factor is not written"


def test_a_broken_header_ends_the_connection_and_nothing_else(site: Site, tcp: ModbusTcpClient) -> None:
    broken = ModbusTcpClient("127.0.0.1", port=site.tcp.port, timeout=1)
    assert broken.connect()
    broken.socket.sendall(b"\0\1\xff\xff\0\6\1\3\0\0\0\1")
    assert broken.socket.recv(100) == b""
    broken.close()
    assert tcp.read_holding_registers(40000, count=2, device_id=2).registers == [0x5375, 0x6E53]


@pytest.mark.parametrize("transport", ["tcp", "rtu"])
@pytest.mark.parametrize("device", ["inverter", "battery"])
def test_pysunspec2_scans(site: Site, transport: str, device: str) -> None:
    client = pytest.importorskip("sunspec2.modbus.client", reason="pysunspec2 is not installed")
    number = {"inverter": 1, "battery": 2}[device]
    if transport == "tcp":
        found = client.SunSpecModbusClientDeviceTCP(number, "127.0.0.1", site.tcp.port, timeout=2)
    else:
        found = client.SunSpecModbusClientDeviceRTU(number + 3, site.pty.path, 9600, timeout=2)
    try:
        found.scan()
        emulated = getattr(site, device)
        assert found.base_addr == 40000
        ids = [id for id in found.models if isinstance(id, int)]
        assert ids == [model.id for _, model in emulated.models]
        assert found.common[0].Mn.value == "Tallygrid" and found.common[0].SN.value == emulated.serial
        ac = found.models[103][0]
        ac.read()
        assert abs(ac.PhVphA.cvalue - 230) <= 0.4 and ac.St.value in (4, 5, 8)
        if device == "battery":
            assert found.models[802][0].SoC.cvalue == 50 and found.models[802][0].WHRtg.cvalue == 10_000
            assert found.models[704][0].WSet.cvalue == 0
        else:
            assert found.models[123][0].WMaxLimPct.cvalue in (25, 100), "as the test before left it, or as at the start"
    finally:
        found.close()


def test_pysunspec2_and_the_catalog_agree_on_every_point(site: Site) -> None:
    """The same registers read by both: every point has the same value, or is implemented for neither."""
    client = pytest.importorskip("sunspec2.modbus.client", reason="pysunspec2 is not installed")
    found = client.SunSpecModbusClientDeviceTCP(2, "127.0.0.1", site.tcp.port, timeout=2)
    site.battery.fail(Failure.FROZEN, now_us())
    try:
        found.scan()
        for at, model in site.battery.models:
            values = model.values(site.battery.read(3, at, model.length + 2, now_us()))
            for point in model.points:
                theirs = found.models[model.id][0].points.get(point.name)
                if theirs is None or point.kind in ("sf", "pad"):
                    continue  # repeated groups are named otherwise there
                ours = values[point.name]
                value = theirs.cvalue if point.scale else theirs.value
                if point.kind.startswith("acc") and theirs.value in (0, None):
                    continue  # there, a total of 0 counts as not implemented
                same = value == ours if isinstance(ours, str) or ours is None else value == pytest.approx(float(ours))
                assert same, f"model {model.id} {point.name}: {value} against {ours}"
    finally:
        found.close()
        site.battery.fail(Failure.NONE, now_us())


def poll(mbpoll: str, *arguments: str) -> str:
    done = subprocess.run([mbpoll, "-1", "-q", *arguments], capture_output=True, text=True, timeout=20)
    return done.stdout + done.stderr


def test_mbpoll_reads_a_meter_on_a_line(site: Site, mbpoll: str) -> None:
    line = ("-m", "rtu", "-b", "9600", "-P", "none", "-0", "-a", "1", "-t", "3:float", "-B", "-c", "1")
    assert "1234.57" in poll(mbpoll, *line, "-r", "72", site.pty.path)
    assert "Illegal data address" in poll(mbpoll, *line, "-r", "52", site.pty.path)


def test_mbpoll_reads_an_inverter_over_tcp(site: Site, mbpoll: str) -> None:
    tcp = ("-m", "tcp", "-p", str(site.tcp.port), "-a", "1", "-0")
    assert "0x5375" in poll(mbpoll, *tcp, "-t", "4:hex", "-r", "40000", "-c", "2", "127.0.0.1")
