"""What a key reads of a chain that it is not on: everything is tried that a member could ask.

Owns: the ways to look (a token of the chain, every reading route with none or with a token of the other chain: wallets,
records, blocks, headers, state proofs, events), and what came back.
Refuses: to call an answer nothing unless it is the one refusal that every stranger gets.
"""

from __future__ import annotations

from ledger.contracts.accounts import ACCOUNTS
from pilot.experiments.lab import Lab, key
from wire import cbor
from wire.chain import rest

NOTHING = "nothing"
QUERIES = ("accounts", "balance", "record", "lock", "clients", "parameters")
NOT_FOUND, FORBIDDEN = 404, 403


async def what_is_read(lab: Lab, name: str, own: str, other: str) -> str:
    """The first thing that is let out to a member of `own`, or "nothing"."""
    token = await _token(lab, name, own)
    assert token, f"{name} is a member of its own chain"
    if await _token(lab, name, other):
        return "a token of the other chain"
    state = ACCOUNTS.key(key(name).kid).hex()
    routes = ["status", "genesis", "header/1", "header/last", "block/1", f"state/{state}", "events?from=1", "commands"]
    for route in [*routes, *(f"query/{path}" for path in QUERIES)]:
        for headers in ({}, {"authorization": f"Bearer {token}"}):
            reply = await lab.http.get(f"/v1/{lab.ids[other]}/{route}", headers={**rest.HEADERS, **headers})
            if reply.status_code not in (NOT_FOUND, FORBIDDEN) or (
                reply.status_code == FORBIDDEN and cbor.decode(reply.content) != DENIAL
            ):
                return route
    return NOTHING


DENIAL = {1: "denied", 2: "a member's token is needed"}


async def _token(lab: Lab, name: str, chain: str) -> str:
    """A token to read that chain, or nothing."""
    route, account = f"/v1/{lab.ids[chain]}", key(name).kid
    reply = await lab.http.post(f"{route}/challenge", content=cbor.encode({1: account}), headers=rest.HEADERS)
    nonce = cbor.decode(reply.content)
    assert isinstance(nonce, dict)
    wish = rest.wish_to_read(key(name), lab.ids[chain], account, nonce[1])
    reply = await lab.http.post(f"{route}/token", content=wish, headers=rest.HEADERS)
    answer = cbor.decode(reply.content)
    return str(answer[1]) if reply.status_code == 200 and isinstance(answer, dict) else ""
