"""`tallygrid relayer`: carries proofs between the sister chains, and registry entries to the schedule chain.

Owns: its configuration (relayer.toml, or the arguments), one process for relayer and courier.
Refuses: nothing that counts: it is trusted with nothing, so anyone may run one with any member's key.
Invariant: it keeps nothing; killed and started again it goes on with what the chains say is under way.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
import time
import tomllib
from contextlib import suppress
from pathlib import Path
from typing import Any

from ledger.cli_common import Trouble, chains_of, guarded, http, member, password_of, read_key, show
from ledger.courier import Courier
from ledger.relayer import Relayer
from wire.chain.keys import PrivateKey
from wire.chain.kinds import MAIN, SCHEDULE, TRANSACTION
from wire.ids import id_bytes

WORDS = ("node", "sister_node", "key", "account", "password_file", "tls_ca")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = "Carries what is locked on either sister chain to the other, until SIGTERM or Ctrl-C."
    parser.add_argument("-c", "--config", type=Path, help=f"TOML with any of: {', '.join(WORDS)}")
    parser.add_argument("--node", help="URL of a node that has the transaction chain")
    parser.add_argument("--sister-node", help="URL of one that has the schedule chain; default: the same")
    parser.add_argument("--key", type=Path, help="PEM of a member of both chains; the relay account's, as a rule")
    parser.add_argument("--account", help="id, where the key is not the account's first one")
    parser.add_argument("--password-file", type=Path, help="holds the key's password; else it is asked for")
    parser.add_argument("--tls-ca", type=Path, help="PEM of the authority that signed the node's certificate")
    parser.add_argument("--check", action="store_true", help="try key and nodes, say what is under way, and end")


def run(args: argparse.Namespace) -> int:
    return guarded(args, _run)


def _run(args: argparse.Namespace) -> int:
    _fill(args)
    key = read_key(Path(args.key), password_of(Path(args.password_file) if args.password_file else None))

    async def until_told() -> int:
        task = asyncio.ensure_future(_carry(args, key))
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, task.cancel)
        with suppress(asyncio.CancelledError):
            await task
        return 0

    return asyncio.run(until_told())


def _fill(args: argparse.Namespace) -> None:
    """What the arguments leave open, from the file."""
    words: dict[str, Any] = {}
    if args.config is not None:
        try:
            words = tomllib.loads(args.config.read_text())
        except tomllib.TOMLDecodeError as error:
            raise Trouble(f"{args.config}: {error}") from None
        unknown = sorted(set(words) - set(WORDS))
        if unknown:
            raise Trouble(f"{args.config} does not know {', '.join(unknown)}; it knows: {', '.join(WORDS)}")
        for name in ("key", "password_file", "tls_ca"):
            if name in words:
                words[name] = args.config.parent / words[name]
    for name in WORDS:
        setattr(args, name, getattr(args, name) or words.get(name))
    for name in ("node", "key"):
        if not getattr(args, name):
            raise Trouble(f"which {name}? Give --{name}, or `{name}` in the file that --config names")


async def _carry(args: argparse.Namespace, key: PrivateKey) -> None:
    account = id_bytes(args.account) if args.account else key.kid
    async with http(args.node, args.tls_ca) as web, http(args.sister_node or args.node, args.tls_ca) as other:
        here, there = await chains_of(web), await chains_of(other)
        for sort, known, url in ((TRANSACTION, here, args.node), (SCHEDULE, there, args.sister_node or args.node)):
            if sort not in known:
                raise Trouble(f"{url} has no {sort} chain")
        transaction = member(web, here[TRANSACTION], key, account)
        schedule = member(other, there[SCHEDULE], key, account)
        totals = [await chain.query("lock") for chain in (transaction, schedule)]
        if args.check:
            told = {one["chain"]: {"under_way": len(one["under_way"]), "closed": bool(one["closed"])} for one in totals}
            show(args, told, [f"{name}: {row['under_way']} under way" for name, row in told.items()])
            return
        confirmations = max([(await one.query("parameters"))["confirmations"] for one in (transaction, schedule)])
        async with asyncio.TaskGroup() as group:
            group.create_task(Relayer(transaction, schedule, confirmations, _say).run())
            if MAIN in there:
                main = member(other, there[MAIN], key, account)
                group.create_task(Courier(main, schedule, lambda: int(time.time()), _say).run())
            _say(f"carries between {transaction.chain} and {schedule.chain}")


def _say(words: str) -> None:
    print(f"relayer: {words}", file=sys.stderr, flush=True)
