"""A ledger node as its operator runs it: `init`, then `run` as a process of its own, over real HTTP on loopback."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from ledger.client import ChainClient
from ledger.engines.testnet import free_ports
from ledger.relayer import Relayer
from wire.chain.keys import PrivateKey
from wire.ids import id_text

ROOT = Path(__file__).parents[2]
NAME = "oak"
START_S = 20


def tallygrid(data: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pilot.cli", words[0], "--data", str(data), *words[1:]]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)


def told(done: subprocess.CompletedProcess[str], status: int = 0):  # type: ignore[no-untyped-def]
    assert done.returncode == status, done.stderr + done.stdout
    return json.loads(done.stdout)


@dataclass
class LiveNode:
    data: Path
    port: int
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        command = [sys.executable, "-m", "pilot.cli", "ledger", "--data", str(self.data), "run"]
        with (self.data / "log").open("ab") as log:
            self.process = subprocess.Popen(command, cwd=ROOT, stderr=log, stdout=log)
        end_s = time.monotonic() + START_S
        while time.monotonic() < end_s:
            with contextlib.suppress(httpx.HTTPError):
                if httpx.get(f"{self.url}/v1").status_code == 200:
                    return
            assert self.process.poll() is None, (self.data / "log").read_text()
            time.sleep(0.05)
        raise AssertionError((self.data / "log").read_text())

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(20)

    def key(self, name: str) -> PrivateKey:
        return PrivateKey.from_pem((self.data / "ledger" / "keys" / f"{name}.pem").read_bytes())


def made(data: Path, *more: str) -> LiveNode:
    port = free_ports(1)[0]
    told(tallygrid(data, "ledger", "init", NAME, "--port", str(port), "--tokens", "1000", "--json", *more))
    return LiveNode(data, port)


@contextlib.contextmanager
def running(data: Path) -> Iterator[LiveNode]:
    node = made(data)
    node.start()
    try:
        yield node
    finally:
        if node.process is not None and node.process.poll() is None:
            node.kill()


class Members:
    """Clients of one node, by account and sort of chain."""

    def __init__(self, node: LiveNode, http: httpx.AsyncClient) -> None:
        self.node = node
        self.http = http

    def on(self, sort: str, who: str) -> ChainClient:
        key = self.node.key(who)
        return ChainClient(self.http, f"{NAME}-{sort}", key, key.kid)

    def relayer(self, who: str = "relay", said: list[str] | None = None) -> Relayer:
        said = [] if said is None else said
        return Relayer(self.on("transaction", who), self.on("schedule", who), 1, said.append)

    async def balance(self, sort: str, who: str) -> int:
        return int(await self.on(sort, "operator").query("balance", id_text(self.node.key(who).kid)))

    async def nothing_under_way(self, sort: str = "transaction") -> None:
        reader = self.on(sort, "operator")
        async with asyncio.timeout(20):
            while (await reader.query("lock"))["under_way"]:
                await asyncio.sleep(0.05)

    async def adds_up(self) -> None:
        """What the pools hold is what circulates on the other side (the rate here is one for one)."""
        totals = {sort: await self.on(sort, "operator").query("lock") for sort in ("transaction", "schedule")}
        for one, other in (("transaction", "schedule"), ("schedule", "transaction")):
            assert totals[one]["pool"] == totals[other]["circulation"] + totals[other]["pending_amount"]


@asynccontextmanager
async def members(node: LiveNode) -> AsyncIterator[Members]:
    async with httpx.AsyncClient(base_url=node.url, timeout=30) as http:
        yield Members(node, http)


@asynccontextmanager
async def at_work(*relayers: Relayer) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(one.run()) for one in relayers]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(one, asyncio.CancelledError) for one in ended), ended
