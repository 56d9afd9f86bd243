"""What the ledger's commands share: the node's configuration file, a member's view of its chains, one way to fail.

Owns: reading ledger.toml, clients and stores from it, progress on stderr, exit codes.
Refuses: a configuration with a word it does not know, in words that say which.
Invariant: with --json stdout holds one value; 69 means that something needed cannot be had now.
"""

from __future__ import annotations

import argparse
import getpass
import json
import os
import ssl
import sys
import threading
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from ledger import genesis
from ledger.access import Limits
from ledger.client import ChainClient
from ledger.engines.comet_node import NodeError, find_engine
from ledger.service import ChainConfig, Config, ConfigError
from ledger.store import StoreError
from wire.chain import rest
from wire.chain.keys import PrivateKey
from wire.chain.rest import NodeDown

FAILED, UNAVAILABLE = 1, 69
TIMEOUT_S = 30.0
SLOW_S = 2.0
CHAIN_WORDS = {"sort", "genesis", "key", "store", "home", "rpc_port"}
WORDS = {
    "host",
    "port",
    "url",
    "tls_ca",
    "operator",
    "dispatch_key",
    "tls_cert",
    "tls_key",
    "engine",
    "limits",
    "chain",
}


class Trouble(Exception):
    """What cannot be done, and what would help."""


@dataclass(frozen=True)
class Setting:
    """A node's configuration and how its operator reaches it."""

    folder: Path
    config: Config
    url: str
    operator: Path
    ca: Path | None

    def chain_id(self, sort: str) -> str:
        return genesis.decode(self.chain(sort).genesis.read_bytes()).chain_id

    def chain(self, sort: str) -> ChainConfig:
        for chain in self.config.chains:
            if chain.sort == sort:
                return chain
        raise Trouble(f"this node has no {sort} chain; it has: {', '.join(one.sort for one in self.config.chains)}")


def load(args: argparse.Namespace) -> Setting:
    path: Path = args.config or args.data / "ledger" / "ledger.toml"
    try:
        words = tomllib.loads(path.read_text())
    except FileNotFoundError:
        raise Trouble(
            f"{path} is not there: `tallygrid ledger init NAME` makes a node, --config names another"
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Trouble(f"{path}: {error}") from None
    try:
        return _setting(path.parent, words)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise Trouble(f"{path}: {type(error).__name__} {error}") from None


def _setting(folder: Path, words: dict[str, Any]) -> Setting:
    def file(name: str) -> Path | None:
        return folder / words[name] if name in words else None

    _known(words, WORDS)
    chains = []
    for row in words["chain"]:
        _known(row, CHAIN_WORDS)
        home = folder / row["home"] if "home" in row else None
        document, key, store = (folder / row[name] for name in ("genesis", "key", "store"))
        chains.append(ChainConfig(row["sort"], document, key, store, home, int(row.get("rpc_port", 0))))
    comet = find_engine(folder / "engine") if any(one.home for one in chains) else None
    config = Config(
        chains,
        str(words.get("host", "127.0.0.1")),
        int(words["port"]),
        file("dispatch_key"),
        file("tls_cert"),
        file("tls_key"),
        limits=Limits(**words["limits"]) if "limits" in words else None,
        comet=comet,
    )
    scheme = "https" if config.tls_cert else "http"
    url = str(words.get("url", f"{scheme}://{config.host}:{config.port}"))
    return Setting(folder, config, url, folder / words["operator"], file("tls_ca"))


def _known(words: dict[str, Any], names: set[str]) -> None:
    unknown = sorted(set(words) - names)
    if unknown:
        raise ValueError(f"does not know {', '.join(unknown)}; it knows: {', '.join(sorted(names))}")


def http(url: str, ca: Path | None = None) -> httpx.AsyncClient:
    verify: ssl.SSLContext | bool = ssl.create_default_context(cafile=ca) if ca else True
    return httpx.AsyncClient(base_url=url, timeout=TIMEOUT_S, verify=verify)


def member(web: httpx.AsyncClient, chain: str, key: PrivateKey, account: bytes | None = None) -> ChainClient:
    return ChainClient(web, chain, key, account or key.kid)


def read_key(path: Path, password: bytes | None = None) -> PrivateKey:
    """Asks for the password where the file needs one and none was given."""
    raw = path.read_bytes()
    if b"ENCRYPTED" in raw and password is None:
        password = getpass.getpass(f"password of {path.name}: ").encode()
    try:
        return PrivateKey.from_pem(raw, password)
    except (ValueError, TypeError):
        raise Trouble(f"{path}: wrong password, or no P-256 key in PEM") from None


def password_of(file: Path | None) -> bytes | None:
    return file.read_bytes().rstrip(b"\r\n") if file is not None else None


def write_secret(path: Path, content: bytes) -> None:
    """A new file, whole or not at all, for its owner's eyes only. Never over one that is there."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    with open(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    try:
        os.link(beside, path)
    except FileExistsError:
        raise Trouble(f"{path} is there already, and a key that is written over is lost") from None
    finally:
        beside.unlink()


def show(args: argparse.Namespace, value: object, lines: list[str]) -> None:
    print(json.dumps(value) if args.json else "\n".join(lines))


@contextmanager
def progress(words: str) -> Iterator[None]:
    """Says what is going on once it takes over two seconds."""
    timer = threading.Timer(SLOW_S, lambda: print(f"{words} …", file=sys.stderr, flush=True))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def guarded(args: argparse.Namespace, work: Callable[[argparse.Namespace], int]) -> int:
    try:
        return work(args)
    except (NodeDown, NodeError) as error:
        return _fail(args, str(error), UNAVAILABLE)
    except (Trouble, ConfigError, StoreError) as error:
        return _fail(args, str(error), FAILED)
    except ExceptionGroup as several:  # what a node's parts failed of; their faults are not ours to hide
        known, rest = several.split((NodeDown, NodeError, ConfigError, StoreError, OSError))
        if rest is not None or known is None:
            raise
        return _fail(args, "; ".join(str(one) for one in known.exceptions), FAILED)


def _fail(args: argparse.Namespace, words: str, status: int) -> int:
    print(f"tallygrid: {words}", file=sys.stderr)
    if args.json:
        print(json.dumps({"error": words}))
    return status


async def chains_of(web: httpx.AsyncClient) -> dict[str, str]:
    """Which chains a node has: sort -> id."""
    try:
        reply = await web.get("/v1", headers={"accept": "application/json"})
        rows = rest.read_reply(reply.status_code, reply.headers.get("content-type", ""), reply.content)
        return {str(sort): str(chain) for chain, sort in rows}
    except httpx.HTTPError as error:
        raise NodeDown(f"{web.base_url}: {error or type(error).__name__}") from None
    except (TypeError, ValueError):
        raise Trouble(f"{web.base_url} is no ledger node") from None
