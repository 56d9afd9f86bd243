"""Clients: other chains as far as this one has verified their headers, so that what they say can be proven here.

Owns: trusted headers of other chains, the check of a proof under one, freezing and thawing.
Refuses: headers that do not follow from those kept here, and everything behind a frozen or expired client.

Rules:
- What is believed comes from this chain's own state: chain id, trusted headers, periods. The message brings a header,
  its commit and its validators, and has to fit (ledger/light.py). Time is the time of this chain's block.
- A header that contradicts a known one (same height and another hash, or time against height) freezes the client.
- A frozen or expired client proves nothing: no value crosses, none is refunded. It goes on only where two different
  accounts out of companies, registrars and regulators name the same header.
- A proof is made under a header that is kept here, in the same call that uses it; no header, no root, no value is ever
  taken for granted.
"""

from __future__ import annotations

from bisect import bisect_left
from hashlib import sha256
from typing import Any, NamedTuple

from ledger import light
from ledger.app import Context, Contract
from ledger.contracts import accounts, parameters
from ledger.contracts.shelf import Shelf, on
from ledger.light import LightBlock, Params, Trusted
from ledger.state import Reader
from wire.chain import header as comet
from wire.chain import kinds, proof
from wire.errors import WireError

SECOND_NS = 1_000_000_000


class Client(NamedTuple):
    frozen: int
    heights: tuple[int, ...]  # of the headers kept, rising


class Proposal(NamedTuple):
    """Half of an agreement to go on from a header."""

    block_hash: bytes
    account: bytes


CLIENTS = Shelf("client", Client)
HEADERS = Shelf("header", Trusted)
PROPOSALS = Shelf("thaw", Proposal)


def _name(chain: str, height: int) -> bytes:
    return chain.encode() + b"/" + height.to_bytes(8, "big")


def trusted(view: Reader, chain: str, height: int) -> Trusted:
    return HEADERS.need(view, _name(chain, height), "unknown-header")


def latest(view: Reader, chain: str) -> Trusted:
    client = CLIENTS.need(view, chain.encode(), "unknown-client")
    return trusted(view, chain, client.heights[-1])


def prove(ctx: Context, chain: str, height: int, key: bytes, value: bytes | None, raw: bytes) -> Trusted:
    """Returns the header under which `key` has exactly these bytes (or is absent) on the other chain."""
    client = CLIENTS.need(ctx.state, chain.encode(), "unknown-client")
    ctx.require(not client.frozen, "frozen", chain)
    newest = latest(ctx.state, chain)
    period_ns = parameters.get(ctx.state, "trusting_s") * SECOND_NS
    ctx.require(newest.time_ns + period_ns > ctx.time_ns, "expired", chain)
    header = trusted(ctx.state, chain, height)
    light.check_state(header, key, value, proof.decode(raw))
    return header


def _header(ctx: Context, body: kinds.Header) -> None:
    client = CLIENTS.need(ctx.state, body.chain.encode(), "unknown-client")
    ctx.require(not client.frozen, "frozen", body.chain)
    block = LightBlock.decode(body.block)
    place = bisect_left(client.heights, block.header.height)
    ctx.require(place > 0, "not-later", "below the first header kept")
    beside = client.heights[place : place + 1]
    try:
        found = light.verify(_params(ctx, body.chain), _at(ctx, body.chain, place - 1, client), block, ctx.time_ns)
        if light.contradicts(found, [trusted(ctx.state, body.chain, height) for height in beside]):
            raise WireError("conflict", f"height {found.height}")
    except WireError as error:
        if error.reason != "conflict":
            raise
        CLIENTS.put(ctx.state, body.chain.encode(), client._replace(frozen=1))
        ctx.emit("clients/frozen", chain=body.chain, height=block.header.height)
        return
    ctx.require(beside != (found.height,), "known-header", str(found.height))
    _keep(ctx, body.chain, client, found, place)


def _at(ctx: Context, chain: str, place: int, client: Client) -> Trusted:
    return trusted(ctx.state, chain, client.heights[place])


def _params(ctx: Context, chain: str) -> Params:
    trusting_s, drift_s = parameters.get(ctx.state, "trusting_s"), parameters.get(ctx.state, "drift_s")
    return Params(chain, trusting_s * SECOND_NS, drift_s * SECOND_NS)


def _keep(ctx: Context, chain: str, client: Client, found: Trusted, place: int) -> None:
    heights = [*client.heights[:place], found.height, *client.heights[place:]]
    HEADERS.put(ctx.state, _name(chain, found.height), found)
    while len(heights) > parameters.get(ctx.state, "headers_kept"):
        HEADERS.delete(ctx.state, _name(chain, heights.pop(0)))
    CLIENTS.put(ctx.state, chain.encode(), client._replace(heights=tuple(heights)))
    ctx.emit("clients/header", chain=chain, height=found.height)


def _thaw(ctx: Context, body: kinds.Thaw) -> None:
    accounts.require_role(ctx, *accounts.GOVERNORS, accounts.REGULATOR)
    name = body.chain.encode()
    client = CLIENTS.need(ctx.state, name, "unknown-client")
    block = LightBlock.decode(body.block)
    ctx.require(block.header.chain_id == body.chain, "wrong-chain", block.header.chain_id)
    if comet.validators_hash(block.validators) != block.header.validators_hash:
        raise WireError("bad-validators", "not the set under the header's validators_hash")
    light.check_commit(body.chain, block.header, block.commit, block.validators)
    block_hash = sha256(body.block).digest()
    proposal = PROPOSALS.get(ctx.state, name)
    if proposal is None or proposal.block_hash != block_hash or proposal.account == ctx.account:
        PROPOSALS.put(ctx.state, name, Proposal(block_hash, ctx.account))
        ctx.emit("clients/thaw-proposed", chain=body.chain, height=block.header.height)
        return
    PROPOSALS.delete(ctx.state, name)
    for height in client.heights:
        HEADERS.delete(ctx.state, _name(body.chain, height))
    HEADERS.put(ctx.state, _name(body.chain, block.header.height), light.trust(block.header))
    CLIENTS.put(ctx.state, name, Client(0, (block.header.height,)))
    ctx.emit("clients/thawed", chain=body.chain, height=block.header.height)


def _genesis(ctx: Context, section: Any) -> None:
    """[[chain, time in ns, [[key, power], …]], …]: the genesis of each chain that is followed."""
    for chain, time_ns, validators in section or ():
        start = light.genesis(chain, time_ns, [comet.Validator(key, power) for key, power in validators])
        HEADERS.put(ctx.state, _name(chain, 0), start)
        CLIENTS.put(ctx.state, chain.encode(), Client(0, (0,)))


def _show(view: Reader, _argument: Any) -> list[dict[str, Any]]:
    """`query clients`: what a relayer has to know."""
    return [
        {"chain": name.decode(), "frozen": client.frozen, "heights": client.heights}
        for name, client in CLIENTS.all(view)
    ]


CONTRACT = Contract(
    "clients",
    handlers=dict([on(kinds.Header, _header), on(kinds.Thaw, _thaw)]),
    genesis=_genesis,
    queries={"clients": _show},
)
