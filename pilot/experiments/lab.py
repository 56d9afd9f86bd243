"""Both sister chains with their API and a relayer in one process: where an experiment's transactions are real.

Owns: genesis documents, engines in a folder of their own, an account's client, waiting for what the relayer carries.
Refuses: shortcuts into a chain's state: what is read comes through the API, as members read it.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ledger import api, contracts
from ledger.app import App
from ledger.client import ChainClient
from ledger.engines.comet import CometEngine
from ledger.engines.comet_node import Node, Settings, lay_out
from ledger.engines.comet_rpc import Rpc
from ledger.engines.local import LocalEngine, Rules
from ledger.engines.testnet import free_ports
from ledger.genesis import Genesis
from ledger.relayer import Relayer
from ledger.service import member_key
from ledger.signatures import SignatureChecker
from ledger.store import Store
from pilot.runtimes import need
from wire.chain.header import Validator
from wire.chain.keys import PrivateKey
from wire.chain.kinds import SCHEDULE, TRANSACTION
from wire.ids import id_text

NS = 1_000_000_000
QUICK = Rules(max_wait_s=0.02)
LabEngine = LocalEngine | CometEngine
COMET_BLOCK_S = 0.1  # the shortest that a node is asked for
UNIT = 1_000  # mT a token, Wh a unit


class Clock:
    """The site clock: runs with the wall clock, and jumps ahead where an experiment lets a minute pass."""

    def __init__(self) -> None:
        self._ahead_ns = 0
        self._jumped = asyncio.Event()

    def now_ns(self) -> int:
        return time.time_ns() + self._ahead_ns

    def now_s(self) -> int:
        return self.now_ns() // NS

    def jump(self, seconds: int) -> None:
        self._ahead_ns += seconds * NS
        self._jumped.set()

    async def sleep(self, seconds: float) -> None:
        end_ns = self.now_ns() + int(seconds * NS)
        while (left_ns := end_ns - self.now_ns()) > 0:
            self._jumped.clear()
            try:
                await asyncio.wait_for(self._jumped.wait(), left_ns / NS)
            except TimeoutError:
                return


@dataclass
class Setup:
    """Genesis of both chains: who is on which, with which role and how much; parameters of the schedule chain."""

    members: dict[str, tuple[str, str]]  # name: role, chains ("T", "S" or "TS")
    tokens: dict[str, int] = field(default_factory=dict)
    rights: dict[str, int] = field(default_factory=dict)
    confirmations: int = 1
    parameters: dict[str, int] = field(default_factory=dict)
    devices: list[list[Any]] = field(default_factory=list)
    lines: list[list[Any]] = field(default_factory=list)
    rules: Rules = QUICK


def key(name: str) -> PrivateKey:
    """Of an account or a device of an experiment: the same in each run, so that a run can be repeated."""
    return PrivateKey.derive("tallygrid experiments", name)


class Lab:
    def __init__(self, http: httpx.AsyncClient, clock: Clock, ids: dict[str, str], say: Callable[[str], None]) -> None:
        self.http = http
        self.clock = clock
        self.ids = ids
        self.say = say

    def member(self, name: str, chain: str) -> ChainClient:
        return ChainClient(self.http, self.ids[chain], key(name), key(name).kid)

    async def balance(self, reader: ChainClient, name: str) -> int:
        """In whole tokens or units, as the paper counts."""
        amount = await reader.query("balance", id_text(key(name).kid))
        assert amount % UNIT == 0
        return int(amount) // UNIT

    async def records(self, reader: ChainClient) -> list[str]:
        rows = await reader.query("record")
        return [f"{row['from']}→{row['to']} {row['amount'] // UNIT}" for row in rows]

    async def carried(self, source: ChainClient) -> None:
        """Until nothing is under way on that chain."""
        while (await source.query("lock"))["under_way"]:
            await asyncio.sleep(0.05)


@asynccontextmanager
async def open_lab(setup: Setup, engine: str, say: Callable[[str], None]) -> AsyncIterator[Lab]:
    """Two chains from their genesis on, a node that hosts them, and the relayer at work."""
    clock = Clock()
    make = _Maker(setup, clock.now_ns(), _comet() if engine == "cometbft" else None)
    checker = SignatureChecker()
    with tempfile.TemporaryDirectory(prefix="tallygrid-experiment-") as folder:
        engines = {sort: make.engine(sort, Path(folder), clock, checker) for sort in (TRANSACTION, SCHEDULE)}
        for one in engines.values():
            await one.start()
        node = api.Node({one.app.chain_id: _hosted(one) for one in engines.values()}, clock)
        transport = httpx.ASGITransport(api.create_app(node))
        async with httpx.AsyncClient(transport=transport, base_url="http://lab", timeout=None) as http:
            lab = Lab(http, clock, {sort: one.app.chain_id for sort, one in engines.items()}, say)
            ends = lab.member("relay", TRANSACTION), lab.member("relay", SCHEDULE)
            carrying = asyncio.create_task(Relayer(*ends, setup.confirmations, say).run())
            try:
                yield lab
            finally:
                carrying.cancel()
                await asyncio.gather(carrying, return_exceptions=True)
                for one in engines.values():
                    await one.stop()
                    one.store.close()
                checker.close()


def _comet() -> Path:
    return need("cometbft").path("cometbft")


def _hosted(engine: LabEngine) -> api.Hosted:
    return api.Hosted(engine, lambda account: member_key(engine.app, account))


@dataclass(frozen=True)
class _Maker:
    """Engines of one lab. `comet` is the program that orders its transactions, None for the local engine."""

    setup: Setup
    time_ns: int
    comet: Path | None

    def engine(self, sort: str, folder: Path, clock: Clock, checker: SignatureChecker) -> LabEngine:
        document = self._genesis(sort)
        app = App(document.chain_id, contracts.of(sort), contracts.AUTHORITY, checker)
        rules = self.setup.rules
        if self.comet is None:
            return LocalEngine(app, Store(folder / f"{sort}.db"), document, _validator_key(sort), clock, rules)
        rpc_port, p2p_port = free_ports(2)
        block_s = max(rules.max_wait_s, COMET_BLOCK_S)
        settings = Settings(rpc_port, p2p_port, block_s=block_s, propose_s=0.5, idle_s=block_s)
        home = folder / sort
        lay_out(self.comet, home, document, _validator_key(sort), Ed25519PrivateKey.generate(), settings)
        return CometEngine(app, Store(home / "chain.db"), document, Node(self.comet, home), Rpc(rpc_port))

    def _genesis(self, sort: str) -> Genesis:
        """Each chain's pool holds what circulates on the other; each follows the other from its genesis on."""
        setup = self.setup
        here, there = (TRANSACTION, SCHEDULE) if sort == TRANSACTION else (SCHEDULE, TRANSACTION)
        letter = "T" if sort == TRANSACTION else "S"
        own, others = (setup.tokens, setup.rights) if sort == TRANSACTION else (setup.rights, setup.tokens)
        money = [sum(others.values()) * UNIT, [[name, amount * UNIT] for name, amount in own.items()]]
        members = [(name, role) for name, (role, chains) in setup.members.items() if letter in chains]
        sections: dict[str, Any] = {
            "accounts": [[name, role, key(name).public_key] for name, role in members],
            "parameters": [["confirmations", setup.confirmations]],
            "tokens" if sort == TRANSACTION else "rights": money,
            "clients": [["experiment-" + there, self.time_ns, [list(_validator(there))]]],
            "lock": ["experiment-" + there, 1, 1],
        }
        if sort == SCHEDULE:
            sections["parameters"] += [[name, value] for name, value in setup.parameters.items()]
            sections["registry"] = [None, setup.devices]
            sections["dispatch"] = setup.lines
        return Genesis("experiment-" + here, self.time_ns, (_validator(here),), sections=sections)


def _validator_key(sort: str) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(key("validator " + sort).secret())


def _validator(sort: str) -> Validator:
    return Validator(_validator_key(sort).public_key().public_bytes_raw(), 1)
