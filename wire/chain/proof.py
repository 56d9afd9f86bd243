"""State proofs: that a key has this value, or none, under an `app_hash`.

Owns: the shape of the state tree's hashes, the proof's format (docs/spec.md) and its verifier.
Refuses: a second shape of the same proof, a root of zeros or of the wrong length, any length but the exact one.
Invariants: leaf, fork and empty place have prefixes of their own; the way is given by the key, never by the proof;
under one root a key is provable or disprovable, never both.

The tree is binary over the bits of SHA-256(key), the highest first; a leaf hangs as high as it can. Only a fork has two
children of which one may be empty. The blind keeps values secret from who sees a leaf only beside the way.
"""

from hashlib import sha256
from typing import NamedTuple

from wire import cbor
from wire.errors import WireError

EMPTY = sha256(b"\x02").digest()
ZEROS = bytes(32)
MAX_DEPTH = 256


class StateProof(NamedTuple):
    """Root first: the hashes beside the way. Then what stands at its end: the key's leaf (`blind`), another key's leaf
    (`other`: its path and seal), or nothing."""

    beside: tuple[bytes, ...]
    blind: bytes | None = None
    other: tuple[bytes, bytes] | None = None

    def encode(self) -> bytes:
        beside = [b"" if h == EMPTY else h for h in self.beside]
        if self.blind is not None:
            return cbor.encode({1: beside, 2: self.blind})
        if self.other is not None:
            return cbor.encode({1: beside, 3: self.other[0], 4: self.other[1]})
        return cbor.encode({1: beside})


def decode(data: bytes) -> StateProof:
    fields = cbor.decode(data)
    if not isinstance(fields, dict) or set(fields) not in ({1}, {1, 2}, {1, 3, 4}):
        raise WireError("bad-proof", "a state proof has fields 1, or 1 and 2, or 1, 3 and 4")
    beside = fields[1]
    if not isinstance(beside, list) or len(beside) > MAX_DEPTH:
        raise WireError("bad-proof", "field 1 is no array of at most %d hashes" % MAX_DEPTH)
    for h in beside:
        if not isinstance(h, bytes) or len(h) not in (0, 32) or h == EMPTY:
            raise WireError("bad-proof", "a hash beside the way has 32 bytes, or none for an empty place")
    for field in (2, 3, 4):
        if field in fields and not (isinstance(fields[field], bytes) and len(fields[field]) == 32):
            raise WireError("bad-proof", "field %d has 32 bytes" % field)
    other = (fields[3], fields[4]) if 3 in fields else None
    return StateProof(tuple(h or EMPTY for h in beside), fields.get(2), other)


def path_of(key: bytes) -> bytes:
    return sha256(key).digest()


def seal(blind: bytes, value: bytes) -> bytes:
    return sha256(blind + value).digest()


def leaf_hash(path: bytes, sealed: bytes) -> bytes:
    return sha256(b"\x00" + path + sealed).digest()


def fork_hash(left: bytes, right: bytes) -> bytes:
    return sha256(b"\x01" + left + right).digest()


def verify(root: bytes, key: bytes, value: bytes | None, proof: StateProof) -> None:
    """Returns when `key` has exactly these bytes (or, for None, no value) under `root`; WireError otherwise."""
    if len(root) != 32 or root == ZEROS:
        raise WireError("bad-root", "no app_hash of ours")
    path = path_of(key)
    depth = len(proof.beside)
    if depth > MAX_DEPTH:
        raise WireError("bad-proof", "deeper than a path is long")
    node = _end(path, depth, value, proof)
    if depth and proof.beside[-1] == EMPTY:
        # Beside a leaf or an empty place stands something, or the fork above would not be there.
        raise WireError("bad-proof", "the last fork has nothing beside the way")
    bits = int.from_bytes(path, "big")
    for level in range(depth - 1, -1, -1):
        other = proof.beside[level]
        if len(other) != 32:
            raise WireError("bad-proof", "a hash has 32 bytes")
        node = fork_hash(other, node) if bits >> (255 - level) & 1 else fork_hash(node, other)
    if node != root:
        raise WireError("bad-proof", "leads to another root")


def _end(path: bytes, depth: int, value: bytes | None, proof: StateProof) -> bytes:
    """The hash of what stands at the end of the way, once that is what the claim needs."""
    if value is not None:
        if proof.blind is None or proof.other is not None:
            raise WireError("bad-proof", "no proof of a value")
        if len(proof.blind) != 32:
            raise WireError("bad-proof", "a blind has 32 bytes")
        return leaf_hash(path, seal(proof.blind, value))
    if proof.blind is not None:
        raise WireError("bad-proof", "no proof of absence")
    if proof.other is None:
        return EMPTY
    other, sealed = proof.other
    if len(other) != 32 or len(sealed) != 32:
        raise WireError("bad-proof", "a path and a seal have 32 bytes")
    differ = int.from_bytes(path, "big") ^ int.from_bytes(other, "big")
    if differ == 0:
        raise WireError("bad-proof", "the leaf at the end is the key's own")
    if depth and differ >> (256 - depth):
        raise WireError("bad-proof", "the leaf at the end does not hang on the way")
    return leaf_hash(other, sealed)
