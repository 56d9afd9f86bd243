"""An emulator from a site: grid, parts, wiring and boards, and what each board's config.json says about its parts.

Owns: which part hangs on which pins, terminals, switches and converters; the free pins that contacts and second coils
take. Pins come from the firmware's own board files, read as data.
Refuses: keys, broker and names in config.json, and which files are flashed: the caller adds them.
Invariants: what a board is configured for is what it is wired to; the same site and seed give the same parts.
"""

import ast
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from hashlib import sha256
from pathlib import Path

from hardware.site import model

from .board import EPOCH_2000_S, BoardSpec
from .grid import Grid
from .parts import build
from .parts.relay import LatchingRelay
from .parts.sunspec import Wake
from .port import UartPart, UartPort, Wiring
from .runner import Emulator, Plan

BOARDS = Path(__file__).parents[2] / "firmware" / "boards"
HEAP_KB = 256
CONSTANTS = ("UARTS", "I2CS", "GPIOS", "POWER_GOOD")


@dataclass(frozen=True)
class Pinout:
    """The constants of a file in firmware/boards."""

    uarts: tuple[tuple[int, int, int], ...] = ()  # number, tx, rx
    i2cs: tuple[tuple[int, int, int], ...] = ()
    gpios: tuple[int, ...] = ()
    power_good: int | None = None


@cache
def pinout(kind: str) -> Pinout:
    values: dict[str, object] = {}
    for name in ("__init__", kind.replace("-", "_")):
        for node in ast.walk(ast.parse((BOARDS / f"{name}.py").read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef) and node.name in ("Board", "Here"):
                for line in node.body:
                    if isinstance(line, ast.Assign) and ast.unparse(line.targets[0]) in CONSTANTS:
                        values[ast.unparse(line.targets[0])] = ast.literal_eval(line.value)
    return Pinout(values["UARTS"], values["I2CS"], values["GPIOS"], values["POWER_GOOD"])  # type: ignore[arg-type]


@dataclass(slots=True)
class Bench:
    """One board with its parts, before it has firmware."""

    board: model.Board
    wiring: Wiring = field(default_factory=Wiring)
    parts: dict[str, object] = field(default_factory=dict)
    buses: dict[str, int] = field(default_factory=dict)
    sensors: list[dict[str, object]] = field(default_factory=list)
    actors: list[dict[str, object]] = field(default_factory=list)

    @property
    def wired(self) -> bool:
        return self.board.kind == "rpi"

    @property
    def config(self) -> dict[str, object]:
        """What config.json says about the board and its parts."""
        return {
            "role": self.board.role, "board": self.board.kind, "name": self.board.name,
            "sensors": self.sensors, "actors": self.actors,
            "wifi": None if self.wired else {"ssid": "air", "password": "emulated"},
        }  # fmt: skip


Files = Callable[[Bench], Mapping[str, bytes]]
"""The flash of a board: firmware and config.json, by path."""


def assemble(
    site: model.Site,
    folder: Path,
    files: Files,
    micropython: Mapping[int, Path],
    *,
    speed: float | None = 1,
    seed: int | None = None,
    heap_kb: int = HEAP_KB,
    **options: object,
) -> tuple[Emulator, Grid]:
    """`micropython`: bits -> interpreter. `options` go to the Emulator. Nothing runs yet."""
    seed = site.seed if seed is None else seed
    emulator = Emulator(folder, [], speed=speed, start_us=site.start_s * 1_000_000, faults=site.faults, **options)  # type: ignore[arg-type]
    grid = Grid(site, seed, emulator.plant_changed)
    emulator.plant = grid
    for number, board in enumerate(site.boards):
        bench = wire_up(site, board, grid, lambda at_us, act: emulator.timeline.at(at_us, act), seed)
        spec = BoardSpec(
            name=board.name,
            micropython=micropython.get(board.bits) or micropython[64],
            heap_kb=heap_kb,
            unique_id=b"\x24\x0a\xc4" + number.to_bytes(3, "big"),
            epoch_s=EPOCH_2000_S if board.kind.startswith("esp32") else 0,
            seed=sha256(f"{seed} {board.name}".encode()).digest()[:16],
        )
        emulator.plans.append(
            Plan(
                spec=spec, files=files(bench), wiring=bench.wiring, parts=bench.parts, buses=bench.buses,
                power_good=pinout(board.kind).power_good, wired=bench.wired, seed=number,
            )
        )  # fmt: skip
    return emulator, grid


def wire_up(site: model.Site, board: model.Board, grid: Grid, wake: Wake, seed: int) -> Bench:
    """Every sensor and actor of a board on its bus."""
    bench = Bench(board)
    taken = {row.bus for row in board.sensors} | {row.bus for row in board.actors}
    free = [f"gpio{n}" for n in range(len(pinout(board.kind).gpios)) if f"gpio{n}" not in taken]
    lines: dict[str, list[UartPart]] = {}
    for n, sensor in enumerate(board.sensors):
        _sensor(bench, sensor, grid, lines, seed * 1000 + n)
    for actor in board.actors:
        if actor.part.startswith("relay"):
            _relay(bench, actor, grid, free)
        else:
            _inverter(bench, actor, site, grid, lines, wake, seed)
    for bus, parts in lines.items():
        number, tx, rx = pinout(board.kind).uarts[int(bus.removeprefix("uart"))]
        bench.wiring.uart[number] = UartPort(parts, tx, rx)
        bench.buses[bus] = number
    return bench


def _pin(board: model.Board, bus: str) -> int:
    return pinout(board.kind).gpios[int(bus.removeprefix("gpio"))]


def _sensor(
    bench: Bench, row: model.Sensor, grid: Grid, lines: dict[str, list[UartPart]], seed: int
) -> None:  # fmt: skip
    entry: dict[str, object] = {"part": row.part, "bus": row.bus}
    address = row.address or 1
    terminal = grid.bank(row.at) if row.part == "ina226" else grid.terminal(row.at)
    if row.bus.startswith("uart"):
        slave = build.uart_sensor(row.part, terminal, address, seed)
        lines.setdefault(row.bus, []).append(slave)
        bench.parts[row.name] = slave
        entry["address"] = address
    elif row.bus.startswith("i2c"):
        chip = build.i2c_sensor(row.part, terminal, row.address or 0, seed)
        number = pinout(bench.board.kind).i2cs[int(row.bus.removeprefix("i2c"))][0]
        bench.wiring.i2c[number] = [*bench.wiring.i2c.get(number, ()), chip]
        bench.buses[row.bus] = number
        bench.parts[row.name] = chip
        entry |= _scale(row)
    else:
        pulses = build.pulse_sensor(terminal)
        bench.wiring.sources[_pin(bench.board, row.bus)] = pulses
        bench.parts[row.name] = pulses
        entry["pulses_per_kwh"] = build.S0_PULSES_PER_KWH
    bench.sensors.append(entry)


def _scale(row: model.Sensor) -> dict[str, object]:
    if row.part == "ina226":
        return {"address": row.address, "shunt_uohm": build.INA226_SHUNT_UOHM}
    return {"full_mv": build.ADE7953_FULL_MV, "full_ma": build.ADE7953_FULL_MA}


def _relay(bench: Bench, row: model.Actor, grid: Grid, free: list[str]) -> None:
    """The contact is read back where the board has a pin left for it."""
    relay = build.relay(row.part, grid.switch(row.at))
    bench.parts[row.name] = relay
    entry: dict[str, object] = {"part": row.part, "bus": row.bus}
    sinks = bench.wiring.sinks
    if isinstance(relay, LatchingRelay):
        entry["open_bus"] = free.pop(0)
        sinks[_pin(bench.board, row.bus)] = relay.set_coil
        sinks[_pin(bench.board, str(entry["open_bus"]))] = relay.reset_coil
    else:
        sinks[_pin(bench.board, row.bus)] = relay
    if free:
        entry["contact"] = free.pop(0)
        bench.wiring.sources[_pin(bench.board, str(entry["contact"]))] = relay.contact
    bench.actors.append(entry)


def _inverter(
    bench: Bench, row: model.Actor, site: model.Site, grid: Grid, lines: dict[str, list[UartPart]],
    wake: Wake, seed: int,
) -> None:  # fmt: skip
    address = row.address or 1
    device = build.sunspec(
        row.part, grid.terminal(row.at), grid.converter(row.at), rated_w(site, row.at), bench.board.name, wake, seed
    )
    slave = build.SunSpecSlave(device, address)
    lines.setdefault(row.bus, []).append(slave)
    bench.parts[row.name] = slave
    bench.actors.append({"part": row.part, "bus": row.bus, "address": address, "baud": slave.baudrate})


def rated_w(site: model.Site, place: str) -> int:
    """What the converter of a place is built for."""
    for field_ in site.panels:
        if field_.name == place:
            return field_.inverter_w or field_.peak_w
    for store in (*site.batteries, *site.stations):
        if store.name == place:
            return max(store.charge_w_max, store.discharge_w_max)
    for charger in site.chargers:
        if charger.name == place:
            return charger.power_w_max
    raise ValueError(f"{place} has no converter")

