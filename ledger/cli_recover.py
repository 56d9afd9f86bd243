"""`tallygrid wallet recover …`: an account's way back after its key was lost.

Owns: three steps: `ask` makes a new key and its word for the registrar; `object` stops a recovery with the old key;
`finish` puts the new key in its place once the chains have it.
Refuses: to give up the old key before the new one is in force.
Invariant: what the account has stays with its id; the company approves, the old key can object, time passes.
"""

from __future__ import annotations

import argparse
import asyncio
import json

from ledger import wallet
from ledger.cli_common import FAILED, Trouble, chains_of, http, member, password_of, read_key, show, write_secret
from ledger.cli_purse import DEFAULT_NODE, LATER, new_password, opened
from ledger.wallet_keys import Place, word
from wire.chain import kinds
from wire.chain.keys import PrivateKey
from wire.chain.kinds import SISTERS
from wire.chain.rest import NodeDown
from wire.ids import id_bytes, id_text


def add_arguments(action: argparse.ArgumentParser) -> None:
    action.add_argument("step", choices=("ask", "object", "finish"))
    action.add_argument("--account", help="id of the account, where the wallet's settings are lost too")
    action.add_argument("--label", help="its name on the chains, likewise")


def run(args: argparse.Namespace) -> int:
    steps = {"ask": _ask, "object": _object, "finish": _finish}
    return asyncio.run(steps[args.step](args, Place(args.data / "wallet", args.name)))


async def _ask(args: argparse.Namespace, at: Place) -> int:
    words = at.read() if at.settings.exists() else {}
    node, account = args.node or words.get("node", DEFAULT_NODE), args.account or words.get("account")
    label = args.label or words.get("name", at.name)
    if account is None:
        raise Trouble("which account? --account ID; your company knows it")
    if at.next_key.exists():
        raise Trouble(f"{at.next_key} waits already: `recover finish`, or delete it to begin anew")
    async with http(node, args.tls_ca) as web:
        chains = await chains_of(web)
    key = PrivateKey.generate()
    write_secret(at.next_key, key.to_pem(new_password(args.password_file)))
    at.settings.write_text(json.dumps({"node": node, "account": account, "name": label}))
    lines = ["a new key is made. Your company hears who you are, and then sends for each chain:"]
    for sort in (sort for sort in SISTERS if sort in chains):
        at.enrolment(sort).write_bytes(word(key, chains[sort], label, id_bytes(account)))
        lines.append(f"  tallygrid ledger tx {sort} Recover enrolment=@{at.enrolment(sort)} --key COMPANY.pem")
    lines.append("and after the waiting time, in which the old key can object:")
    lines += [f"  tallygrid ledger tx {sort} Complete account={account}" for sort in SISTERS if sort in chains]
    lines.append("then `tallygrid wallet recover finish` puts the new key in place")
    show(args, {"account": account, "key": str(at.next_key), "kid": id_text(key.kid)}, lines)
    return 0


async def _object(args: argparse.Namespace, at: Place) -> int:
    """With the key that was said to be lost."""
    stopped, lines = {}, []
    async with opened(args) as purse:
        for sort, chain in purse.on.items():
            done = (await chain.send(kinds.Object()))[0]
            stopped[sort] = not done.reason
            words = "the recovery is stopped" if not done.reason else wallet.why(done.reason, done.detail)
            lines.append(f"{sort} chain: {words}")
    show(args, {"stopped": stopped}, lines)
    return 0 if any(stopped.values()) else FAILED


async def _finish(args: argparse.Namespace, at: Place) -> int:
    if not at.next_key.exists():
        raise Trouble("no new key waits here: begin with `tallygrid wallet recover ask`")
    words = at.read()
    account = id_bytes(words["account"])
    key = read_key(at.next_key, password_of(args.password_file))
    waiting = []
    async with http(args.node or words["node"], args.tls_ca) as web:
        chains = await chains_of(web)
        for sort in (sort for sort in SISTERS if sort in chains):
            try:
                await member(web, chains[sort], key, account).status()
            except NodeDown:
                waiting.append(sort)
    if waiting:
        text = f"the new key is not in force yet on: {', '.join(waiting)}"
        show(args, {"done": False, "waiting": waiting}, [text])
        return LATER
    if at.key.exists():
        at.key.rename(at.key.with_name(f"{at.name}.{id_text(account)}.old.pem"))
    at.next_key.rename(at.key)
    show(args, {"done": True, "account": words["account"]}, [f"{words['account']} is yours again, with the new key"])
    return 0
