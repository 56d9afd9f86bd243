"""Faults by name: each strikes what it names, is seen by the firmware as the real one would be, and can be repaired."""

import asyncio
import json
import socket
from pathlib import Path

import pytest

from hardware.emulator import control
from hardware.emulator.faults import Unknown
from hardware.emulator.parts.pzem004t import Pzem004t
from hardware.emulator.parts.relay import Relay
from hardware.emulator.port import Phase, Reading, UartPort, Wiring
from hardware.emulator.runner import Emulator, Plan
from hardware.site.parts import FAULTS
from tests.hardware.rigs import fault, lines, plan, play, until


class Wire:
    """A terminal and a switch: 1,000 W while closed, counted exactly."""

    def __init__(self) -> None:
        self.closed = True
        self.since_us = 0
        self.energy_wh = 0.0

    def at(self, now_us: int) -> Reading:
        self._count(now_us)
        power_w = 1000.0 if self.closed else 0.0
        return Reading((Phase(230.0, power_w / 230, power_w, import_wh=self.energy_wh),))

    def set(self, closed: bool, now_us: int) -> None:
        self._count(now_us)
        self.closed = closed

    def _count(self, now_us: int) -> None:
        if self.since_us and self.closed:
            self.energy_wh += (now_us - self.since_us) / 3_600_000
        self.since_us = max(now_us, self.since_us)


def rigged(micropython: str, main: str) -> tuple[Plan, Wire]:
    """A board with a PZEM on UART 1, a relay on pin 2, its contact on pin 3, a power-good line on pin 5."""
    wire = Wire()
    meter, relay = Pzem004t(wire), Relay(wire)
    wiring = Wiring({1: UartPort([meter])}, sources={3: relay.contact}, sinks={2: relay})
    base = plan(micropython, main, wiring=wiring)
    return Plan(
        spec=base.spec, files=base.files, wiring=wiring, flash_blocks=64, power_good=5, seed=3,
        parts={"main": meter, "contactor": relay}, buses={"uart0": 1},
    ), wire  # fmt: skip


METER = """
    from machine import UART, Pin, WDT
    import time
    uart = UART(1, 9600)
    def ask():
        uart.read()
        uart.write(b"\\x01\\x04\\x00\\x00\\x00\\x0a\\x70\\x0d")
        time.sleep_ms(100)
        return uart.read() or b""
    for n in range(150):
        answer = ask()
        time.sleep_ms(900)
        print("power", len(answer), (int.from_bytes(answer[9:11], "big") + 5) // 10 if len(answer) == 25 else "-")
"""


def powers(printed: list[str]) -> list[str]:
    return [line.split(" ", 1)[1] for line in printed if line.startswith("power")]


def run(micropython: str, folder: Path, main: str, faults: list[object], last: str, after: int = 0) -> list[str]:
    board, _ = rigged(micropython, main)

    async def act(emulator: Emulator) -> list[str]:
        return await lines(emulator, last, after=after)

    return play(folder, [board], act, faults=faults)


def test_a_site_file_knows_the_same_kinds(micropython: str, tmp_path: Path) -> None:
    async def act(emulator: Emulator) -> set[str]:
        return set(emulator.faults.kinds)

    assert play(tmp_path, [rigged(micropython, METER)[0]], act, speed=0) == set(FAULTS)


@pytest.mark.parametrize("kind", ["bus-dead", "bus-babbling", "uart-bit-flip"])
def test_a_bad_bus_spoils_answers_until_it_is_repaired(micropython: str, tmp_path: Path, kind: str) -> None:
    amount = 400 if kind == "uart-bit-flip" else None
    bad = fault(kind, at_s=5, for_s=10, amount=amount)
    bad.on = "one/uart0"  # type: ignore[attr-defined]
    seen = powers(run(micropython, tmp_path, METER, [bad], "power", after=24))
    assert seen[:4] == ["25 1000"] * 4 and seen[-5:] == ["25 1000"] * 5
    assert sum(line != "25 1000" for line in seen[5:14]) >= 7
    if kind == "bus-dead":
        assert seen.count("0 -") == 10


def test_a_frozen_sensor_repeats_itself_and_a_drifting_one_runs_away(micropython: str, tmp_path: Path) -> None:
    main = METER.replace("(int.from_bytes(answer[9:11], \"big\") + 5) // 10", "int.from_bytes(answer[3:11], \"big\")")
    frozen, drifting = fault("sensor-frozen", at_s=5, for_s=10), fault("sensor-drifting", at_s=30, for_s=300)
    frozen.on = drifting.on = "one/main"  # type: ignore[attr-defined]
    seen = [int(line.split()[1]) for line in powers(run(micropython, tmp_path, main, [frozen, drifting], "power", 130))]
    assert len(set(seen[5:14])) == 1 and len(set(seen[15:29])) > 5
    watts = [raw & 0xFFFF for raw in seen]  # tenths
    assert abs(watts[28] - 10000) <= 5 and 10080 < watts[125] < 10120


def test_a_stuck_relay_is_seen_at_its_contact_and_a_bouncing_one_chatters(micropython: str, tmp_path: Path) -> None:
    main = """
        from machine import Pin
        import time
        coil, contact = Pin(2, Pin.OUT, value=1), Pin(3, Pin.IN, Pin.PULL_UP)
        edges = []
        contact.irq(lambda p: edges.append(1), 3)
        for n in range(30):
            edges.clear()
            coil.value(1 - coil.value())
            time.sleep(1)
            print("coil", coil.value(), "open", contact.value(), "edges", min(len(edges), 50))
    """
    stuck, bouncing = fault("relay-stuck", at_s=5, for_s=4), fault("relay-bouncing", at_s=12, for_s=4)
    stuck.on = bouncing.on = "one/contactor"  # type: ignore[attr-defined]
    seen = [line.split() for line in run(micropython, tmp_path, main, [stuck, bouncing], "coil", after=20)]
    agreed = [int(line[1]) != int(line[3]) for line in seen]
    assert all(agreed[:4]) and not all(agreed[4:9]) and all(agreed[10:])
    edges = [int(line[5]) for line in seen]
    assert max(edges[:4]) < max(edges[12:16])


def test_a_hung_board_is_reset_by_its_watchdog_and_stays_hung_without(micropython: str, tmp_path: Path) -> None:
    fed = METER.replace("for n in range(150):", "dog = WDT(timeout=3000)\n    for n in range(20):\n        dog.feed()")
    printed = run(micropython, tmp_path / "fed", fed, [fault("watchdog", at_s=5)], "power", after=8)
    assert len(powers(printed)) >= 8

    board, _ = rigged(micropython, METER)

    async def act(emulator: Emulator) -> int:
        await until(lambda: len(emulator.faults.log) == 2)
        await asyncio.sleep(0.3)  # what it printed comes through a pipe
        return len(powers(list(emulator.rigs["one"].board.log)))

    later = [fault("watchdog", at_s=5), fault("flash-bit-flip", at_s=60)]
    assert 3 <= play(tmp_path / "hung", [board], act, faults=later) <= 5


def test_a_brown_out_warns_on_the_power_good_line(micropython: str, tmp_path: Path) -> None:
    main = """
        from machine import Pin, reset_cause
        import time
        print("boot", reset_cause())
        def failing(pin):
            with open("saved", "w") as f:
                f.write("in time")
            print("saved", pin.value())
        Pin(5, Pin.IN, Pin.PULL_UP).irq(failing, Pin.IRQ_FALLING)
        try:
            print("found", open("saved").read())
        except OSError:
            pass
        time.sleep(100)
    """
    for warning_ms, seen in ((500, ["boot 1", "saved 0", "boot 1", "found in time"]), (0, ["boot 1", "boot 1"])):
        folder = tmp_path / str(warning_ms)
        wanted = fault("brown-out", at_s=2, amount=warning_ms)
        assert run(micropython, folder, main, [wanted], seen[-1], after=len(seen) - 1)[: len(seen)] == seen


def test_a_wrong_clock_jumps_and_flash_bits_flip(micropython: str, tmp_path: Path) -> None:
    main = """
        import time
        for n in range(20):
            time.sleep(1)
            print("year", time.gmtime()[0])
    """
    board = plan(micropython, main)
    faults = [fault("wrong-clock", at_s=3, amount=1_800_000_000), fault("flash-bit-flip", at_s=3, amount=3, seed=9)]

    async def act(emulator: Emulator) -> tuple[list[str], int]:
        before = int.from_bytes(emulator.rigs["one"].flash.image(), "big")
        printed = await lines(emulator, "year 2027")
        after = int.from_bytes(emulator.rigs["one"].flash.image(), "big")
        return printed, (before ^ after).bit_count()

    printed, flipped = play(tmp_path, [board], act, faults=faults)
    assert printed[0] == "year 2000" and printed[-1] == "year 2027"
    assert flipped == 3


def test_faults_are_named_or_refused_and_remembered(micropython: str, tmp_path: Path) -> None:
    board, _ = rigged(micropython, METER)
    wrong = [("no-such", None), ("power-cut", "two"), ("relay-stuck", "one/main"), ("sensor-frozen", "one/none"),
             ("bus-dead", "one/uart9"), ("broker-restart", None)]  # fmt: skip
    restarts: list[int] = []

    async def act(emulator: Emulator) -> None:
        faults = emulator.faults
        for kind, on in wrong:
            with pytest.raises(Unknown):
                faults.strike(kind, on)
        assert not faults.log and not faults.active
        faults.strike("bus-dead", "one/uart0")
        assert faults.active and faults.log[0][1] == "bus-dead on one/uart0"
        faults.repair("bus-dead", "one/uart0")
        assert not faults.active and faults.log[1][1] == "bus-dead on one/uart0 repaired"

    play(tmp_path, [board], act, speed=0)

    async def restart(emulator: Emulator) -> None:
        emulator.faults.strike("broker-restart")

    play(tmp_path, [board], restart, speed=0, restart_broker=lambda: restarts.append(1))
    assert restarts == [1]


def test_a_running_site_is_controlled_from_outside(micropython: str, tmp_path: Path) -> None:
    board, _ = rigged(micropython, METER)

    async def act(emulator: Emulator) -> None:
        def ask(**request: object) -> dict[str, object]:
            return control.ask(emulator.clock_path, request)

        async def asked(**request: object) -> dict[str, object]:
            return await asyncio.to_thread(lambda: ask(**request))

        assert await asked(do="speed", speed=None) == {}
        await lines(emulator, "power", after=3)
        assert await asked(do="strike", kind="power-cut", on="one") == {}
        status = await asked(do="status")
        assert status["boards"]["one"]["powered"] is False  # type: ignore[index]
        assert status["faults"] == ["power-cut on one"]
        assert await asked(do="repair", kind="power-cut", on="one") == {}
        await lines(emulator, "power", after=6)
        for bad in ({"do": "dance"}, {"do": "strike", "kind": "power-cut", "on": "two"}, {"no": 1}):
            assert "error" in await asked(**bad)
        with socket.socket(socket.AF_UNIX) as peer:
            peer.connect("\0" + emulator.participants.address + "-control")
            peer.sendall(b"not JSON\n")
            assert "error" in json.loads(await asyncio.to_thread(peer.recv, 1000))

    play(tmp_path, [board], act, speed=0)
