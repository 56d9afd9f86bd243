"""Drivers on a bench: the same test drives a driver in this process or inside a MicroPython, against real or scripted
parts on a line that keeps its pace, all in one virtual time.

Owns: `World` (time, line, chips, pins), `House` and `Plant` (what is measured and told), the runtimes `cpython`,
`micropython32`, `micropython64`.
Refuses: judging. Invariant: what a driver hears does not depend on where it runs.
"""

import ast
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from firmware.drivers import Fault, Sample
from hardware.emulator.bus import I2cBus, UartLine
from hardware.emulator.port import I2cPart, Phase, Reading, StoreState, UartPart, UartPort
from hardware.emulator.timeline import Agenda, Event

ROOT = Path(__file__).resolve().parents[2]
STEP_MS = 5


class World:
    """Everything outside of the driver."""

    def __init__(self, now_ms: int = 10_000) -> None:
        self.now_ms = now_ms
        self.agenda = Agenda()
        self.heard = bytearray()  # by the driver's UART, not read yet
        self.line: UartLine | None = None
        self.bus = I2cBus(self, ())
        self.outputs: dict[int, int] = {}
        self.drives: list[tuple[int, int, int]] = []  # (now_ms, pin, level)
        self.inputs: dict[int, Callable[[], int]] = {}
        self.sent: list[bytes] = []
        self.garble: Callable[[bytes], bytes] = bytes

    # ---- what UartLine wants of a board

    def now_us(self) -> int:
        return self.now_ms * 1000

    def at(self, due_us: int, callback: Callable[[], None]) -> Event:
        return self.agenda.add(due_us, callback)

    def advance(self, ms: int = STEP_MS) -> None:
        end_us = (self.now_ms + ms) * 1000
        while (due_us := self.agenda.next_us()) is not None and due_us <= end_us:
            self.now_ms = max(self.now_ms, due_us // 1000)
            self.agenda.pop()()
        self.now_ms = end_us // 1000

    def uart(self, baudrate: int, *parts: UartPart) -> None:
        self.line = UartLine(self, UartPort(parts), self._deliver)
        self.line.configure(baudrate, -1, -1, 8, -1, 1)

    def i2c(self, *parts: I2cPart) -> None:
        self.bus = I2cBus(self, parts)

    def _deliver(self, at_us: int, data: bytes) -> None:
        """The line tells early what will arrive when."""

        def arrive() -> None:
            self.heard += self.garble(data)

        self.at(at_us, arrive)

    # ---- what the driver does; every call is one letter in drivers_peer.py

    def ask(self, what: str, *args: Any) -> Any:
        return getattr(self, "_" + what)(*args)

    def _any(self) -> int:
        return len(self.heard)

    def _read(self, count: int) -> bytes | None:
        count = len(self.heard) if count < 0 else count
        taken = bytes(self.heard[:count])
        del self.heard[:count]
        return taken or None

    def _write(self, data: bytes) -> int:
        self.sent.append(bytes(data))
        if self.line:
            self.line.write(bytes(data))
        return len(data)

    def _transfer(self, address: int, data: bytes, count: int) -> tuple[int, bytes]:
        return self.bus.transfer(address, data, count)

    def _pin(self, number: int, level: int | None) -> int:
        if level is not None:
            self.outputs[number] = level
            self.drives.append((self.now_ms, number, level))
        return self.inputs.get(number, lambda: self.outputs.get(number, 0))()

    def _ticks(self) -> int:
        return self.now_ms & 0x3FFFFFFF


class ScriptedLine:
    """A line whose far end is a function: request -> [(delay in ms, bytes)]."""

    def __init__(self, world: World, script: Callable[[bytes], Sequence[tuple[int, bytes]]]) -> None:
        self.world = world
        self.script = script

    def write(self, data: bytes) -> None:
        for delay_ms, answer in self.script(data):
            due_us = self.world.now_us() + delay_ms * 1000
            self.world.at(due_us, lambda answer=answer: self.world.heard.extend(answer))  # type: ignore[misc]


class Bench:
    """One driver on one runtime. `make` is its constructor as an expression over `line(baud)`, `i2c`, `pin(n)`,
    `ticks_ms`, `timer` and the names of its module."""

    def __init__(self, runtime: "Runtime", world: World, module: str, make: str) -> None:
        self.world = world
        self._runtime = runtime
        runtime.world = world
        runtime.do(f"make {module} {make}")

    def call(self, expression: str) -> Any:
        """An expression over the driver `d`."""
        return self._runtime.do(f"eval {expression}")

    def start(self) -> None:
        self.call(f"d.start({self.world.now_ms & 0x3FFFFFFF})")

    def poll(self) -> Sample | None:
        return self._runtime.sample(f"d.poll({self.world.now_ms & 0x3FFFFFFF})")

    def finish(self, within_ms: int = 5_000) -> Sample:
        """Poll until the open reading ends; a Fault comes out as one."""
        for _ in range(within_ms // STEP_MS):
            self.world.advance()
            sample = self.poll()
            if sample is not None:
                return sample
        raise AssertionError(f"nothing after {within_ms} ms")

    def reading(self, within_ms: int = 5_000) -> Sample:
        self.start()
        return self.finish(within_ms)

    def fault(self, within_ms: int = 5_000) -> Fault:
        """The fault that the next reading ends with."""
        try:
            sample = self.reading(within_ms)
        except Fault as fault:
            return fault
        raise AssertionError(f"a sample: {sample}")


class Runtime:
    """Where the driver runs: this process, or a MicroPython behind two pipes."""

    def __init__(self, program: str | None) -> None:
        self.world = World()
        self.on_cpython = program is None
        command = [program or sys.executable, "tests/firmware/drivers_peer.py"]
        self._peer = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="ascii"
        )

    def do(self, line: str) -> Any:
        """Say a line to the peer, answer its questions, and return what it makes of it."""
        assert self._peer.stdin and self._peer.stdout
        self._say(line)
        while True:
            kind, _, rest = self._peer.stdout.readline().rstrip("\n").partition(" ")
            if kind == "?":
                self._say(repr(self.world.ask(*ast.literal_eval(rest))))
            elif kind == "fault":
                raise Fault(*ast.literal_eval(rest))
            elif kind == "value":
                return ast.literal_eval(rest)
            else:
                raise AssertionError(f"the driver broke: {kind} {rest} {self._peer.stdout.read()}")

    def sample(self, expression: str) -> Sample | None:
        found = self.do(f"eval {expression}")
        return None if found is None else Sample(*found)

    def _say(self, line: str) -> None:
        assert self._peer.stdin
        self._peer.stdin.write(line + "\n")
        self._peer.stdin.flush()

    def close(self) -> None:
        assert self._peer.stdin
        self._peer.stdin.close()
        self._peer.wait(10)


class House:
    """A terminal whose load a test sets; energy is what flowed. `phases` share it alike."""

    def __init__(self, power_w: float = 0.0, phases: int = 1, voltage_v: float = 230.0) -> None:
        self.phases = phases
        self.voltage_v = voltage_v
        self.reactive_var = 0.0
        self._power_w = power_w
        self._energy_wh = [0.0, 0.0]
        self._since_us = 0

    def load(self, power_w: float, now_us: int) -> None:
        self._energy_wh = list(self._energies(now_us))
        self._since_us, self._power_w = now_us, power_w

    def _energies(self, now_us: int) -> tuple[float, float]:
        moved = self._power_w * (now_us - self._since_us) / 3.6e9 if self._since_us else 0.0
        self._since_us = self._since_us or now_us
        return self._energy_wh[0] + max(0.0, moved), self._energy_wh[1] + max(0.0, -moved)

    def at(self, now_us: int) -> Reading:
        imported, exported = self._energies(now_us)
        power_w, n = self._power_w / self.phases, self.phases
        current_a = abs(complex(power_w, self.reactive_var / n)) / self.voltage_v if self.voltage_v else 0.0
        phase = Phase(self.voltage_v, current_a, power_w, self.reactive_var / n, imported / n, exported / n)
        return Reading((phase,) * n)


class Plant(House):
    """A terminal with a source or store behind it: the port `Converter`. It does at once what it is told."""

    def __init__(self, sun_w: float = 0.0, capacity_wh: float = 0.0, phases: int = 3) -> None:
        super().__init__(-sun_w, phases)
        self.sun_w = sun_w
        self.capacity_wh = capacity_wh
        self.stored_wh = capacity_wh / 2
        self.charge_w_max = self.discharge_w_max = 5_000.0
        self.temperature_c = 31.5
        self.orders: list[tuple[int, float | None]] = []
        self.limits: list[tuple[int, float | None]] = []

    def order(self, power_w: float | None, now_us: int) -> None:
        self.orders.append((now_us, power_w))
        self.load(power_w or 0.0, now_us)

    def limit(self, power_w: float | None, now_us: int) -> None:
        self.limits.append((now_us, power_w))
        self.load(-min(self.sun_w, self.sun_w if power_w is None else power_w), now_us)

    def available_w(self, now_us: int) -> float:
        return self.sun_w

    def store(self, now_us: int) -> StoreState | None:
        if not self.capacity_wh:
            return None
        return StoreState(self.stored_wh, self.capacity_wh, self.temperature_c, self.charge_w_max, self.discharge_w_max)
