"""The slave block: what a gateway seals.

Owns: the header, the body (the signed messages themselves), their Merkle tree, the hash that chains the headers.
Refuses: a body over 125,000 bytes, a count, size or root that is not the body's, a link that is not the block before.
Invariant: a block's hash covers the signed header, never the signature; height 1 follows 32 zero bytes.
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

from wire import cbor, envelope
from wire.chain import merkle
from wire.enrol import ALLIANCES
from wire.errors import WireError
from wire.fields import HASH, ID, TIME, Int, Message, Uint

if TYPE_CHECKING:
    from wire.envelope import Signer, Verifier

BODY_MAX = 125_000  # 1 Mbit
BLOCK_MAX = 2 * BODY_MAX + 512  # on the wire: messages of one byte double, and the header
START = bytes(32)


class SlaveHeader(Message):
    DOMAIN = "tallygrid/slave/1"
    alliance: int
    gateway: bytes
    height: int
    previous: bytes
    root: bytes
    urgency: int
    time_s: int
    count: int
    size: int
    FIELDS = (
        (1, "alliance", ALLIANCES),
        (2, "gateway", ID),
        (3, "height", Uint(53)),
        (4, "previous", HASH),
        (5, "root", HASH),
        (6, "urgency", Int(0, 1)),  # 1: energy supply; 0: maintenance, efficiency, design, data trade
        (7, "time_s", TIME),
        (8, "count", Uint(32)),
        (9, "size", Int(0, BODY_MAX)),
    )

    def hash(self) -> bytes:
        return sha256(self.encode()).digest()


class SlaveBlock:
    """`signed` is the header's COSE_Sign1, `body` the messages as they came, each a leaf of the tree."""

    def __init__(self, signed: bytes, body: list[bytes]) -> None:
        self.signed = signed
        self.body = body
        self._split = envelope.split(signed)
        self.header = SlaveHeader.decode(self._split.payload)

    @property
    def kid(self) -> bytes:
        return self._split.kid

    def encode(self) -> bytes:
        return cbor.encode([self.signed, self.body])

    def check_body(self) -> None:
        header = self.header
        if header.count != len(self.body) or header.size != sum(map(len, self.body)):
            raise WireError("bad-size", f"block {header.height}: count or size is not the body's")
        if header.root != merkle.root(self.body):
            raise WireError("bad-root", f"block {header.height}: root is not the body's")

    def check_signature(self, verifier: Verifier) -> None:
        self._split.check(verifier, SlaveHeader.DOMAIN)

    def check_link(self, height: int, previous: bytes) -> None:
        """`height` and `previous` are the last block's, or 0 and START."""
        if self.header.height != height + 1 or self.header.previous != previous:
            raise WireError("bad-link", f"block {self.header.height} does not follow {height}")


def seal(
    signer: Signer,
    body: list[bytes],
    *,
    alliance: int,
    gateway: bytes,
    height: int,
    previous: bytes,
    urgency: int,
    time_s: int,
) -> SlaveBlock:
    header = SlaveHeader(
        alliance=alliance,
        gateway=gateway,
        height=height,
        previous=previous,
        root=merkle.root(body),
        urgency=urgency,
        time_s=time_s,
        count=len(body),
        size=sum(map(len, body)),
    )
    return SlaveBlock(envelope.sign(signer, SlaveHeader.DOMAIN, header.encode()), body)


def decode(data: bytes) -> SlaveBlock:
    """Shape only; signature, link and body are checked by the methods."""
    value = cbor.decode(data, 3, BLOCK_MAX)
    if (
        not isinstance(value, list)
        or len(value) != 2
        or not isinstance(value[0], bytes)
        or not isinstance(value[1], list)
    ):
        raise WireError("bad-type", "a slave block is [signed header, [messages]]")
    if not all(isinstance(message, bytes) for message in value[1]):
        raise WireError("bad-type", "the body of a slave block is byte strings")
    return SlaveBlock(value[0], value[1])
