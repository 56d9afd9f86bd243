"""`tallygrid pilot`: one command, and a whole microgrid runs on this machine.

Owns: the order in which the parts come up, the ports, the live summary, the end and the figures.
Refuses: a second pilot on the same folder; going on when a part cannot be kept alive.
Invariant: Ctrl-C at any moment stops every part and keeps the data; the next start goes on from it.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import fcntl
import getpass
import json
import shutil
import signal
import socket
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import httpx

from gateway.store_layout import LayoutError
from hardware import site as sites
from ledger.client import ChainClient
from ledger.evidence import genesis_hash, records
from ledger.store import Store
from pilot import runtimes
from pilot.boards import GRID_LOG, OFFSET
from pilot.errors import Unavailable
from pilot.founding import SORTS, Founded, found
from pilot.plan import Plan
from pilot.processes import site_clock
from pilot.registrar import Registrar
from pilot.story import Figures, Story, Wallet
from pilot.supervisor import Part, Supervisor, python
from pilot.tally import figures_of, summary_of
from wire.chain import bundle
from wire.chain.rest import NodeDown

READY_S = 90
SUMMARY_S = 10.0
PAGE_PORT = 8420


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--site", default="two-houses", help="two-houses (default), street, village, or a site file")
    parser.add_argument("--speed", type=float, default=1.0, help="how much faster than real time (default 1)")
    parser.add_argument(
        "--fresh", action="store_true", help="begin anew: drops what an earlier pilot of this site left"
    )
    parser.add_argument("--headless", action="store_true", help="no live summary, only figures at the end")
    parser.add_argument("--port", type=int, default=0, help=f"the page's port (default {PAGE_PORT}, if it is free)")
    parser.add_argument("--minutes", type=float, default=0, help="stop after so many minutes (default: run on)")


def run(args: argparse.Namespace) -> int:
    try:
        site = sites.load(args.site)
    except sites.SiteError as error:
        raise Unavailable(str(error)) from None
    if args.port and taken(args.port):
        raise Unavailable(f"port {args.port} is in use: give the page another --port, or none")
    folder = Path(args.data) / "pilot" / site.name
    needed = runtimes.need("micropython32", "micropython64", "mosquitto")
    needed.path("mosquitto"), needed.micropython()  # or a refusal that says what is missing
    try:
        folder.mkdir(parents=True, exist_ok=True)
        held = lock(folder)
        if args.fresh:
            clear(folder)
        founded = found(site, folder)
    except OSError as error:
        raise Unavailable(f"{folder} cannot be used ({error.strerror}): give another --data, or help there") from None
    with held:
        return asyncio.run(Pilot(founded, args, needed).run())


def lock(folder: Path) -> IO[str]:
    held = (folder / "lock").open("w")
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        held.close()
        raise Unavailable(f"a pilot is running in {folder} already: stop it, or give another --data") from None
    return held


def clear(folder: Path) -> None:
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name != "lock":
            path.unlink()


def taken(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Pilot:
    founded: Founded
    args: argparse.Namespace
    runtimes: runtimes.Runtimes
    began: float = field(default_factory=time.monotonic)
    ledger_up: bool = False
    first_block_s: float | None = None
    figures: Figures = field(default_factory=Figures)

    def say(self, words: str) -> None:
        print(f"{time.monotonic() - self.began:7.1f} s  {words}", file=sys.stderr, flush=True)

    async def run(self) -> int:
        self.supervisor = Supervisor(self.runtimes.environ(), self.say)
        stop = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        work = asyncio.create_task(self._work())
        waits: list[asyncio.Task[Any]] = [asyncio.create_task(event.wait()) for event in (stop, self.supervisor.failed)]
        if self.args.minutes:
            waits.append(asyncio.create_task(asyncio.sleep(self.args.minutes * 60)))
        try:
            await asyncio.wait({work, *waits}, return_when=asyncio.FIRST_COMPLETED)
            failure = work.exception() if work.done() else None
        finally:
            await _end([work, *waits])
            result = await self._result() if self.ledger_up else {}
            await self.supervisor.stop()
        try:
            self._write_evidence()
        except OSError as error:
            self.say(f"no evidence was written: {error.strerror}")
        return self._close(result, failure)

    def _write_evidence(self) -> None:
        """What `tallygrid verify` checks, and the genesis hashes that a reader is to trust."""
        stores = [(sort, Store(path)) for sort in SORTS if (path := self.founded.store(sort)).exists()]
        if not stores:
            return
        target = self.founded.folder / "evidence.bundle"
        with target.open("wb") as stream:
            bundle.write(stream, (one for sort, store in stores for one in records(store, sort)), "pilot")
        trust = [f"{genesis_hash(store.genesis).hex()}  {store.chain_id}" for _, store in stores]
        target.with_name("evidence.trust").write_text("\n".join(trust) + "\n")
        for _, store in stores:
            store.close()
        self.say(f"evidence: ./tallygrid verify {target} --trust {target.with_name('evidence.trust')}")

    def _close(self, result: dict[str, Any], failure: BaseException | None) -> int:
        why = self.supervisor.why
        for cause in getattr(failure, "exceptions", [failure] if failure else []):
            why = why or str(cause) or type(cause).__name__
        if self.args.json:
            print(json.dumps({**result, **({"error": why} if why else {})}))
        else:
            for name, value in result.items():
                self.say(f"{name}: {json.dumps(value) if isinstance(value, dict) else value}")
        self.say(f"stopped: {why}" if why else f"stopped; everything is kept in {self.founded.folder}")
        return 1 if why else 0

    # ------------------------------------------------------------ coming up

    async def _work(self) -> None:
        await self._start_parts()
        async with httpx.AsyncClient(base_url=self.plan.ledger_url, timeout=20) as http:
            self.http = http
            wallets = {name: self._wallet(name) for name in self.founded.keys}
            clock = site_clock(self.founded.folder, "pilot")
            self.clients = {sort: self._client("observer", sort) for sort in SORTS}
            registrar = Registrar(
                self.founded,
                self._client("registrar", "main"),
                self._client(self._company(), "schedule"),
                lambda: clock.now_ms() // 1_000,
                self.say,
            )
            async with asyncio.TaskGroup() as group:
                group.create_task(self._start_page())
                group.create_task(self._first_block())
                ids = await registrar.run()
                self.say("every board is entered, on the main chain and the schedule chain")
                story = Story(self.founded, wallets, ids, clock, self.say)
                self.figures = story.figures
                self.supervisor.parts["emulator"].on_line = story.saw
                group.create_task(story.run())
                group.create_task(self._summaries(ids))

    async def _first_block(self) -> None:
        """On the main chain: the first that this run made."""
        before: int | None = None
        while self.first_block_s is None:
            with contextlib.suppress(NodeDown):
                height, _ = await self.clients["main"].status()
                before = height if before is None else before
                if height > before or (height and not self.continues):
                    self.first_block_s = round(time.monotonic() - self.began, 1)
            await asyncio.sleep(0.05)

    def _company(self) -> str:
        assert self.founded.site.ledger is not None
        return next(one.name for one in self.founded.site.ledger.participants if one.role == "company")

    def _client(self, name: str, sort: str) -> ChainClient:
        key = self.founded.keys[name]
        return ChainClient(self.http, self.founded.chains[sort], key, key.kid)

    def _wallet(self, name: str) -> Wallet:
        return Wallet(name, self._client(name, "transaction"), self._client(name, "schedule"))

    async def _start_parts(self) -> None:
        folder = self.founded.folder
        self.continues = self.founded.store("main").exists()
        self.plan = Plan(
            site=self.args.site,
            speed=self.args.speed,
            broker_port=free_port(),
            ledger_port=free_port(),
            page_port=self.args.port or (free_port() if taken(PAGE_PORT) else PAGE_PORT),
            start_s=self._start_s(),
        )
        self.plan.write(folder)
        self._write_configs()
        broker = [str(self.runtimes.path("mosquitto")), "-c", str(folder / "broker" / "mosquitto.conf")]
        await self._start("broker", broker)
        await self._reached(self.plan.broker_port, "broker")
        for path in (folder / "boards" / "clock", folder / "run" / OFFSET, folder / "run" / GRID_LOG):
            path.unlink(missing_ok=True)
        await self._start("emulator")
        await self._until(lambda: (folder / "boards" / "clock").exists(), "emulator")
        self.say(f"emulator: {len(self.founded.site.boards)} boards of real MicroPython, {self.runtimes.micropython()}")
        await self._start("ledger")
        await self._reached(self.plan.ledger_port, "ledger")
        self.ledger_up = True
        self.say(f"ledger: chains {', '.join(self.founded.chains.values())} at {self.plan.ledger_url}")
        await self._start("gateway")
        await self._start("relayer")
        self.say("gateway and relayer are up")

    async def _start_page(self) -> None:
        await self._start("page")
        await self._reached(self.plan.page_port, "page")
        self.say(f"page: http://127.0.0.1:{self.plan.page_port}/")

    def _start_s(self) -> int:
        """The site clock's beginning: the site file's, or behind the last block of an earlier run."""
        latest_s = self.founded.site.start_s
        for sort in SORTS:
            if self.founded.store(sort).exists():
                store = Store(self.founded.store(sort))
                head = store.head()
                block = store.block(head.height) if head is not None else None
                latest_s = max(latest_s, block.time_ns // 1_000_000_000 + 1 if block is not None else 0)
                store.close()
        return latest_s

    def _write_configs(self) -> None:
        folder = self.founded.folder
        (folder / "broker" / "mosquitto.conf").write_text(
            f"listener {self.plan.broker_port} 127.0.0.1\nallow_anonymous true\nmax_queued_messages 0\n"
            f"max_inflight_messages 1000\npersistence true\npersistence_location {folder}/broker/\n"
            f"autosave_interval 5\nlog_type error\nlog_type warning\nuser {getpass.getuser()}\n"
        )
        (folder / "gateway" / "gateway.key").write_bytes(self.founded.key_file("gateway").read_bytes())
        gateway = self.founded.site.gateway
        assert gateway is not None
        chain = '{{ url = "{}", chain = "{}" }}'
        (folder / "gateway" / "gateway.toml").write_text(
            f'name = "{gateway.name}"\nalliance = "load"\nperiod_s = {gateway.beat_s}\nblock_age_ms = 250\n'
            f'registrars = ["{self.founded.keys["registrar"].public_key.hex()}"]\n'
            f'dispatchers = ["{self.founded.keys["dispatch"].public_key.hex()}"]\n'
            f"main = {chain.format(self.plan.ledger_url, self.founded.chains['main'])}\n"
            f"schedule = {chain.format(self.plan.ledger_url, self.founded.chains['schedule'])}\n"
            f"[broker]\nport = {self.plan.broker_port}\n"
        )

    async def _start(self, name: str, command: list[str] | None = None) -> None:
        folder = self.founded.folder
        command = command or python("pilot.processes", name, str(folder))
        await self.supervisor.start(Part(name, command, folder / "run" / f"{name}.log"))

    async def _until(self, condition: Any, name: str) -> None:
        for _ in range(READY_S * 20):
            if condition():
                return
            await asyncio.sleep(0.05)
        tail = list(self.supervisor.parts[name].tail)
        raise Unavailable(f"{name} did not come up in {READY_S} s; its last words: {' | '.join(tail[-3:])}")

    async def _reached(self, port: int, name: str) -> None:
        def listens() -> bool:
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", port)) == 0

        await self._until(listens, name)

    # ------------------------------------------------------------ while it runs

    async def _summaries(self, ids: dict[str, bytes]) -> None:
        while not self.args.headless:
            await asyncio.sleep(SUMMARY_S)
            try:
                for line in await summary_of(self.founded, self.clients, self.figures, ids):
                    self.say(line)
            except (NodeDown, LayoutError) as lack:
                self.say(f"no summary now: {lack}")

    async def _result(self) -> dict[str, Any]:
        """The figures; taken while every part still runs."""
        try:
            async with httpx.AsyncClient(base_url=self.plan.ledger_url, timeout=20) as http:
                self.http = http
                clients = {sort: self._client("observer", sort) for sort in SORTS}
                return await figures_of(
                    self.founded, clients, self.figures, self.supervisor, self.first_block_s, self.args.speed
                )
        except Exception as error:  # the figures are the last thing; what failed before them is more important
            return {"figures_error": f"{type(error).__name__}: {error}"}


async def _end(tasks: list[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
