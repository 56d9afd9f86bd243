"""The network of emulated boards: WLAN, sockets, and what goes wrong on the way to the world."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import pytest

from hardware.emulator.runner import Emulator
from hardware.emulator.traffic import Traffic
from tests.hardware.rigs import START_US, fault, lines, plan, until

JOIN = """
    import asyncio, network, socket, time
    wlan = network.WLAN(network.STA_IF)
    def join():
        wlan.active(True)
        wlan.connect("air", "secret")
        while not wlan.isconnected():
            time.sleep_ms(100)
"""


class World:
    """A server that answers every line with the same line, upper case."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.connections = 0

    async def start(self) -> int:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return int(self._server.sockets[0].getsockname()[1])

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while line := await reader.readline():
                self.heard.append(line.decode().strip())
                writer.write(line.upper())
                await writer.drain()
        finally:
            writer.close()

    def close(self) -> None:
        self._server.close()


def visit(
    folder: Path, micropython: str, main: str, act: Callable[[Emulator, World], Awaitable[list[str]]],
    speed: float | None = None, faults: Sequence[object] = (),
) -> list[str]:  # fmt: skip
    """A board whose server.test:7 is a World."""
    world = World()

    async def run() -> list[str]:
        routes = {("server.test", 7): ("127.0.0.1", await world.start())}
        start_us = None if speed == 1 else START_US
        plans = [plan(micropython, main)]
        emulator = Emulator(folder, plans, speed=speed, start_us=start_us, routes=routes, faults=faults)  # type: ignore[arg-type]
        async with emulator:
            try:
                return await act(emulator, world)
            finally:
                world.close()

    return asyncio.run(run())


SPEEDS = pytest.mark.parametrize("speed", [1, None], ids=["real-time", "lock-step"])


@SPEEDS
def test_a_board_joins_connects_and_talks(micropython: str, tmp_path: Path, speed: float | None) -> None:
    main = JOIN + """
    try:
        socket.getaddrinfo("server.test", 7)
    except OSError as e:
        print("before", e.errno, wlan.isconnected(), wlan.status() == network.STAT_IDLE)
    t = time.ticks_ms()
    join()
    print("joined", time.ticks_diff(time.ticks_ms(), t) // 200, wlan.ifconfig()[0], wlan.status() == 1010)
    async def main():
        reader, writer = await asyncio.open_connection("server.test", 7)
        for word in ("alpha", "beta"):
            writer.write(word + "\\n")
            await writer.drain()
            print(await reader.readline())
        writer.close()
        await writer.wait_closed()
    asyncio.run(main())
    s = socket.socket()
    s.connect(socket.getaddrinfo("server.test", 7)[0][-1])
    s.write(b"gamma\\n")
    print("raw", s.readline())
    s.close()
    """

    async def act(emulator: Emulator, world: World) -> list[str]:
        printed = await lines(emulator, "raw")
        await until(lambda: len(world.heard) == 3)
        return printed

    assert visit(tmp_path, micropython, main, act, speed) == [
        "before -202 False True",
        "joined 6 10.0.0.9 True",
        "b'ALPHA\\n'",
        "b'BETA\\n'",
        "raw b'GAMMA\\n'",
    ]


ASK = JOIN + """
    async def ask():
        reader, writer = await asyncio.open_connection("server.test", 7)
        n = 0
        while n < 100:
            t = time.ticks_ms()
            writer.write("q%d\\n" % n)
            await writer.drain()
            line = await asyncio.wait_for(reader.readline(), 30)
            if not line:
                raise OSError("closed")
            print(line.decode().strip(), time.ticks_diff(time.ticks_ms(), t))
            n += 1
            await asyncio.sleep(1)
        await asyncio.sleep(1000000)
    async def main():
        while True:
            try:
                await ask()
            except (OSError, asyncio.TimeoutError) as e:
                print("lost", type(e).__name__, wlan.isconnected())
            await asyncio.sleep(2)
    join()
    asyncio.run(main())
"""


def test_a_lossy_link_delays_and_loses_nothing(micropython: str, tmp_path: Path) -> None:
    async def act(emulator: Emulator, world: World) -> list[str]:
        printed = await lines(emulator, "Q60")
        assert world.heard == [f"q{n}" for n in range(len(world.heard))]
        return printed

    printed = visit(tmp_path, micropython, ASK, act, faults=[fault("link-lossy", at_s=6, amount=400, seed=3)])
    waits_ms = [int(line.split()[1]) for line in printed]
    assert [line.split()[0] for line in printed] == [f"Q{n}" for n in range(len(printed))]
    assert max(waits_ms[:3]) == 0 and 10 < sum(wait > 0 for wait in waits_ms[4:]) < 55 and max(waits_ms) >= 900


def test_a_slow_link_takes_its_time(micropython: str, tmp_path: Path) -> None:
    async def act(emulator: Emulator, world: World) -> list[str]:
        return await lines(emulator, "Q20")

    printed = visit(tmp_path, micropython, ASK, act, faults=[fault("link-slow", at_s=5, for_s=20, amount=10)])
    waits_ms = [int(line.split()[1]) for line in printed]
    slow = [wait for wait in waits_ms if wait]
    assert 4 <= len(slow) <= 12 and all(1_600 <= wait <= 1_900 for wait in slow), waits_ms
    assert waits_ms[0] == waits_ms[-1] == 0


@pytest.mark.parametrize("kind", ["partition", "link-down"])
def test_a_silent_link_stalls_and_goes_on(micropython: str, tmp_path: Path, kind: str) -> None:
    async def act(emulator: Emulator, world: World) -> list[str]:
        return await lines(emulator, "Q9")

    printed = visit(tmp_path, micropython, ASK, act, faults=[fault(kind, at_s=5, for_s=10)])
    waits_ms = [int(line.split()[1]) for line in printed]
    assert len([wait for wait in waits_ms if wait]) == 1 and 8_000 <= max(waits_ms) <= 10_000, printed


def test_a_half_open_connection_is_noticed_only_by_its_silence(micropython: str, tmp_path: Path) -> None:
    async def act(emulator: Emulator, world: World) -> list[str]:
        printed = await lines(emulator, "Q0", after=1)
        assert world.connections == 2 and emulator.rigs["one"].link.lost_bytes > 0
        return printed

    printed = visit(tmp_path, micropython, ASK, act, faults=[fault("link-half-open", at_s=5)])
    assert "lost TimeoutError True" in printed


def test_without_an_access_point_there_is_no_network(micropython: str, tmp_path: Path) -> None:
    main = JOIN + """
    wlan.active(True)
    wlan.connect("air", "secret")
    time.sleep(10)
    print("status", wlan.status() == network.STAT_NO_AP_FOUND, wlan.isconnected())
    while not wlan.isconnected():
        time.sleep(1)
    print("found")
    while wlan.isconnected():
        time.sleep(1)
    print("gone", wlan.status() == network.STAT_BEACON_TIMEOUT)
    """

    async def act(emulator: Emulator, world: World) -> list[str]:
        return await lines(emulator, "gone")

    faults = [fault("link-down", at_s=0, for_s=15), fault("link-down", at_s=40)]
    seen = visit(tmp_path, micropython, main, act, faults=faults)
    assert seen == ["status True False", "found", "gone True"]


def test_nobody_listening_ends_the_connection(micropython: str, tmp_path: Path) -> None:
    async def act(emulator: Emulator, world: World) -> list[str]:
        return await lines(emulator, "lost")

    nowhere = ASK.replace("server.test", "127.0.0.1")
    assert visit(tmp_path, micropython, nowhere, act)[0] == "lost OSError True"


def packet(kind: int, body: bytes) -> bytes:
    assert len(body) < 128
    return bytes((kind, len(body))) + body


def test_traffic_counts_what_is_unanswered_however_it_is_cut() -> None:
    up = packet(0x10, b"\0\4MQTT") + packet(0x82, b"12abc") + packet(0x32, b"\0\1t12x") + packet(0x30, b"\0\1ty")
    down = packet(0x20, b"\0\0") + packet(0x90, b"120") + packet(0x30, b"\0\1tz") + packet(0x40, b"12")
    for size in range(1, len(up) + 1):
        traffic = Traffic()
        published = sum(traffic.up(up[at : at + size]) for at in range(0, len(up), size))
        assert (traffic.plain, traffic.unanswered, published) == (True, 3, 2)
        assert sum(traffic.down(down[at : at + size]) for at in range(0, len(down), size)) == 1
        assert traffic.unanswered == 0
    long = Traffic()
    long.up(up)
    assert long.up(b"\x32\x80\x02" + bytes(256) + packet(0xC0, b"")) == 1
    assert long.unanswered == 5
    sealed = Traffic()
    assert sealed.up(b"\x16\x03\x01" + up) == 0 and not sealed.plain
