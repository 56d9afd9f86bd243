"""Emulated boards on real MicroPython: time, buses, pins, resets, in real time and in lock-step."""

from pathlib import Path

import pytest

from hardware.emulator.port import UartPort, Wiring
from hardware.emulator.runner import Emulator
from tests.hardware.rigs import START_US, fault, lines, plan, play

SPEEDS = pytest.mark.parametrize("speed", [1, None], ids=["real-time", "lock-step"])


class Echo:
    """Answers every burst backwards, 3 ms after its end."""

    baudrate = 9600
    gap_us = 0

    def __init__(self) -> None:
        self.heard: list[tuple[int, bytes]] = []

    def receive(self, data: bytes, now_us: int) -> list[tuple[int, bytes]]:
        self.heard.append((now_us, data))
        return [(now_us + 3_000, bytes(reversed(data)))]


@SPEEDS
def test_a_board_sees_its_own_flash_and_nothing_else(micropython: str, tmp_path: Path, speed: float | None) -> None:
    main = """
        import os, sys, machine, time, network
        print("listing", os.listdir("/"), os.listdir())
        print("path", sys.path)
        print("cause", machine.reset_cause(), machine.unique_id())
        print("time", time.time(), time.gmtime()[:3])
        os.mkdir("lib")
        with open("lib/extra.py", "w") as file:
            file.write("value = 7")
        import extra
        print("extra", extra.value, os.listdir("/"))
    """

    async def act(emulator: Emulator) -> list[str]:
        return await lines(emulator, "extra")

    assert play(tmp_path, [plan(micropython, main)], act, speed) == [
        "listing ['main.py'] ['main.py']",
        "path ['', '.frozen', '/lib']",
        r"cause 1 b'$\n\xc4\x00\x00\x01'",
        "time 0 (2000, 1, 1)",
        "extra 7 ['lib', 'main.py']",
    ]


@SPEEDS
def test_sleeping_takes_the_time_it_says(micropython: str, tmp_path: Path, speed: float | None) -> None:
    main = """
        import asyncio, time
        async def nap(ms):
            await asyncio.sleep_ms(ms)
            return ms
        async def main():
            t = time.ticks_ms()
            time.sleep_ms(50)
            print("blocking", time.ticks_diff(time.ticks_ms(), t))
            t = time.ticks_ms()
            await asyncio.gather(nap(300), nap(100), nap(200))
            print("asyncio", time.ticks_diff(time.ticks_ms(), t))
            try:
                await asyncio.wait_for(nap(5000), 0.1)
            except asyncio.TimeoutError:
                print("timeout", time.ticks_diff(time.ticks_ms(), t))
        asyncio.run(main())
        t = time.ticks_ms()
        while time.ticks_diff(time.ticks_ms(), t) < 20:
            pass
        print("spun", time.ticks_diff(time.ticks_ms(), t))
    """

    async def act(emulator: Emulator) -> list[str]:
        return await lines(emulator, "spun")

    printed = dict(line.split() for line in play(tmp_path, [plan(micropython, main)], act, speed))
    slack = 40 if speed else 1
    for what, ms in {"blocking": 50, "asyncio": 300, "timeout": 400, "spun": 20}.items():
        assert ms <= int(printed[what]) <= ms + slack, printed


@SPEEDS
def test_bytes_take_their_time_on_a_serial_line(micropython: str, tmp_path: Path, speed: float | None) -> None:
    main = """
        import asyncio, machine, time
        uart = machine.UART(1, 9600, tx=17, rx=16)
        async def main():
            stream = asyncio.StreamReader(uart)
            for n in range(3):
                t = time.ticks_us()
                uart.write(b"hello %d" % n)
                back = await stream.readexactly(7)
                print(back, time.ticks_diff(time.ticks_us(), t))
        asyncio.run(main())
        uart.write(b"polled")
        while not uart.any():
            time.sleep_ms(1)
        print("done", uart.read())
    """
    echo = Echo()

    async def act(emulator: Emulator) -> list[str]:
        return await lines(emulator, "done")

    *answers, done = play(tmp_path, [plan(micropython, main, wiring=Wiring({1: UartPort([echo])}))], act, speed)
    assert done == "done b'dellop'"
    due_us = 14 * 10 * 1_000_000 // 9600 + 3_000
    for n, answer in enumerate(answers):
        text, us = answer.rsplit(" ", 1)
        assert text == repr(bytes(reversed(b"hello %d" % n)))
        assert due_us - 2_000 <= int(us) <= due_us + (30_000 if speed else 2_000)
    assert [data for _, data in echo.heard] == [b"hello 0", b"hello 1", b"hello 2", b"polled"]


def test_a_line_with_other_settings_is_silent(micropython: str, tmp_path: Path) -> None:
    main = """
        import machine, time
        for baud, tx in ((4800, 17), (9600, 5), (9600, 17)):
            uart = machine.UART(1, baud, tx=tx, rx=16)
            uart.write(b"ping")
            time.sleep_ms(100)
            print(baud, tx, uart.read())
    """
    wiring = Wiring({1: UartPort([Echo()], tx=17, rx=16)})

    async def act(emulator: Emulator) -> list[str]:
        return await lines(emulator, "9600 17")

    printed = play(tmp_path, [plan(micropython, main, wiring=wiring)], act)
    assert printed == ["4800 17 None", "9600 5 None", "9600 17 b'gnip'"]


class Thermometer:
    """One register pointer, two bytes each."""

    address = 0x48

    def __init__(self) -> None:
        self.pointer = 0

    def write(self, data: bytes, now_us: int) -> bool:
        self.pointer = data[0] if data else self.pointer
        return self.pointer < 4

    def read(self, count: int, now_us: int) -> bytes | None:
        return bytes((self.pointer, 0x5A))[:count]


@SPEEDS
def test_i2c_answers_or_does_not_acknowledge(micropython: str, tmp_path: Path, speed: float | None) -> None:
    main = """
        from machine import I2C, Pin
        i2c = I2C(0, scl=Pin(22), sda=Pin(21), freq=100000)
        print(i2c.scan(), i2c.readfrom_mem(0x48, 2, 2), i2c.writeto(0x48, b"\\x01"), i2c.readfrom(0x48, 1))
        buf = bytearray(2)
        i2c.readfrom_mem_into(0x48, 3, buf)
        print(buf)
        for address, register in ((0x48, 9), (0x50, 0)):
            try:
                i2c.readfrom_mem(address, register, 1)
            except OSError as e:
                print("error", e.errno)
        print("end")
    """
    wiring = Wiring(i2c={0: [Thermometer()]})

    async def act(emulator: Emulator) -> list[str]:
        return await lines(emulator, "end")

    printed = play(tmp_path, [plan(micropython, main, wiring=wiring)], act, speed)
    assert printed == [r"[72] b'\x02Z' 1 b'\x01'", r"bytearray(b'\x03Z')", "error 19", "error 19", "end"]


class Square:
    """A PinSource: a level that changes every half second of site time."""

    def level(self, now_us: int) -> int:
        return now_us // 500_000 & 1

    def next_edge_us(self, now_us: int) -> int:
        return (now_us // 500_000 + 1) * 500_000


class Lamp:
    def __init__(self) -> None:
        self.history: list[tuple[int, int]] = []

    def drive(self, level: int, now_us: int) -> None:
        self.history.append((level, now_us))


class Half:
    def voltage_v(self, now_us: int) -> float:
        return 1.55


@SPEEDS
def test_pins_interrupts_timers_and_adc(micropython: str, tmp_path: Path, speed: float | None) -> None:
    main = """
        from machine import ADC, Pin, Timer
        import time
        edges = []
        pin = Pin(4, Pin.IN)
        pin.irq(lambda p: edges.append(p.value()), Pin.IRQ_RISING | Pin.IRQ_FALLING)
        ticks = []
        timer = Timer(0, period=100, mode=Timer.PERIODIC, callback=lambda t: ticks.append(1))
        lamp = Pin(2, Pin.OUT, value=1)
        time.sleep_ms(2050)
        timer.deinit()
        lamp.off()
        print("edges", len(edges), "alternate", all(a != b for a, b in zip(edges, edges[1:])), "ticks", len(ticks))
        print("adc", ADC(Pin(34), atten=ADC.ATTN_11DB).read_u16(), Pin(9, Pin.IN, Pin.PULL_UP).value())
    """
    lamp = Lamp()
    wiring = Wiring(sources={4: Square()}, sinks={2: lamp}, analog={34: Half()})

    async def act(emulator: Emulator) -> list[str]:
        return await lines(emulator, "adc")

    edges, adc = play(tmp_path, [plan(micropython, main, wiring=wiring)], act, speed)
    assert edges == "edges 4 alternate True ticks 20"
    assert adc == "adc 32767 1"
    assert [level for level, _ in lamp.history] == [1, 0]
    assert 2_040_000 <= lamp.history[1][1] - lamp.history[0][1] <= (2_200_000 if speed else 2_051_000)


RESETS = """
    import machine, os, time
    rtc = machine.RTC()
    count = len(rtc.memory())
    print("boot", machine.reset_cause(), count, time.gmtime()[0], "log" in os.listdir())
    rtc.memory(b"x" * (count + 1))
"""


@SPEEDS
def test_each_reset_has_its_cause_and_keeps_rtc_and_flash(
    micropython: str, tmp_path: Path, speed: float | None
) -> None:
    main = RESETS + """
    if count == 0:
        rtc.datetime((2027, 1, 15, 4, 8, 0, 0, 0))
        open("log", "w").close()
        machine.reset()
    if count == 1:
        machine.soft_reset()
    if count == 2:
        dog = machine.WDT(timeout=1000)
        for i in range(5):
            time.sleep_ms(300)
            dog.feed()
        print("fed")
        while True:
            pass
    if count == 3:
        print("asleep")
        machine.deepsleep(500)
    print("ready")
    """

    async def act(emulator: Emulator) -> tuple[list[str], dict[str, int]]:
        printed = await lines(emulator, "ready")
        return printed, emulator.rigs["one"].board.tally.resets

    printed, resets = play(tmp_path, [plan(micropython, main)], act, speed)
    assert printed == [
        "boot 1 0 2000 False",
        "boot 2 1 2027 True",
        "boot 5 2 2027 True",
        "fed",
        "boot 3 3 2027 True",
        "asleep",
        "boot 4 4 2027 True",
        "ready",
    ]
    assert resets == {"machine.reset": 1, "soft reset": 1, "watchdog": 1, "deep sleep": 1}


@SPEEDS
def test_a_brown_out_keeps_the_rtc_and_a_power_cut_does_not(
    micropython: str, tmp_path: Path, speed: float | None
) -> None:
    main = RESETS + """
    rtc.datetime((2027, 1, 15, 4, 8, 0, 0, 0))
    time.sleep(1000)
    """

    async def act(emulator: Emulator) -> list[str]:
        return await lines(emulator, "boot 1 0 2000", after=2)

    faults = [fault("brown-out", at_s=2), fault("power-cut", at_s=4, for_s=1)]
    assert play(tmp_path, [plan(micropython, main)], act, speed, faults=faults) == [
        "boot 1 0 2000 False",
        "boot 1 1 2027 False",
        "boot 1 0 2000 False",
    ]


def test_an_hour_of_ticks_is_exact_and_quick(micropython: str, tmp_path: Path) -> None:
    main = """
        import asyncio, time
        async def main():
            start = time.ticks_ms()
            for n in range(3600):
                await asyncio.sleep_ms(time.ticks_diff(time.ticks_add(start, (n + 1) * 1000), time.ticks_ms()))
            print("hour", time.ticks_diff(time.ticks_ms(), start))
        asyncio.run(main())
    """

    async def act(emulator: Emulator) -> list[str]:
        return await lines(emulator, "hour", timeout_s=30)

    assert play(tmp_path, [plan(micropython, main)], act) == ["hour 3600000"]


def test_two_boards_in_lock_step_say_the_same_in_every_run(micropython: str, tmp_path: Path) -> None:
    main = """
        import asyncio, machine, os, time
        uart = machine.UART(1, 9600)
        async def ask(stream, wait):
            for n in range(40):
                uart.write(os.urandom(1 + n // 8))
                back = await stream.readexactly(1 + n // 8)
                print(time.ticks_ms(), back)
                await asyncio.sleep_ms(wait + back[0])
            print("end")
        asyncio.run(ask(asyncio.StreamReader(uart), %d))
    """

    def once(folder: str) -> tuple[list[str], list[str]]:
        plans = [
            plan(micropython, main % wait, name, Wiring({1: UartPort([Echo()])}), seed=wait)
            for name, wait in (("one", 31), ("two", 57))
        ]

        async def act(emulator: Emulator) -> tuple[list[str], list[str]]:
            return await lines(emulator, "end", "one"), await lines(emulator, "end", "two")

        return play(tmp_path / folder, plans, act)

    first = once("first")
    assert len(first[0]) == 41 and first[0] != first[1]
    assert once("second") == first


def test_the_site_clock_stands_where_the_boards_are(micropython: str, tmp_path: Path) -> None:
    main = """
        import time
        time.sleep(100)
        print("slept")
        time.sleep(1000000)
    """

    async def act(emulator: Emulator) -> int:
        await lines(emulator, "slept")
        return emulator.rigs["one"].board.now_us()

    assert play(tmp_path, [plan(micropython, main)], act, lookahead_us=0) >= START_US + 100_300_000
