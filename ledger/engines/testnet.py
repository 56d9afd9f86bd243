"""A consortium on one machine: so many members, each with keys, a home and ports of its own, all on loopback.

Owns: making the members, and an engine for each.
Refuses: any address but 127.0.0.1.
Invariant: members share the genesis and nothing else.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ledger.app import App
from ledger.engines import comet_node
from ledger.engines.comet import CometEngine
from ledger.engines.comet_node import Node, Settings
from ledger.engines.comet_rpc import Rpc
from ledger.genesis import Genesis
from ledger.store import Store
from wire.chain.header import Validator, in_order


@dataclass(frozen=True)
class Member:
    """One organisation's node."""

    binary: Path
    home: Path
    settings: Settings
    genesis: Genesis

    def engine(self, app: App, snapshot_every: int = 1_000) -> CometEngine:
        store = Store(self.home / "chain.db")
        rpc = Rpc(self.settings.rpc_port)
        return CometEngine(app, store, self.genesis, Node(self.binary, self.home), rpc, snapshot_every)


def lay_out(
    binary: Path, root: Path, chain_id: str, time_ns: int, *, salt: bytes = b"", sections: dict[str, Any] | None = None,
    powers: tuple[int, ...] = (10, 10, 10, 10), watchers: int = 0, **changes: Any,
) -> list[Member]:  # fmt: skip
    """Makes the members' homes under `root`, a validator for each power. Watchers follow the chain and have no vote.
    `changes` are settings that differ from their defaults."""
    count = len(powers) + watchers
    keys = [Ed25519PrivateKey.generate() for _ in range(count)]
    node_keys = [Ed25519PrivateKey.generate() for _ in range(count)]
    ports = free_ports(2 * count)
    voters = in_order(Validator(k.public_key().public_bytes_raw(), p) for k, p in zip(keys, powers, strict=False))
    genesis = Genesis(chain_id, time_ns, voters, salt, sections or {})
    peers = comet_node.peers_of(
        [(comet_node.node_id(key), "127.0.0.1", port) for key, port in zip(node_keys, ports[count:], strict=True)]
    )
    members = []
    for i in range(count):
        settings = Settings(ports[i], ports[count + i], peers, **changes)
        members.append(Member(binary, root / f"node{i}", settings, genesis))
        comet_node.lay_out(binary, members[i].home, genesis, keys[i], node_keys[i], settings)
    return members


def syncing(member: Member, servers: list[Member], height: int, block_hash: bytes) -> Member:
    """The same member, set to begin with a snapshot that the others have instead of with block 1."""
    addresses = ",".join(f"127.0.0.1:{server.settings.rpc_port}" for server in servers)
    settings = replace(member.settings, state_sync=(addresses, height, block_hash.hex().upper()))
    comet_node.write_settings(member.home, settings)
    return replace(member, settings=settings)


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on now."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()
