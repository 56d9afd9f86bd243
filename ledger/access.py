"""Who may read a chain: challenges and tokens. Pure; time and randomness come in as arguments.

Owns: open challenges, tokens in force, and their limits.
Refuses: a nonce that was not given, is used up or too old; a signature that is not the account's; who is no member.
Invariant: a token is for one account on one chain, for a short time; it dies with this process.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

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
        if not isinstance(nonce, bytes) or self.nonces.pop(nonce, None) is None or not isinstance(account, bytes):
            raise WireError("bad-field", "this nonce was not given, or is used up or too old")
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
