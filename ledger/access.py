"""Who may read a chain: challenges and tokens, and how much a peer may ask. Pure; time and randomness come in.

Owns: open challenges, tokens in force, each peer's allowance.
Refuses: a nonce that was not given, is used up or too old; a signature that is not the account's; who is no member.
Invariant: a token is for one account on one chain, for a short time; it dies with this process.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import IPv6Address, ip_address
from typing import NamedTuple

from wire import cbor, envelope
from wire.chain.keys import point, verify
from wire.chain.rest import READ_DOMAIN
from wire.errors import WireError

CHALLENGE_S = 60
TOKEN_S = 600
OPEN_MAX = 4_096


@dataclass(frozen=True)
class Grant:
    chain: str
    account: bytes
    until_s: int


@dataclass
class Door:
    """`member_key(chain, account)` is the key a member signs with, None for strangers."""

    member_key: Callable[[str, bytes], bytes | None]
    nonces: dict[bytes, tuple[str, bytes, int]] = field(default_factory=dict)
    tokens: dict[str, Grant] = field(default_factory=dict)

    def challenge(self, chain: str, account: bytes, nonce: bytes, now_s: int) -> bytes:
        self._forget(now_s)
        if len(self.nonces) >= OPEN_MAX:
            self.nonces.pop(next(iter(self.nonces)))  # a flood of questions costs the oldest one
        self.nonces[nonce] = (chain, account, now_s + CHALLENGE_S)
        return nonce

    def answer(self, chain: str, raw: bytes, token: str, now_s: int) -> Grant:
        """The signed wish to read: puts `token` in force."""
        self._forget(now_s)
        signed = envelope.split(raw)
        wish = cbor.decode(signed.payload, 1, 256)
        if not isinstance(wish, dict) or set(wish) != {1, 2, 3} or wish[1] != chain:
            raise WireError("bad-field", "a wish to read is {1: chain, 2: account, 3: nonce}")
        account = wish[2]
        nonce = wish[3]
        given = self.nonces.pop(nonce, None) if isinstance(nonce, bytes) else None
        if given is None or given[:2] != (chain, account):
            raise WireError("bad-field", "this nonce was not given to this account, or is used up or too old")
        key = self.member_key(chain, account)
        if key is None:
            raise WireError("unknown-key", "no member of this chain")
        verify(point(key), envelope.to_sign(signed.kid, READ_DOMAIN, signed.payload), signed.signature)
        if len(self.tokens) >= OPEN_MAX:
            self.tokens.pop(next(iter(self.tokens)))
        self.tokens[token] = Grant(chain, account, now_s + TOKEN_S)
        return self.tokens[token]

    def reader(self, chain: str, token: str, now_s: int) -> bytes | None:
        """The account that reads with this token; None if it may not, or is no member any more."""
        grant = self.tokens.get(token)
        if grant is None or grant.chain != chain or now_s > grant.until_s:
            return None
        return grant.account if self.member_key(chain, grant.account) is not None else None

    def _forget(self, now_s: int) -> None:
        for nonce in [nonce for nonce, (_, _, until_s) in self.nonces.items() if now_s > until_s]:
            del self.nonces[nonce]
        for token in [token for token, grant in self.tokens.items() if now_s > grant.until_s]:
            del self.tokens[token]


# ---------------------------------------------------------------- how much a peer may ask


class Limits(NamedTuple):
    """Of one peer. What was not used for `burst_s` is the most that can be had at once."""

    requests_per_s: float = 50.0
    txs_per_s: float = 500.0
    burst_s: float = 10.0


PEERS_MAX = 10_000
TOLERANCE_S = 1e-6  # of sums of fractions


class Meter:
    """What each peer used lately: requests and transactions, each leaking away at its rate."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._used: OrderedDict[str, tuple[float, float, float]] = OrderedDict()  # requests, transactions, as of

    def take(self, peer: str, txs: int, now_s: float) -> float:
        """0 where it may go ahead: one request, or with `txs` so many transactions; else the seconds to wait.
        Refused attempts cost nothing, so who waits gets through."""
        limits, name = self.limits, network(peer)
        requests, sent, then_s = self._used.get(name, (0.0, 0.0, now_s))
        gone_s = max(now_s - then_s, 0.0)
        requests = max(requests - gone_s * limits.requests_per_s, 0.0)
        sent = max(sent - gone_s * limits.txs_per_s, 0.0)
        used, rate = (sent, limits.txs_per_s) if txs else (requests, limits.requests_per_s)
        cost = min(txs or 1, rate * limits.burst_s)  # a batch above the burst needs all of it
        wait_s = (used + cost) / rate - limits.burst_s
        if wait_s < TOLERANCE_S:
            requests, sent = (requests, sent + txs) if txs else (requests + 1, sent)
        self._used[name] = (requests, sent, now_s)
        self._used.move_to_end(name)
        if len(self._used) > PEERS_MAX:
            self._used.popitem(last=False)
        return 0.0 if wait_s < TOLERANCE_S else wait_s


def network(peer: str) -> str:
    """Whom a peer's address stands for: an IPv6 host has as many addresses as it likes, all in one /64."""
    try:
        address = ip_address(peer)
    except ValueError:
        return peer
    if isinstance(address, IPv6Address):
        mapped = address.ipv4_mapped
        return str(mapped) if mapped is not None else (int(address) >> 64).to_bytes(8, "big").hex()
    return str(address)
