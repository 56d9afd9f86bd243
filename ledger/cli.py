"""`tallygrid ledger …`: what a ledger operator types.

Owns: the sub-commands, one row each, and their arguments.
Refuses: doing the work; ledger/cli_*.py do, one file a group.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from ledger import cli_ask, cli_init, cli_node
from ledger.cli_common import guarded
from ledger.cli_init import SORTS


class Action(NamedTuple):
    work: Callable[[argparse.Namespace], int]
    help: str


ACTIONS = {
    "init": Action(cli_init.init, "make a node: keys, three chains from their genesis, configuration, systemd unit"),
    "run": Action(cli_node.run, "run the node until SIGTERM or Ctrl-C"),
    "status": Action(cli_node.status, "how far each chain is; from the disk where the node does not run"),
    "tx": Action(cli_ask.tx, "sign and send one transaction, and wait for its block"),
    "query": Action(cli_ask.query, "ask a contract"),
    "prove": Action(cli_ask.prove, "a value of a chain's state, its proof checked from the genesis on"),
    "export": Action(cli_node.export, "write chains as a bundle that `tallygrid verify` checks"),
    "snapshot": Action(cli_node.snapshot, "write a chain's state in chunks, for members that join late"),
    "backup": Action(cli_node.backup, "copy the stores, also while the node runs"),
    "restore": Action(cli_node.restore, "put a backup where a store is damaged or gone"),
    "testnet": Action(cli_init.run_testnet, "run a local consortium of CometBFT validators on loopback"),
    "install-engine": Action(cli_init.install_engine, "build CometBFT, where Go is installed"),
}
ASKING = ("tx", "query", "prove")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    for name, (_, text) in ACTIONS.items():
        action = actions.add_parser(name, help=text, description=text)
        action.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help=argparse.SUPPRESS)
        if name not in ("init", "testnet", "install-engine"):
            action.add_argument("-c", "--config", type=Path, help="default: ledger/ledger.toml in the data folder")
        if name in ASKING:
            action.add_argument("--key", type=Path, help="PEM of the account that asks; default: the operator's")
            action.add_argument("--password-file", type=Path, help="holds the key's password; else it is asked for")
            action.add_argument("chain", choices=SORTS)
        if name in _OWN:
            _OWN[name](action)


def _init(action: argparse.ArgumentParser) -> None:
    action.add_argument("name", help="of the site: the chains are NAME-main, NAME-transaction, NAME-schedule")
    action.add_argument("--engine", choices=("local", "cometbft"), default="local")
    action.add_argument("--host", default="127.0.0.1", help="address to listen on; beyond loopback with TLS only")
    action.add_argument("--port", type=int, default=8640)
    action.add_argument("--tls-cert", type=Path, help="PEM, with the chain up to its authority")
    action.add_argument("--tls-key", type=Path, help="PEM")
    action.add_argument("--tokens", type=int, default=1_000_000, help="that the company begins with")
    action.add_argument("--rights-kwh", type=int, default=0, help="that the company begins with")
    action.add_argument("--rate-wh", type=int, default=1_000, help="Wh that one token is worth")
    action.add_argument(
        "--parameter", action="append", default=[], metavar="NAME=NUMBER", help="docs/spec-ledger.md section 3"
    )


def _tx(action: argparse.ArgumentParser) -> None:
    action.add_argument("kind", help="Pay, Enrol, Bar … : docs/spec-ledger.md section 1")
    action.add_argument("field", nargs="*", metavar="NAME=VALUE", help="numbers, ids, hex, @FILE, null or text")
    action.add_argument("--account", help="id, where the key is not the account's first one")


def _query(action: argparse.ArgumentParser) -> None:
    action.add_argument("path", help="accounts, balance, lock, stations … : docs/spec-ledger.md section 7")
    action.add_argument("argument", nargs="?")


def _prove(action: argparse.ArgumentParser) -> None:
    action.add_argument("state", metavar="KEY", help="account/ID, lock/NUMBER, totals/, 0x… : docs/spec-ledger.md 4")


def _export(action: argparse.ArgumentParser) -> None:
    action.add_argument("bundle", type=Path)
    action.add_argument("--chain", action="append", choices=SORTS, help="only this one (may be given again)")


def _snapshot(action: argparse.ArgumentParser) -> None:
    action.add_argument("chain", choices=SORTS)


def _backup(action: argparse.ArgumentParser) -> None:
    action.add_argument("target", type=Path, help="a new folder")


def _restore(action: argparse.ArgumentParser) -> None:
    action.add_argument("source", type=Path, help="the folder that `backup` wrote")
    action.add_argument("--go-back", action="store_true", help="also where blocks after the backup are lost by it")


def _testnet(action: argparse.ArgumentParser) -> None:
    action.add_argument("--validators", type=int, default=4, choices=range(1, 8))
    action.add_argument("--minutes", type=float, help="end by itself after so long")
    action.set_defaults(tokens=1_000_000)


_OWN: dict[str, Callable[[argparse.ArgumentParser], None]] = {
    "init": _init,
    "tx": _tx,
    "query": _query,
    "prove": _prove,
    "export": _export,
    "snapshot": _snapshot,
    "backup": _backup,
    "restore": _restore,
    "testnet": _testnet,
}


def run(args: argparse.Namespace) -> int:
    return guarded(args, ACTIONS[args.action].work)
