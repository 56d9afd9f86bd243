"""A wallet that is open: its account on both chains, as the household's commands use it.

Owns: finding the key, asking for its password, clients for both chains, accounts by name.
Refuses: a key file that others can read; an empty password; a name that fits several accounts.
"""

from __future__ import annotations

import argparse
import getpass
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from ledger import wallet
from ledger.cli_common import Trouble, chains_of, http, member, password_of, read_key
from ledger.client import ChainClient
from ledger.wallet import CHAIN_OF
from ledger.wallet_keys import Place
from wire.chain.kinds import SISTERS
from wire.ids import id_bytes, id_text

DEFAULT_NODE = "http://127.0.0.1:8640"
LATER = 75  # exit code: sent, but not yet through


@dataclass
class Purse:
    """An open wallet: its account on both chains."""

    args: argparse.Namespace
    account: bytes
    on: dict[str, ChainClient]

    async def held(self, unit: str) -> wallet.Held:
        chain = self.on[CHAIN_OF[unit]]
        me = id_text(self.account)
        locks = (await chain.query("lock"))["under_way"]
        under_way = sum(lock["amount"] for lock in locks if lock["owner"] == me)
        return wallet.Held(int(await chain.query("balance", me)), under_way)

    async def account_called(self, unit: str, who: str, role: str = "") -> bytes:
        """By id or by name, of a role where that matters; without a name the only one of that role."""
        rows = await self.on[CHAIN_OF[unit]].query("accounts")
        found = [row for row in rows if role in ("", row["role"]) and (not who or who in (row["id"], row["name"]))]
        if len(found) == 1:
            return id_bytes(found[0]["id"])
        names = ", ".join(f"{row['name']} ({row['id']})" for row in found)
        raise Trouble(f"who is meant: {names}?" if found else f"no {role or 'account'} {who} on this chain".strip())


def place(args: argparse.Namespace) -> Place:
    return Place(args.data / "wallet", args.name)


def new_password(file: Path | None) -> bytes:
    password = password_of(file)
    if password is None:
        password = getpass.getpass("a password for the new key: ").encode()
        if password != getpass.getpass("the same again: ").encode():
            raise Trouble("these were two different ones")
    if not password:
        raise Trouble("an empty password protects nothing")
    return password


@asynccontextmanager
async def opened(args: argparse.Namespace) -> AsyncIterator[Purse]:
    at = place(args)
    if not at.key.exists():
        raise Trouble(f"there is no {at.key}: `tallygrid wallet new` makes one")
    if at.others_can_read():
        raise Trouble(f"{at.key} can be read by others: chmod 600 it, and think about who may have")
    words = at.read()
    key = read_key(at.key, password_of(args.password_file))
    async with http(args.node or words["node"], args.tls_ca) as web:
        account = id_bytes(words["account"])
        chains = await chains_of(web)
        yield Purse(
            args, account, {sort: member(web, chains[sort], key, account) for sort in SISTERS if sort in chains}
        )
