"""Making a ledger node: keys, genesis documents, configuration, a unit for systemd; and a consortium to try out.

Owns: the folder that `tallygrid ledger init` writes, and what stands in its genesis.
Refuses: a folder that holds a node already.
Invariant: keys are written once, for their owner's eyes; the pools of both chains hold what circulates on the other.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import sys
import time
from collections.abc import Iterable
from contextlib import AsyncExitStack
from math import gcd
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ledger import contracts
from ledger.app import App
from ledger.cli_common import Trouble, show, write_secret
from ledger.contracts.parameters import BY_NAME
from ledger.engines import comet_node, testnet
from ledger.genesis import Genesis
from ledger.signatures import SignatureChecker
from wire.chain.header import Validator
from wire.chain.keys import PrivateKey
from wire.chain.kinds import MAIN, SCHEDULE, TRANSACTION
from wire.ids import id_text

SORTS = (MAIN, TRANSACTION, SCHEDULE)
ROLES = {
    "company": "company",
    "registrar": "registrar",
    "relay": "relay",
    "operator": "auditor",
    "dispatch": "dispatch",
}
ON = {MAIN: ("registrar", "relay", "operator"), TRANSACTION: ("company", "relay", "operator"), SCHEDULE: tuple(ROLES)}
MT_PER_TOKEN = 1_000
UNIT = """[Unit]
Description=tallygrid ledger node {name}
After=network-online.target
Wants=network-online.target

[Service]
ExecStart={program} ledger run --config {config}
User={user}
Restart=on-failure
RestartSec=2
TimeoutStopSec=30
NoNewPrivileges=yes
PrivateTmp=yes
ProtectSystem=strict
ReadWritePaths={folder}

[Install]
WantedBy=multi-user.target
"""


def init(args: argparse.Namespace) -> int:
    folder: Path = args.data / "ledger"
    if (folder / "ledger.toml").exists():
        raise Trouble(f"{folder} holds a node already")
    binary = comet_node.find_engine(folder / "engine") if args.engine == "cometbft" else None
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    keys = {name: PrivateKey.generate() for name in ROLES}
    validators = {sort: Ed25519PrivateKey.generate() for sort in SORTS}
    documents = genesis_of(args, {name: key.public_key for name, key in keys.items()}, validators)
    for name, key in keys.items():
        write_secret(folder / "keys" / f"{name}.pem", key.to_pem())
    ports = testnet.free_ports(2 * len(SORTS)) if binary else []
    lines = [f"host = {_quoted(args.host)}", f"port = {args.port}", 'operator = "keys/operator.pem"']
    lines += ['dispatch_key = "keys/dispatch.pem"']
    if bool(args.tls_cert) != bool(args.tls_key):
        raise Trouble("TLS needs both: --tls-cert and --tls-key")
    if args.tls_cert:
        lines += [f"{name} = {_quoted(getattr(args, name).absolute())}" for name in ("tls_cert", "tls_key")]
    for number, sort in enumerate(SORTS):
        write_secret(folder / f"{sort}.genesis", documents[sort].encode())
        write_secret(folder / f"{sort}.validator", validators[sort].private_bytes_raw())
        lines += ["", "[[chain]]", f'sort = "{sort}"', f'genesis = "{sort}.genesis"', f'key = "{sort}.validator"']
        lines += [f'store = "{sort}.db"']
        if binary is not None:
            settings = comet_node.Settings(rpc_port=ports[2 * number], p2p_port=ports[2 * number + 1])
            home = folder / f"{sort}.cometbft"
            comet_node.lay_out(binary, home, documents[sort], validators[sort], Ed25519PrivateKey.generate(), settings)
            lines += [f'home = "{home.name}"', f"rpc_port = {settings.rpc_port}"]
    write_secret(folder / "tallygrid-ledger.service", _unit(args.name, folder).encode())
    write_secret(folder / "ledger.toml", ("\n".join(lines) + "\n").encode())  # last: what is whole has it
    told = {
        "folder": str(folder),
        "chains": {sort: {"id": one.chain_id, "genesis": one.hash().hex()} for sort, one in documents.items()},
        "accounts": {name: id_text(key.kid) for name, key in keys.items()},
    }
    words = [f"node {args.name} in {folder}"]
    words += [f"{sort:12} {one.chain_id}  genesis {one.hash().hex()}" for sort, one in documents.items()]
    words += [f"{name:12} {id_text(key.kid)}" for name, key in keys.items()]
    words += [f"its keys lie in {folder / 'keys'}, open to who can read that folder; `tallygrid ledger run` starts it"]
    show(args, told, words)
    return 0


def genesis_of(
    args: argparse.Namespace, keys: dict[str, bytes], validators: dict[str, Ed25519PrivateKey]
) -> dict[str, Genesis]:
    time_ns = time.time_ns()
    ids = {sort: f"{args.name}-{sort}" for sort in SORTS}
    voters = {sort: (Validator(key.public_key().public_bytes_raw(), 1),) for sort, key in validators.items()}
    clients = {sort: [ids[sort], time_ns, [list(one) for one in voters[sort]]] for sort in SORTS}
    common = gcd(MT_PER_TOKEN, args.rate_wh)
    rate_mt, rate_wh = MT_PER_TOKEN // common, args.rate_wh // common
    rights_wh = args.rights_kwh * 1_000
    if rights_wh * rate_mt % rate_wh:
        raise Trouble(f"{args.rights_kwh} kWh are no whole thousandths of a token at this rate")
    accounts = {sort: [[name, ROLES[name], keys[name]] for name in ON[sort]] for sort in SORTS}
    tokens_mt = args.tokens * MT_PER_TOKEN
    sections: dict[str, dict[str, Any]] = {
        MAIN: {},
        TRANSACTION: {
            "tokens": [rights_wh * rate_mt // rate_wh, [["company", tokens_mt]]],
            "clients": [clients[SCHEDULE]],
            "lock": [ids[SCHEDULE], rate_mt, rate_wh],
        },
        SCHEDULE: {
            "rights": [tokens_mt * rate_wh // rate_mt, [["company", rights_wh]]],
            "clients": [clients[TRANSACTION], clients[MAIN]],
            "lock": [ids[TRANSACTION], rate_mt, rate_wh],
            "registry": [ids[MAIN], []],
        },
    }
    given = [_parameter(text) for text in args.parameter]
    unknown = [name for name, _ in given if name not in BY_NAME]
    if unknown:
        raise Trouble(f"no parameter is called {', '.join(unknown)}; docs/spec-ledger.md section 3 lists them")
    for sort in SORTS:
        sections[sort]["accounts"] = accounts[sort]
        sections[sort]["parameters"] = [list(pair) for pair in given if sort in BY_NAME[pair[0]].chains]
    made = {sort: Genesis(ids[sort], time_ns, voters[sort], os.urandom(32), sections[sort]) for sort in SORTS}
    _try(made)
    return made


def _try(documents: dict[str, Genesis]) -> None:
    """A genesis that its chain would refuse is better refused here."""
    checker = SignatureChecker(1)
    try:
        for sort, one in documents.items():
            App(one.chain_id, contracts.of(sort), contracts.AUTHORITY, checker).genesis(
                one.salt, one.sections, one.time_ns
            )
    finally:
        checker.close()


def _parameter(text: str) -> tuple[str, int]:
    name, _, value = text.partition("=")
    if not value.isdecimal():
        raise Trouble(f"a parameter is NAME=NUMBER, not {text!r}")
    return name, int(value)


def _quoted(text: object) -> str:
    return '"' + str(text).replace("\\", "\\\\").replace('"', '\\"') + '"'


def _unit(name: str, folder: Path) -> str:
    checkout = Path(__file__).resolve().parent.parent / "tallygrid"
    program = checkout if checkout.is_file() else Path(shutil.which("tallygrid") or sys.argv[0]).resolve()
    return UNIT.format(
        name=name, program=program, config=folder.resolve() / "ledger.toml", user="tallygrid", folder=folder.resolve()
    )


def install_engine(args: argparse.Namespace) -> int:
    print("building CometBFT with Go; about two minutes …", file=sys.stderr, flush=True)
    path = comet_node.install_engine(args.data / "ledger" / "engine")
    show(args, {"engine": str(path)}, [f"{path} is ready"])
    return 0


def run_testnet(args: argparse.Namespace) -> int:
    """Until Ctrl-C: so many validators of one transaction chain, all on loopback."""
    folder: Path = args.data / "ledger" / "testnet"
    if folder.exists():
        raise Trouble(f"{folder} is there already: move it away, or delete it")
    binary = comet_node.find_engine(args.data / "ledger" / "engine")
    keys = {name: PrivateKey.generate() for name in ROLES}
    for name, key in keys.items():
        write_secret(folder / "keys" / f"{name}.pem", key.to_pem())
    args.name, args.rate_wh, args.rights_kwh, args.parameter = "testnet", 1_000, 0, []
    document = genesis_of(
        args, {name: key.public_key for name, key in keys.items()}, {s: Ed25519PrivateKey.generate() for s in SORTS}
    )[TRANSACTION]
    members = testnet.lay_out(
        binary, folder, document.chain_id, document.time_ns, salt=document.salt, sections=document.sections,
        powers=(10,) * args.validators,
    )  # fmt: skip
    asyncio.run(_run_members(members, args.minutes))
    return 0


async def _run_members(members: Iterable[testnet.Member], minutes: float | None) -> None:
    checker = SignatureChecker()
    async with AsyncExitStack() as stack:
        stack.callback(checker.close)
        engines = []
        for member in members:
            app = App(member.genesis.chain_id, contracts.of(TRANSACTION), contracts.AUTHORITY, checker)
            engine = member.engine(app)
            stack.callback(engine.store.close)
            engines.append(engine)
        for engine in engines:
            stack.push_async_callback(engine.stop)
        await asyncio.gather(*(engine.start() for engine in engines))
        print(f"{len(engines)} validators of {engines[0].app.chain_id}; Ctrl-C ends them", file=sys.stderr, flush=True)
        joined = asyncio.gather(*(engine.join() for engine in engines))
        joined.add_done_callback(lambda done: done.cancelled() or done.exception())
        await asyncio.wait([joined], timeout=minutes * 60 if minutes is not None else None)
        heights = sorted(engine.height() for engine in engines)
        print(f"they stand at block {heights[0]} to {heights[-1]}", file=sys.stderr, flush=True)
        if joined.done():
            joined.result()
        joined.cancel()
