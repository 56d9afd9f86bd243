"""Asking a node and telling it something: tx, query, prove.

Owns: a transaction's fields from words, a proof checked from the genesis on before it is shown.
Refuses: a kind or a field that there is not, with those that there are.
Invariant: what `prove` prints was verified here, by the light client, against the genesis document on this disk.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from pathlib import Path
from typing import Any

from ledger import genesis, light
from ledger.cli_common import Setting, Trouble, http, load, member, password_of, progress, read_key, show
from ledger.client import ChainClient
from ledger.light import LightBlock, Params
from wire.chain import kinds, proof
from wire.errors import WireError
from wire.fields import Bytes
from wire.ids import id_bytes, id_text

NS = 1_000_000_000


def tx(args: argparse.Namespace) -> int:
    setting = load(args)
    body = body_of(args.kind, args.field)
    sort = setting.chain(args.chain).sort
    if sort not in body.CHAINS:
        raise Trouble(f"{args.kind} belongs on {', '.join(body.CHAINS)}")
    key = read_key(args.key or setting.operator, password_of(args.password_file))
    account = id_bytes(args.account) if args.account else key.kid

    async def send() -> Any:
        async with http(setting.url, setting.ca) as web:
            return (await ChainClient(web, setting.chain_id(sort), key, account).send(body))[0]

    with progress("waiting for the block"):
        done = asyncio.run(send())
    told = done._asdict()
    words = f"refused: {done.reason} {done.detail}" if done.reason else f"in block {done.height}, place {done.place}"
    show(args, told, [words if done.height or done.reason else done.detail])
    return 1 if done.reason or not done.height else 0


def body_of(name: str, fields: list[str]) -> kinds.Kind:
    """`to=abc… amount=5` as that kind's body: numbers, ids, hex, @FILE for a file's bytes, null, or plain text."""
    known = {kind.__name__: kind for kind in kinds.KINDS}
    if name not in known:
        raise Trouble(f"no transaction is called {name}; there are: {', '.join(known)}")
    kind = known[name]
    types = {field: rule for _, field, rule in kind.FIELDS}
    values: dict[str, Any] = {}
    for text in fields:
        field, equals, value = text.partition("=")
        if field not in types or not equals:
            raise Trouble(f"{name} has the fields {', '.join(types) or 'none'}, each as NAME=VALUE")
        values[field] = _value(value, getattr(types[field], "kind", types[field]))
    missing = [field for field in types if field not in values]
    if missing:
        raise Trouble(f"{name} also wants {', '.join(missing)}")
    try:
        return kind.of({number: values[field] for number, field, _ in kind.FIELDS})
    except WireError as error:
        raise Trouble(f"{name}: {error}") from None


def _value(text: str, rule: Any) -> Any:
    if text == "null":
        return None
    if text.startswith("@"):
        return Path(text[1:]).read_bytes()
    if text.startswith("["):
        try:
            return json.loads(text, parse_float=str)
        except ValueError:
            raise Trouble(f"{text!r} is no JSON array") from None
    if isinstance(rule, Bytes):
        return bytes_of(text)
    if text.isdecimal():
        return int(text)
    names = getattr(rule, "names", ())
    return names.index(text) if text in names else text


def bytes_of(text: str) -> bytes:
    """An id (13 letters), or hex digits."""
    if len(text) == 13:
        return id_bytes(text)
    try:
        return bytes.fromhex(text)
    except ValueError:
        raise Trouble(f"{text!r} is neither an id nor hex digits") from None


def query(args: argparse.Namespace) -> int:
    setting = load(args)

    async def ask() -> Any:
        async with http(setting.url, setting.ca) as web:
            key = read_key(args.key or setting.operator, password_of(args.password_file))
            return await member(web, setting.chain_id(args.chain), key).query(args.path, args.argument or "")

    with progress("asking"):
        answer = asyncio.run(ask())
    rows = answer if isinstance(answer, list) else [answer]
    show(args, answer, [_line(row) for row in rows] or ["none"])
    return 0


def _line(row: Any) -> str:
    return "  ".join(f"{name}={value}" for name, value in row.items()) if isinstance(row, dict) else str(row)


def prove(args: argparse.Namespace) -> int:
    setting = load(args)
    key = state_key(args.state)
    with progress("waiting for a block to prove it under"):
        told = asyncio.run(_proven(setting, args, key))
    lines = [f"{args.state} of {told['chain']}, under the header of block {told['height']} ({told['time']}):"]
    lines += [told["value"] or "nothing stands there", f"app_hash {told['app_hash']}", "signed by its validators"]
    show(args, told, lines)
    return 0


def state_key(text: str) -> bytes:
    """`account/` and an id, `lock/` and a number, `0x` and hex, or any other text as it stands."""
    if text.startswith("0x"):
        return bytes_of(text[2:])
    prefix, slash, name = text.partition("/")
    if slash and len(name) == 13:
        return f"{prefix}/".encode() + id_bytes(name)
    if slash and name.isdecimal():
        return f"{prefix}/".encode() + int(name).to_bytes(8, "big")
    return text.encode()


async def _proven(setting: Setting, args: argparse.Namespace, key: bytes) -> dict[str, Any]:
    document = genesis.decode(setting.chain(args.chain).genesis.read_bytes())
    async with http(setting.url, setting.ca) as web:
        reader = member(web, document.chain_id, read_key(args.key or setting.operator, password_of(args.password_file)))
        height, _ = await reader.status()
        evidence = await reader.evidence(key, height + 1)
        raw = await reader.light_block(evidence.height, 0)
    start = light.genesis(document.chain_id, document.time_ns, document.validators)
    header = light.verify(Params(document.chain_id, 1, 1), start, LightBlock.decode(raw), None)
    light.check_state(header, key, evidence.value, proof.decode(evidence.proof))
    return {
        "chain": document.chain_id,
        "key": key.hex(),
        "value": evidence.value.hex() if evidence.value is not None else None,
        "height": evidence.height,
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(header.time_ns // NS)),
        "app_hash": header.app_hash.hex(),
        "proof": evidence.proof.hex(),
        "light_block": raw.hex(),
    }


def show_key(args: argparse.Namespace) -> int:
    key = read_key(args.key, password_of(args.password_file))
    show(args, {"id": id_text(key.kid), "public_key": key.public_key.hex()}, [id_text(key.kid), key.public_key.hex()])
    return 0
