"""`tallygrid wallet …`: what a household types.

Owns: the sub-commands: new, balance, pay, buy-rights, convert, history, recover.
Refuses: a key that is not encrypted; guessing a unit.
Exit codes: 0 done; 1 refused; 69 the node cannot be reached; 75 sent, but not yet through: ask again later.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from ledger import cli_recover, wallet
from ledger.cli_common import FAILED, Trouble, chains_of, guarded, http, progress, show, write_secret
from ledger.cli_purse import DEFAULT_NODE, LATER, Purse, new_password, opened, place
from ledger.client import ChainClient
from ledger.wallet import CHAIN_OF, KWH, TOKENS, UNIT_OF
from ledger.wallet_keys import word
from wire.chain import kinds
from wire.chain.keys import PrivateKey
from wire.chain.kinds import SISTERS, TRANSACTION
from wire.chain.rest import Outcome
from wire.ids import id_text

DEADLINE_S = 3_600
HISTORY = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    for name, (_, text, own) in ACTIONS.items():
        action = actions.add_parser(name, help=text, description=text)
        action.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help=argparse.SUPPRESS)
        action.add_argument("--name", default="wallet", help="of the wallet, where you have several")
        action.add_argument("--password-file", type=Path, help="holds the key's password; else it is asked for")
        action.add_argument("--node", help=f"URL of a ledger node; kept with a new wallet ({DEFAULT_NODE})")
        action.add_argument("--tls-ca", type=Path, help="PEM of the authority that signed the node's certificate")
        own(action)


def run(args: argparse.Namespace) -> int:
    return guarded(args, ACTIONS[args.action][0])


def _with_purse(work: Callable[[Purse], Coroutine[Any, Any, int]]) -> Callable[[argparse.Namespace], int]:
    async def all_of_it(args: argparse.Namespace) -> int:
        async with opened(args) as purse:
            missing = [sort for sort in SISTERS if sort not in purse.on]
            if missing:
                raise Trouble(f"this node has no {' and no '.join(missing)} chain")
            with progress("asking the node"):
                return await work(purse)

    return lambda args: asyncio.run(all_of_it(args))


# ---------------------------------------------------------------- new


def new(args: argparse.Namespace) -> int:
    at = place(args)
    if at.key.exists():
        raise Trouble(f"{at.key} is there already; --name makes another wallet")
    node = args.node or DEFAULT_NODE
    label = args.label or at.name
    chains = asyncio.run(_chains(node, args.tls_ca))
    password = new_password(args.password_file)
    key = PrivateKey.generate()
    write_secret(at.key, key.to_pem(password))
    at.settings.write_text(json.dumps({"node": node, "account": id_text(key.kid), "name": label}))
    files = {sort: at.enrolment(sort) for sort in SISTERS if sort in chains}
    for sort, path in files.items():
        path.write_bytes(word(key, chains[sort], label))
    told = {"account": id_text(key.kid), "key": str(at.key), "enrolments": {s: str(p) for s, p in files.items()}}
    lines = [f"your account is {id_text(key.kid)}; its key lies encrypted in {at.key}: keep a copy elsewhere"]
    lines += ["give these files to your company; they hold no secret, and it approves them with:"]
    lines += [f"  tallygrid ledger tx {sort} Enrol enrolment=@{path} --key COMPANY.pem" for sort, path in files.items()]
    show(args, told, lines)
    return 0


async def _chains(node: str, ca: Path | None) -> dict[str, str]:
    async with http(node, ca) as web:
        return await chains_of(web)


# ---------------------------------------------------------------- looking


async def _balance(purse: Purse) -> int:
    told, lines = {}, []
    for unit, words in ((TOKENS, ""), (KWH, " of rights")):
        held = await purse.held(unit)
        told[CHAIN_OF[unit]] = {
            "amount": held.free,
            "under_way": held.under_way,
            "in": "mT" if unit == TOKENS else "Wh",
        }
        way = f" (and {wallet.amount_text(held.under_way, unit)} on the way)" if held.under_way else ""
        lines.append(wallet.amount_text(held.free, unit) + words + way)
    show(purse.args, {"account": id_text(purse.account), **told}, lines)
    return 0


async def _history(purse: Purse) -> int:
    rows, me = [], id_text(purse.account)
    for sort, chain in purse.on.items():
        for row in wallet.movements(await chain.query("record"), me, UNIT_OF[sort])[-purse.args.last :]:
            rows.append({**row, "time_s": (await chain.block(row["height"])).time_s})
    rows = sorted(rows, key=lambda row: row["time_s"])[-purse.args.last :]
    lines = [time.strftime("%Y-%m-%d %H:%M  ", time.localtime(r["time_s"])) + wallet.movement_line(r) for r in rows]
    show(purse.args, {"account": me, "movements": rows}, lines or ["nothing yet"])
    return 0


# ---------------------------------------------------------------- paying


async def _pay(purse: Purse) -> int:
    args = purse.args
    unit, amount = wallet.unit_of(args.unit), wallet.amount_of(args.amount)
    to = await purse.account_called(unit, args.to)
    done = (await purse.on[CHAIN_OF[unit]].send(kinds.Pay(to=to, amount=amount, message=args.message)))[0]
    return _told(purse, done, f"{wallet.amount_text(amount, unit)} paid to {args.to}")


def _told(purse: Purse, done: Outcome, words: str, **more: Any) -> int:
    if done.reason:
        text = wallet.why(done.reason, done.detail)
        show(purse.args, {"done": False, "reason": done.reason, "words": text}, [text])
        return FAILED
    if not done.height:
        show(purse.args, {"done": None, "words": done.detail}, ["sent, but in no block yet: look at `wallet history`"])
        return LATER
    show(purse.args, {"done": True, "height": done.height, **more}, [f"{words}, in block {done.height}"])
    return 0


async def _buy_rights(purse: Purse) -> int:
    args = purse.args
    energy_wh = wallet.amount_of(args.kwh)
    rate = await purse.on[TRANSACTION].query("lock")
    amount_mt = wallet.across(energy_wh, KWH, rate["rate_mt"], rate["rate_wh"])
    company = await purse.account_called(TOKENS, args.company, "company")
    body = kinds.Purchase(
        company=company, to=purse.account, amount=amount_mt, deadline_s=await _deadline(purse, TOKENS)
    )
    words = f"{wallet.amount_text(energy_wh, KWH)} of rights for {wallet.amount_text(amount_mt, TOKENS)}"
    return await _cross(purse, TOKENS, body, words)


async def _convert(purse: Purse) -> int:
    args = purse.args
    unit, amount = wallet.unit_of(args.unit), wallet.amount_of(args.amount)
    rate = await purse.on[CHAIN_OF[unit]].query("lock")
    other = KWH if unit == TOKENS else TOKENS
    credit = wallet.across(amount, unit, rate["rate_mt"], rate["rate_wh"])
    body = kinds.Lock(to=purse.account, amount=amount, deadline_s=await _deadline(purse, unit))
    words = f"{wallet.amount_text(amount, unit)} into {wallet.amount_text(credit, other)}"
    return await _cross(purse, unit, body, words)


async def _deadline(purse: Purse, unit: str) -> int:
    """By the other chain's time, which is what counts; a chain that has no block yet has none."""
    times = [(await chain.status())[1] for chain in purse.on.values()]
    return max(*times, 0 if any(times) else int(time.time())) + DEADLINE_S


async def _cross(purse: Purse, unit: str, body: kinds.Kind, words: str) -> int:
    """Sends what locks value, and waits until it is through or back."""
    chain = purse.on[CHAIN_OF[unit]]
    done = (await chain.send(body))[0]
    if done.reason or not done.height:
        return _told(purse, done, words)
    me = id_text(purse.account)
    mine = [fields["lock"] for kind, fields in await chain.events(done.height) if _is_mine(kind, fields, me)]
    with progress("locked; waiting for a relayer to carry it across"):
        end = await _end_of(chain, mine[-1], done.height, purse.args.wait)
    if not end:
        text = f"{words}: locked, not through yet; it comes back after {DEADLINE_S // 60} minutes if it cannot"
        show(purse.args, {"done": None, "lock": mine[-1], "height": done.height}, [text])
        return LATER
    if end == "lock/refunded":
        show(purse.args, {"done": False, "reason": "refunded"}, [f"{words}: could not be credited and came back"])
        return FAILED
    return _told(purse, done, words, lock=mine[-1])


def _is_mine(kind: str, fields: dict[str, Any], me: str) -> bool:
    owner = fields.get("owner")
    return kind == "lock/locked" and (id_text(owner) if isinstance(owner, bytes) else owner) == me


async def _end_of(chain: ChainClient, lock: int, height: int, wait_s: float) -> str:
    """`lock/done` or `lock/refunded`; nothing where neither came in time."""
    try:
        async with asyncio.timeout(wait_s):
            async for block in chain.blocks(height + 1):
                for kind, fields in block.events:
                    if kind in ("lock/done", "lock/refunded") and fields["lock"] == lock:
                        return kind
    except TimeoutError:
        pass
    return ""


# ---------------------------------------------------------------- arguments


def _none(action: argparse.ArgumentParser) -> None:
    del action


def _new_arguments(action: argparse.ArgumentParser) -> None:
    action.add_argument("--label", help="your name on the chains; default: the wallet's")


def _pay_arguments(action: argparse.ArgumentParser) -> None:
    action.add_argument("to", help="an account's id or name")
    _amount_arguments(action)
    action.add_argument("--message", help="at most 64 bytes; all members of the chain can read it")


def _amount_arguments(action: argparse.ArgumentParser) -> None:
    action.add_argument("amount", help="like 12 or 0.125")
    action.add_argument("unit", help="tokens or kWh")


def _crossing_arguments(action: argparse.ArgumentParser) -> None:
    action.add_argument("--wait", type=float, default=60.0, help="seconds to wait for it to be through")


def _buy_arguments(action: argparse.ArgumentParser) -> None:
    action.add_argument("kwh", help="like 12 or 0.125")
    action.add_argument("--company", default="", help="id or name, where there are several")
    _crossing_arguments(action)


def _convert_arguments(action: argparse.ArgumentParser) -> None:
    _amount_arguments(action)
    _crossing_arguments(action)


def _history_arguments(action: argparse.ArgumentParser) -> None:
    action.add_argument("--last", type=int, default=HISTORY, help=f"so many movements ({HISTORY})")


ACTIONS: dict[str, tuple[Callable[[argparse.Namespace], int], str, Callable[[argparse.ArgumentParser], None]]] = {
    "new": (new, "make an account's key, encrypted, and what the company needs to approve it", _new_arguments),
    "balance": (_with_purse(_balance), "what is in the wallet, in tokens and kWh", _none),
    "pay": (_with_purse(_pay), "pay tokens, or pass on rights, to another account", _pay_arguments),
    "buy-rights": (_with_purse(_buy_rights), "buy rights to energy from the company with tokens", _buy_arguments),
    "convert": (_with_purse(_convert), "your own tokens into rights, or rights into tokens", _convert_arguments),
    "history": (_with_purse(_history), "what came in and went out", _history_arguments),
    "recover": (cli_recover.run, "get the account back after its key was lost", cli_recover.add_arguments),
}
