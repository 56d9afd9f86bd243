"""The transaction: what an account asks of one chain.

Owns: its map and envelope. What a kind means and what its body holds is wire/chain/kinds.py's and the ledger's.
Refuses: another shape; a body that is no map with integer keys.
Invariant: a transaction is known by (chain, account, sequence), never by its bytes: a second signature is the same one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from wire import envelope
from wire.envelope import Signed
from wire.errors import WireError
from wire.fields import ID, SEQ, Message, Text, Uint

if TYPE_CHECKING:
    from wire.envelope import Signer

TX_MAX = 512 * 1024  # a slave block is the largest thing that travels in one


class _Body:
    words = "map with integer keys"

    def check(self, value: Any) -> bool:
        return isinstance(value, dict)


class Tx(Message):
    DOMAIN = "tallygrid/tx/1"
    chain: str
    account: bytes
    sequence: int
    kind: int
    body: dict[int, Any]
    FIELDS = (
        (1, "chain", Text(32)),
        (2, "account", ID),
        (3, "sequence", SEQ),  # the account's next one on this chain, from 0
        (4, "kind", Uint(16)),
        (5, "body", _Body()),
    )


class SignedTx:
    """A transaction taken apart, its signature not yet checked."""

    __slots__ = ("account", "body", "chain_id", "kid", "kind", "payload", "raw", "sequence", "signature")

    def __init__(self, raw: bytes, signed: Signed, tx: Tx) -> None:
        self.raw = raw
        self.kid = signed.kid
        self.payload = signed.payload
        self.signature = signed.signature
        self.chain_id = tx.chain
        self.account = tx.account
        self.sequence = tx.sequence
        self.kind = tx.kind
        self.body = tx.body

    @property
    def signed(self) -> bytes:
        """The bytes that the signature is over."""
        return envelope.to_sign(self.kid, Tx.DOMAIN, self.payload)


def open(raw: bytes) -> SignedTx:
    if len(raw) > TX_MAX:
        raise WireError("too-big", f"a transaction has at most {TX_MAX} bytes")
    signed = envelope.split(raw)
    return SignedTx(raw, signed, Tx.decode(signed.payload))


def sign(signer: Signer, chain: str, account: bytes, sequence: int, kind: int, body: dict[int, Any]) -> bytes:
    tx = Tx(chain=chain, account=account, sequence=sequence, kind=kind, body=body)
    return envelope.sign(signer, Tx.DOMAIN, tx.encode())
