"""A CometBFT node on this machine: the binary, its home folder, its process.

Owns: finding and installing the engine, the files of a home (keys, genesis, settings), starting and ending the process.
Refuses: versions outside the line that was tested (below 0.38.21 for their security holes); every listener but loopback
unless an address is given.
Invariant: one home, one validator key; a home that exists is never given another key.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from tempfile import gettempdir
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ledger.engines import comet_json
from ledger.engines.sealer import MAX_BYTES, NO_GAS
from ledger.genesis import Genesis
from wire.chain import header as comet

MODULE = "github.com/cometbft/cometbft/cmd/cometbft"
VERSION = "v0.38.25"
OLDEST, NEWEST = (0, 38, 21), (0, 38, 999)


class NodeError(Exception):
    """The engine is missing, too old, or does not run. The text says what to do."""


# ---------------------------------------------------------------- the binary


def find_engine(*folders: Path) -> Path:
    """The `cometbft` in one of these folders or on PATH, its version checked."""
    path = os.pathsep.join([*map(str, folders), os.environ.get("PATH", "")])
    found = shutil.which("cometbft", path=path)
    if found is None:
        raise NodeError("no cometbft here: `tallygrid ledger install-engine` builds it where Go is installed")
    check_version(Path(found))
    return Path(found)


def check_version(binary: Path) -> None:
    done = subprocess.run([binary, "version"], capture_output=True, text=True, timeout=20, check=False)
    found = re.match(r"v?(\d+)\.(\d+)\.(\d+)", done.stdout.strip())
    version = tuple(map(int, found.groups())) if found else ()
    if not OLDEST <= version <= NEWEST:
        wanted = ".".join(map(str, OLDEST))
        raise NodeError(f"{binary}: version {done.stdout.strip() or 'unknown'}, wanted is 0.38 from {wanted} on")


def install_engine(folder: Path) -> Path:
    """Builds the pinned version into `folder`: two minutes, with Go 1.22 or later."""
    go = shutil.which("go")
    if go is None:
        raise NodeError(f"no Go here: install it, or put a cometbft {VERSION} on PATH")
    folder.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, "GOBIN": str(folder.resolve())}
    done = subprocess.run(
        [go, "install", f"{MODULE}@{VERSION}"], env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise NodeError(f"go install {MODULE}@{VERSION}: {done.stderr.strip()}")
    check_version(folder / "cometbft")
    return folder / "cometbft"


# ---------------------------------------------------------------- the home


@dataclass(frozen=True)
class Settings:
    """What a home is set to. Ports listen on `host`; `peers` are `id@host:port`."""

    rpc_port: int
    p2p_port: int
    peers: tuple[str, ...] = ()
    host: str = "127.0.0.1"
    block_s: float = 1.0  # CometBFT waits so long after a commit
    propose_s: float = 0.8  # and so long for a proposer that is silent
    idle_s: float = 30.0  # an empty block after so long
    index_txs: bool = False  # the node's own index of transactions; ours is in the store
    state_sync: tuple[str, int, str] | None = None  # RPC servers (two, with a comma), trusted height, its hash


def _seconds(seconds: float) -> str:
    return f'"{round(seconds * 1000)}ms"'


def _lines(home: Path, settings: Settings) -> dict[str, dict[str, str]]:
    """Section by section, what differs from the engine's own settings."""
    quoted = json.dumps
    lines = {
        "": {"proxy_app": quoted(f"unix://{socket_path(home)}"), "log_level": '"error"'},
        "rpc": {
            "laddr": quoted(f"tcp://{settings.host}:{settings.rpc_port}"),
            "pprof_laddr": '""',
            "max_request_batch_size": "1000",
            "max_body_bytes": "16000000",
        },
        "p2p": {
            "laddr": quoted(f"tcp://{settings.host}:{settings.p2p_port}"),
            "persistent_peers": quoted(",".join(settings.peers)),
            "pex": "false",
            "addr_book_strict": "false",
            "allow_duplicate_ip": "true",
            "flush_throttle_timeout": '"10ms"',
        },
        "mempool": {"size": "50000", "cache_size": "100000"},
        "consensus": {
            "timeout_commit": _seconds(settings.block_s),
            "timeout_propose": _seconds(settings.propose_s),
            "create_empty_blocks": "false",
            "create_empty_blocks_interval": _seconds(settings.idle_s),
            "peer_gossip_sleep_duration": '"10ms"',
        },
        "tx_index": {"indexer": '"kv"' if settings.index_txs else '"null"'},
    }
    if settings.state_sync is not None:
        servers, height, block_hash = settings.state_sync
        lines["statesync"] = {
            "enable": "true",
            "rpc_servers": quoted(servers),
            "trust_height": str(height),
            "trust_hash": quoted(block_hash),
            "discovery_time": '"5s"',
        }
    return lines


def socket_path(home: Path) -> Path:
    """Where app and node meet: in the home, or, as a socket's path has at most 107 bytes, in a folder of our own."""
    path = home.resolve() / "app.sock"
    if len(os.fsencode(path)) <= 100:
        return path
    name = sha256(os.fsencode(path)).hexdigest()[:24]
    return Path(gettempdir()) / f"tallygrid-{os.getuid()}" / f"{name}.sock"


def lay_out(
    binary: Path, home: Path, genesis: Genesis, key: Ed25519PrivateKey, node_key: Ed25519PrivateKey, settings: Settings
) -> None:
    """Makes a home, or sets an existing one anew. The engine's own `init` writes what we do not care about."""
    config = home / "config"
    key_file = config / "priv_validator_key.json"
    wanted = _key_document(key)
    if key_file.exists() and json.loads(key_file.read_text()) != wanted:
        raise NodeError(f"{key_file}: another validator's; one home has one key for ever")
    _run(binary, "init", "--home", str(home))
    _write_secret(key_file, wanted)
    _write_secret(config / "node_key.json", {"priv_key": _private(node_key)})
    (config / "genesis.json").write_text(json.dumps(genesis_document(genesis), indent=2))
    write_settings(home, settings)


def write_settings(home: Path, settings: Settings) -> None:
    toml = home / "config" / "config.toml"
    toml.write_text(set_values(toml.read_text(), _lines(home, settings)))


def set_values(text: str, sections: dict[str, dict[str, str]]) -> str:
    """Sets values in the engine's own file, each in its section; what is not there to be set is an error."""
    parts = re.split(r"(?m)^\[(\w+)\]$", text)
    bodies = dict(zip(["", *parts[1::2]], parts[::2], strict=True))
    for section, values in sections.items():
        for name, value in values.items():
            line = f"{name} = {value}"
            bodies[section], count = re.subn(rf"(?m)^{name} = .*$", lambda _, line=line: line, bodies.get(section, ""))
            if count != 1:
                raise NodeError(f"config.toml has no one place for {section}.{name}")
    return "".join(body if not section else f"[{section}]{body}" for section, body in bodies.items())


def genesis_document(genesis: Genesis) -> dict[str, Any]:
    """The engine's form of it. What the chains begin with is named by hash: each member's app has it."""
    return {
        "genesis_time": comet_json.time_text(genesis.time_ns),
        "chain_id": genesis.chain_id,
        "initial_height": "1",
        "consensus_params": {
            "block": {"max_bytes": str(MAX_BYTES), "max_gas": str(NO_GAS)},
            "evidence": {"max_age_num_blocks": "100000", "max_age_duration": "172800000000000", "max_bytes": "1048576"},
            "validator": {"pub_key_types": ["ed25519"]},
            "version": {"app": "0"},
            "abci": {"vote_extensions_enable_height": "0"},
        },
        "validators": [
            {
                "address": v.address.hex().upper(),
                "pub_key": comet_json.public_key(v.key),
                "power": str(v.power),
                "name": "",
            }
            for v in genesis.validators
        ],
        "app_hash": "",
        "app_state": {"genesis": genesis.hash().hex()},
    }


def node_id(node_key: Ed25519PrivateKey) -> str:
    return comet.address_of(node_key.public_key().public_bytes_raw()).hex()


def _private(key: Ed25519PrivateKey) -> dict[str, str]:
    both = key.private_bytes_raw() + key.public_key().public_bytes_raw()
    return {"type": "tendermint/PrivKeyEd25519", "value": comet_json.base64_text(both)}


def _key_document(key: Ed25519PrivateKey) -> dict[str, Any]:
    public = key.public_key().public_bytes_raw()
    return {
        "address": comet.address_of(public).hex().upper(),
        "pub_key": comet_json.public_key(public),
        "priv_key": _private(key),
    }


def _write_secret(path: Path, document: dict[str, Any]) -> None:
    path.touch(mode=0o600)
    path.chmod(0o600)
    path.write_text(json.dumps(document, indent=2))


def _run(binary: Path, *words: str) -> None:
    done = subprocess.run([binary, *words], capture_output=True, text=True, timeout=60, check=False)
    if done.returncode:
        raise NodeError(f"cometbft {' '.join(words)}: {done.stderr.strip() or done.stdout.strip()}")


# ---------------------------------------------------------------- the process


class Node:
    """`cometbft start` as a child. It ends by itself when its app goes away."""

    def __init__(self, binary: Path, home: Path) -> None:
        self.home = home
        self._binary = binary
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        log = open(self.home / "node.log", "ab")  # noqa: SIM115  the child's
        with log:
            self._process = subprocess.Popen(
                [self._binary, "start", "--home", str(self.home)], stdout=log, stderr=log, stdin=subprocess.DEVNULL
            )

    def exit_status(self) -> int | None:
        return None if self._process is None else self._process.poll()

    def last_words(self) -> str:
        lines = (self.home / "node.log").read_text(errors="replace").splitlines()
        return " | ".join(lines[-3:])

    def stop(self, patience_s: float = 10.0) -> None:
        process = self._process
        if process is None:
            return
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(patience_s)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def peers_of(nodes: Sequence[tuple[str, str, int]]) -> tuple[str, ...]:
    """`persistent_peers` from (node id, host, p2p port)."""
    return tuple(f"{node}@{host}:{port}" for node, host, port in nodes)
