"""A ledger node as one process: the chains it hosts, their engines, the dispatch desk, the HTTP server.

Owns: putting them together and taking them apart in order.
Refuses: a genesis of another chain than the store's; listening beyond loopback without TLS.
Invariant: a chain that fails stops the node: nothing answers for a chain that does not go on.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import uvicorn
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ledger import api, contracts, genesis
from ledger.access import Limits
from ledger.api import Hosted, create_app
from ledger.app import App
from ledger.contracts.accounts import ACCOUNTS
from ledger.contracts.devices import DEVICES
from ledger.contracts.grants import COMMANDS
from ledger.desk import Desk
from ledger.engines.comet import CometEngine
from ledger.engines.comet_node import Node
from ledger.engines.comet_rpc import Rpc
from ledger.engines.local import LocalEngine, Rules
from ledger.engines.port import Clock
from ledger.genesis import Genesis
from ledger.signatures import SignatureChecker
from ledger.store import Store
from wire.chain.keys import PrivateKey
from wire.chain.kinds import SCHEDULE

COMMAND_EVENT = "command"
AnyEngine = LocalEngine | CometEngine
CONNECTIONS_MAX = 1_000


@dataclass(frozen=True)
class ChainConfig:
    """`sort` is main, transaction or schedule; `key` the validator's Ed25519 key, 32 raw bytes; `home` the CometBFT
    node's folder, where that orders the chain's transactions (it has the key then)."""

    sort: str
    genesis: Path
    key: Path
    store: Path
    home: Path | None = None
    rpc_port: int = 0


@dataclass(frozen=True)
class Config:
    chains: list[ChainConfig]
    host: str = "127.0.0.1"
    port: int = 0
    dispatch_key: Path | None = None  # PEM; this node dispatches for its schedule chain
    tls_cert: Path | None = None
    tls_key: Path | None = None
    rules: Rules | None = None
    limits: Limits | None = None  # of each peer; without it the usual ones, on loopback none
    comet: Path | None = None  # the CometBFT program


class ConfigError(Exception):
    """What the node was told cannot be done, and what would help."""


class Service:
    def __init__(self, config: Config, clock: Clock, say: Callable[[str], None]) -> None:
        self.config = config
        self.clock = clock
        self.say = say
        self._checker = SignatureChecker()
        self.engines: dict[str, AnyEngine] = {}
        self.hosted: dict[str, Hosted] = {}
        self._desks: list[tuple[AnyEngine, Desk]] = []
        self._limits = config.limits if is_loopback(config.host) else config.limits or Limits()
        _require_tls(config)
        for chain in config.chains:
            self._add(chain)

    def _add(self, chain: ChainConfig) -> None:
        document = genesis.decode(chain.genesis.read_bytes())
        app = App(document.chain_id, contracts.of(chain.sort), contracts.AUTHORITY, self._checker)
        chain.store.parent.mkdir(parents=True, exist_ok=True)
        engine = self._engine(app, Store(chain.store), document, chain)
        desk = None
        if chain.sort == SCHEDULE and self.config.dispatch_key is not None:
            key = PrivateKey.from_pem(self.config.dispatch_key.read_bytes())
            desk = Desk(key, lambda station: station_key(app, station))
            self._desks.append((engine, desk))
        self.engines[document.chain_id] = engine
        self.hosted[document.chain_id] = Hosted(engine, lambda account: member_key(app, account), desk, chain.sort)

    def _engine(self, app: App, store: Store, document: Genesis, chain: ChainConfig) -> AnyEngine:
        if chain.home is not None:
            if self.config.comet is None:
                raise ConfigError(f"{document.chain_id} needs CometBFT: `tallygrid ledger install-engine`")
            return CometEngine(app, store, document, Node(self.config.comet, chain.home), Rpc(chain.rpc_port))
        key = Ed25519PrivateKey.from_private_bytes(chain.key.read_bytes())
        return LocalEngine(app, store, document, key, self.clock, self.config.rules)

    async def run(self) -> None:
        """Until it is cancelled or a chain fails."""
        started: list[AnyEngine] = []
        try:
            for name, engine in self.engines.items():
                await engine.start()
                started.append(engine)
                self.say(f"chain {name} stands at block {engine.height()}")
            async with asyncio.TaskGroup() as group:
                for engine in self.engines.values():
                    group.create_task(engine.join())
                for engine, desk in self._desks:
                    group.create_task(self._dispatch(engine, desk))
                group.create_task(self._serve())
        finally:
            for engine in started:
                await engine.stop()
            for engine in self.engines.values():
                engine.store.close()
            self._checker.close()

    async def _dispatch(self, engine: AnyEngine, desk: Desk) -> None:
        """Each station's command in force, then each one as it is made."""
        start = engine.height() + 1
        for station, row in COMMANDS.all(engine.app.state):
            desk.take({"station": station, **row._asdict()})
        async for block in engine.follow(start):
            for result in block.results:
                for event in result.events:
                    if event.kind == COMMAND_EVENT and not desk.take(event.fields):
                        self.say("a command for a station whose key is not known was not signed")

    async def _serve(self) -> None:
        config = self.config
        server = _Server(
            uvicorn.Config(
                create_app(api.Node(self.hosted, self.clock, self._limits)),
                host=config.host,
                port=config.port,
                log_level="warning",
                ssl_certfile=config.tls_cert,
                ssl_keyfile=config.tls_key,
                limit_concurrency=CONNECTIONS_MAX,
                server_header=False,
                timeout_graceful_shutdown=2,
                lifespan="off",
            )
        )
        await server.serve()


class _Server(uvicorn.Server):
    """Signals belong to the command, which cancels `run`."""

    def capture_signals(self) -> AbstractContextManager[None]:  # type: ignore[override]
        return nullcontext()


def is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _require_tls(config: Config) -> None:
    if not is_loopback(config.host) and (config.tls_cert is None or config.tls_key is None):
        raise ConfigError(f"{config.host} is not loopback: give tls_cert and tls_key, or listen on 127.0.0.1")
    for path in (config.tls_cert, config.tls_key):
        if path is not None and not path.is_file():
            raise ConfigError(f"{path} is not there: a PEM file is wanted")


def member_key(app: App, account: bytes) -> bytes | None:
    """The key that a member signs with; None for strangers and the barred."""
    row = ACCOUNTS.get(app.state, account)
    return None if row is None or row.barred else row.public_key


def station_key(app: App, station: bytes) -> bytes | None:
    row = DEVICES.get(app.state, station)
    return row.keys[-1] if row is not None and row.keys else None
