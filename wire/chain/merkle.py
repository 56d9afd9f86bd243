"""Hash trees of RFC 6962 (RFC 9162 section 2.1): one root over a list, proofs of a place in it and of growth.

Owns: root, inclusion proof, consistency proof, and their verification.
Refuses: a proof of any length but the exact one, hashes of any length but 32 bytes.
Invariants: leaves and nodes hash under prefixes of their own; an odd last node is promoted, never doubled (so no two
lists share a root); index and size are the caller's facts: a proof that fits is no evidence for either.

The levels are built pairwise from the leaves up; promoting the odd last node gives the RFC's split at the largest
power of two, without its recursion.
"""

from collections.abc import Iterable, Iterator, Sequence
from hashlib import sha256

from wire.errors import WireError

EMPTY_ROOT = sha256(b"").digest()


def leaf_hash(leaf: bytes) -> bytes:
    return sha256(b"\x00" + leaf).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    return sha256(b"\x01" + left + right).digest()


def root(leaves: Iterable[bytes]) -> bytes:
    """Section 2.1.1. Keeps one level at a time."""
    level = [sha256(b"\x00" + leaf).digest() for leaf in leaves]
    if not level:
        return EMPTY_ROOT
    while len(level) > 1:
        level = _above(level)
    return level[0]


def _above(level: list[bytes]) -> list[bytes]:
    pairs = iter(level)
    above = [sha256(b"\x01" + left + right).digest() for left, right in zip(pairs, pairs, strict=False)]
    if len(level) % 2:
        above.append(level[-1])
    return above


class Tree:
    """All nodes of one tree, for many proofs over the same leaves."""

    def __init__(self, leaves: Iterable[bytes]) -> None:
        self._levels = [[leaf_hash(leaf) for leaf in leaves]]
        while len(self._levels[-1]) > 1:
            self._levels.append(_above(self._levels[-1]))

    @property
    def size(self) -> int:
        return len(self._levels[0])

    @property
    def root(self) -> bytes:
        return self._levels[-1][0] if self.size else EMPTY_ROOT

    def inclusion(self, index: int) -> list[bytes]:
        """Section 2.1.3.1: the hashes beside the way from leaf `index` to the root, leaf first."""
        assert 0 <= index < self.size
        path = []
        for level in self._levels[:-1]:
            beside = index ^ 1
            if beside < len(level):
                path.append(level[beside])
            index >>= 1
        return path

    def consistency(self, old_size: int) -> list[bytes]:
        """Section 2.1.4.1: what shows that the first `old_size` leaves are this tree's beginning."""
        assert 0 <= old_size <= self.size
        path: list[bytes] = []
        start, size, old, whole = 0, self.size, old_size, True
        while 0 < old < size:  # the RFC's SUBPROOF, from the root down
            left = 1 << ((size - 1).bit_length() - 1)
            if old <= left:
                path.append(self._node(start + left, size - left))
                size = left
            else:
                path.append(self._node(start, left))
                start, size, old, whole = start + left, size - left, old - left, False
        if not whole:
            path.append(self._node(start, size))
        return path[::-1]

    def _node(self, start: int, size: int) -> bytes:
        """The hash over leaves start … start + size, a complete subtree or one at the tree's right edge."""
        height = (size - 1).bit_length()
        return self._levels[height][start >> height]


def verify_inclusion(expected: bytes, leaf: bytes, index: int, size: int, path: Sequence[bytes]) -> None:
    """Section 2.1.3.2: returns when `leaf` stands at `index` among `size` leaves under the root `expected`."""
    if not 0 <= index < size:
        raise WireError("bad-proof", f"index {index} of {size}")
    _check_hashes(expected, path)
    node, last = leaf_hash(leaf), size - 1
    beside = iter(path)
    for hash_beside in beside:
        if last == 0:
            raise WireError("bad-proof", "hashes beyond the root")
        while not index & 1 and index == last:  # promoted: nothing stands beside it on this level
            index >>= 1
            last >>= 1
        node = node_hash(hash_beside, node) if index & 1 else node_hash(node, hash_beside)
        index >>= 1
        last >>= 1
    if last:
        raise WireError("bad-proof", "hashes are missing")
    if node != expected:
        raise WireError("bad-proof", "leads to another root")


def verify_consistency(old_root: bytes, old_size: int, new_root: bytes, new_size: int, path: Sequence[bytes]) -> None:
    """Section 2.1.4.2: returns when the tree of `old_size` leaves is the beginning of the tree of `new_size`."""
    if not 0 <= old_size <= new_size:
        raise WireError("bad-proof", f"{new_size} leaves cannot have grown out of {old_size}")
    _check_hashes(old_root, path)
    _check_hashes(new_root, ())
    if old_size in (0, new_size):
        if path:
            raise WireError("bad-proof", "nothing needs to be shown here")
        if old_root != (new_root if old_size else EMPTY_ROOT):
            raise WireError("bad-proof", "the old root is another")
        return
    hashes = iter(path)
    node, last = old_size - 1, new_size - 1
    while node & 1:
        node >>= 1
        last >>= 1
    # An old tree that is complete is a node of the new one, so its root is not sent.
    old = new = old_root if node == 0 else _next(hashes)
    while last:
        if node & 1 or node == last:
            beside = _next(hashes)
            old, new = node_hash(beside, old), node_hash(beside, new)
            while not node & 1 and node:
                node >>= 1
                last >>= 1
        else:
            new = node_hash(new, _next(hashes))
        node >>= 1
        last >>= 1
    if next(hashes, None) is not None:
        raise WireError("bad-proof", "hashes beyond the root")
    if old != old_root or new != new_root:
        raise WireError("bad-proof", "leads to other roots")


def _next(hashes: Iterator[bytes]) -> bytes:
    found = next(hashes, None)
    if found is None:
        raise WireError("bad-proof", "hashes are missing")
    return found


def _check_hashes(expected: bytes, path: Sequence[bytes]) -> None:
    if len(expected) != 32 or any(len(h) != 32 for h in path):
        raise WireError("bad-proof", "a hash has 32 bytes")
