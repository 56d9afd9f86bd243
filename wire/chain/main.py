"""The main block: slave blocks of all alliances in order, under the main node's signature.

Owns: its header (with the urgency bits of the slave blocks, the registry and the window), its body and their tree.
Refuses: a body over 1,000,000 bytes, urgency bits or a root that are not the body's.
Invariant: like the slave block's, the hash covers the signed header.
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

from wire import cbor, envelope
from wire.chain import merkle, slave
from wire.errors import WireError
from wire.fields import HASH, ID, PUBLIC_KEY, TIME, Bytes, Int, List, Message, Row, Text, Uint

if TYPE_CHECKING:
    from wire.envelope import Signer, Verifier

BODY_MAX = 1_000_000  # 8 Mbit
BLOCK_MAX = 2 * BODY_MAX  # on the wire, with a full registry
START = bytes(32)
BLOCKS_MAX = 1_024

REGISTRY_ROW = Row(ID, PUBLIC_KEY, Text(128))  # node, its public key, its address; the main node first


class MainHeader(Message):
    DOMAIN = "tallygrid/main/1"
    node: bytes
    height: int
    previous: bytes
    root: bytes
    urgency: bytes
    registry: list[list[object]]
    window: int
    time_s: int
    count: int
    size: int
    FIELDS = (
        (1, "node", ID),
        (2, "height", Uint(53)),
        (3, "previous", HASH),
        (4, "root", HASH),
        (5, "urgency", Bytes(0, BLOCKS_MAX // 8)),  # a bit a slave block, the first one highest
        (6, "registry", List(REGISTRY_ROW, 1_024)),
        (7, "window", Int(1, BLOCKS_MAX)),
        (8, "time_s", TIME),
        (9, "count", Int(0, BLOCKS_MAX)),
        (10, "size", Int(0, BODY_MAX)),
    )

    def hash(self) -> bytes:
        return sha256(self.encode()).digest()


class MainBlock:
    """`body` holds whole slave blocks (their encoded bytes), each a leaf of the tree."""

    def __init__(self, signed: bytes, body: list[bytes]) -> None:
        self.signed = signed
        self.body = body
        self._split = envelope.split(signed)
        self.header = MainHeader.decode(self._split.payload)

    def encode(self) -> bytes:
        return cbor.encode([self.signed, self.body])

    def check_body(self) -> None:
        header = self.header
        if header.count != len(self.body) or header.size != sum(map(len, self.body)):
            raise WireError("bad-size", f"main block {header.height}: count or size is not the body's")
        if header.urgency != urgency_bits([slave.decode(raw).header.urgency for raw in self.body]):
            raise WireError("bad-field", f"main block {header.height}: urgency bits are not the slave blocks'")
        if header.root != merkle.root(self.body):
            raise WireError("bad-root", f"main block {header.height}: root is not the body's")

    def check_signature(self, verifier: Verifier) -> None:
        self._split.check(verifier, MainHeader.DOMAIN)


def urgency_bits(urgencies: list[int]) -> bytes:
    bits = bytearray((len(urgencies) + 7) // 8)
    for i, urgency in enumerate(urgencies):
        bits[i >> 3] |= urgency << (7 - (i & 7))
    return bytes(bits)


def seal(
    signer: Signer,
    body: list[bytes],
    *,
    node: bytes,
    height: int,
    previous: bytes,
    registry: list[list[object]],
    window: int,
    time_s: int,
) -> MainBlock:
    header = MainHeader(
        node=node,
        height=height,
        previous=previous,
        root=merkle.root(body),
        urgency=urgency_bits([slave.decode(raw).header.urgency for raw in body]),
        registry=registry,
        window=window,
        time_s=time_s,
        count=len(body),
        size=sum(map(len, body)),
    )
    return MainBlock(envelope.sign(signer, MainHeader.DOMAIN, header.encode()), body)


def decode(data: bytes) -> MainBlock:
    """Shape only, as `slave.decode`."""
    value = cbor.decode(data, 5, BLOCK_MAX)
    if (
        not isinstance(value, list)
        or len(value) != 2
        or not isinstance(value[0], bytes)
        or not isinstance(value[1], list)
    ):
        raise WireError("bad-type", "a main block is [signed header, [slave blocks]]")
    if not all(isinstance(block, bytes) for block in value[1]):
        raise WireError("bad-type", "the body of a main block is byte strings")
    return MainBlock(value[0], value[1])
