"""CometBFT's block header, commit and validator set (v0.38): their bytes and their hashes.

Owns: the fields, the hash of a header (14 leaves), of a validator set, of a commit, of results; the bytes a vote signs.
Refuses: bytes that it would not write itself, keys that are not Ed25519.
Invariant: every field of a header is under its hash, and what parses encodes to the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from hashlib import sha256
from typing import NamedTuple, TypeVar

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from wire.chain import merkle
from wire.chain import protobuf as pb
from wire.errors import WireError

ABSENT, COMMIT, NIL = 1, 2, 3
PRECOMMIT = 2
NO_TIME_NS = -62_135_596_800 * 1_000_000_000  # Go's zero time, the year 1: what an absent vote carries
BLOCK_PROTOCOL = 11  # of CometBFT v0.38
PART_BYTES = 65_536
POWER_MAX = (1 << 63) // 8  # of a whole set, as CometBFT has it


class BlockID(NamedTuple):
    """`parts` is how the block travels between nodes; it is signed, but the light client has no use for it."""

    hash: bytes = b""
    parts_total: int = 0
    parts_hash: bytes = b""

    def encode(self) -> bytes:
        parts = pb.number(1, self.parts_total) + pb.data(2, self.parts_hash)
        return pb.data(1, self.hash) + pb.message(2, parts)

    @classmethod
    def read(cls, m: pb.Reader) -> BlockID:
        parts = m.message(2)
        return cls(m.data(1), parts.number(1), parts.data(2))


class Header(NamedTuple):
    chain_id: str
    height: int
    time_ns: int
    last_block_id: BlockID
    last_commit_hash: bytes
    data_hash: bytes
    validators_hash: bytes
    next_validators_hash: bytes
    consensus_hash: bytes
    app_hash: bytes  # of the state after the block before
    last_results_hash: bytes
    evidence_hash: bytes
    proposer: bytes
    block_version: int = BLOCK_PROTOCOL
    app_version: int = 0

    def hash(self) -> bytes:
        return merkle.root(
            [
                self._version(),
                pb.data(1, self.chain_id.encode()),
                pb.number(1, self.height),
                pb.timestamp(self.time_ns),
                self.last_block_id.encode(),
                *(pb.data(1, value) for value in self._hashes()),
            ]
        )

    def _version(self) -> bytes:
        return pb.number(1, self.block_version) + pb.number(2, self.app_version)

    def _hashes(self) -> list[bytes]:
        return [getattr(self, name) for name in _HASHES]

    def encode(self) -> bytes:
        return (
            pb.message(1, self._version())
            + pb.data(2, self.chain_id.encode())
            + pb.number(3, self.height)
            + pb.message(4, pb.timestamp(self.time_ns))
            + pb.message(5, self.last_block_id.encode())
            + b"".join(pb.data(6 + i, value) for i, value in enumerate(self._hashes()))
        )

    @classmethod
    def decode(cls, raw: bytes) -> Header:
        m = pb.Reader(raw)
        version = m.message(1)
        hashes = {name: m.data(6 + i) for i, name in enumerate(_HASHES)}
        return _same(
            cls(
                chain_id=m.text(2),
                height=m.number(3),
                time_ns=m.time_ns(4),
                last_block_id=BlockID.read(m.message(5)),
                block_version=version.number(1),
                app_version=version.number(2),
                **hashes,
            ),
            raw,
        )


# Fields 6 … 14 of the message, and the leaves of the hash in the same order.
_HASHES = (
    "last_commit_hash",
    "data_hash",
    "validators_hash",
    "next_validators_hash",
    "consensus_hash",
    "app_hash",
    "last_results_hash",
    "evidence_hash",
    "proposer",
)


class CommitSig(NamedTuple):
    flag: int
    address: bytes = b""
    time_ns: int = NO_TIME_NS
    signature: bytes = b""

    def encode(self) -> bytes:
        return (
            pb.number(1, self.flag)
            + pb.data(2, self.address)
            + pb.message(3, pb.timestamp(self.time_ns))
            + pb.data(4, self.signature)
        )

    @classmethod
    def decode(cls, raw: bytes) -> CommitSig:
        m = pb.Reader(raw)
        return cls(m.number(1), m.data(2), m.time_ns(3), m.data(4))


class Commit(NamedTuple):
    """The votes on a block, one place a validator, in the order of the set."""

    height: int
    round: int
    block_id: BlockID
    signatures: tuple[CommitSig, ...]

    def hash(self) -> bytes:
        return merkle.root(vote.encode() for vote in self.signatures)

    def sign_bytes(self, chain_id: str, vote: CommitSig) -> bytes:
        """What that vote's signature is over: a CanonicalVote with the voter's own time, for the block or for none."""
        block_id = pb.message(4, self.block_id.encode()) if vote.flag == COMMIT else b""
        return pb.delimited(
            pb.number(1, PRECOMMIT)
            + pb.fixed64(2, self.height)
            + pb.fixed64(3, self.round)
            + block_id
            + pb.message(5, pb.timestamp(vote.time_ns))
            + pb.data(6, chain_id.encode())
        )

    def encode(self) -> bytes:
        return (
            pb.number(1, self.height)
            + pb.number(2, self.round)
            + pb.message(3, self.block_id.encode())
            + b"".join(pb.message(4, vote.encode()) for vote in self.signatures)
        )

    @classmethod
    def decode(cls, raw: bytes) -> Commit:
        m = pb.Reader(raw)
        votes = tuple(map(CommitSig.decode, m.repeated(4)))
        return _same(cls(m.number(1), m.number(2), BlockID.read(m.message(3)), votes), raw)


class Validator(NamedTuple):
    key: bytes  # Ed25519, 32 bytes
    power: int

    @property
    def address(self) -> bytes:
        return address_of(self.key)

    def encode(self) -> bytes:
        """A SimpleValidator: what the set's hash covers."""
        return pb.message(1, pb.data(1, self.key)) + pb.number(2, self.power)

    @classmethod
    def decode(cls, raw: bytes) -> Validator:
        m = pb.Reader(raw)
        return _same(cls(m.message(1).data(1), m.number(2)), raw)


Validators = tuple[Validator, ...]


def in_order(validators: Iterable[Validator]) -> Validators:
    """As CometBFT lists a set: the most powerful first, then by address."""
    return tuple(sorted(validators, key=lambda v: (-v.power, v.address)))


def validators_hash(validators: Iterable[Validator]) -> bytes:
    return merkle.root(v.encode() for v in validators)


def address_of(key: bytes) -> bytes:
    return sha256(key).digest()[:20]


def data_hash(txs: Iterable[bytes]) -> bytes:
    return merkle.root(sha256(tx).digest() for tx in txs)


def block_id(header: Header, txs: Iterable[bytes], last_commit: Commit) -> BlockID:
    """How the whole block is named: its header's hash, and the hash over the parts in which CometBFT sends it."""
    data = b"".join(pb.message(1, tx) for tx in txs)
    block = (
        pb.message(1, header.encode()) + pb.message(2, data) + pb.message(3, b"") + pb.message(4, last_commit.encode())
    )
    parts = [block[i : i + PART_BYTES] for i in range(0, len(block), PART_BYTES)]
    return BlockID(header.hash(), len(parts), merkle.root(parts))


def result_bytes(code: int, data: bytes) -> bytes:
    """One transaction's leaf under `last_results_hash`; we use no gas."""
    return pb.number(1, code) + pb.data(2, data)


def results_hash(results: Iterable[tuple[int, bytes]]) -> bytes:
    return merkle.root(result_bytes(code, data) for code, data in results)


def consensus_hash(max_bytes: int, max_gas: int) -> bytes:
    return sha256(pb.number(1, max_bytes) + pb.number(2, max_gas)).digest()


def holds(key: bytes, message: bytes, signature: bytes) -> bool:
    """Whether an Ed25519 signature does."""
    try:
        _ed25519(key).verify(signature, message)
    except (InvalidSignature, ValueError):  # ValueError: these 32 bytes are no key
        return False
    return True


@lru_cache(1024)
def _ed25519(key: bytes) -> Ed25519PublicKey:
    return Ed25519PublicKey.from_public_bytes(key)


_M = TypeVar("_M", Header, Commit, Validator)


def _same(made: _M, raw: bytes) -> _M:
    if made.encode() != raw:
        raise WireError("not-minimal", f"{type(made).__name__.lower()} in another form than its own")
    return made
