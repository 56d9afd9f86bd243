"""What a chain knows: keys and values under one root hash, the `app_hash`.

Owns: the tree (shape and hashes: wire/chain/proof.py), versions of the last heights, the journal of a block being
applied, and the difference that a store writes.
Refuses: floats, mutable values, any order but that of the keys. A value is an integer, bytes, text, None inside a
tuple, or a tuple of values; a NamedTuple is one, and comes back as a plain tuple.
Invariants: the root depends on keys, values and salt alone, never on the way there; staging a block changes nothing
until `adopt`; a tree once made is never changed, so an older height stays readable and provable.
"""

from bisect import bisect_left
from collections.abc import Iterator, Mapping
from hashlib import sha256
from operator import itemgetter
from typing import Any, NamedTuple, Protocol

from ledger.keyorder import KeyOrder
from wire import cbor
from wire.chain import proof

Value = int | bytes | str | tuple[Any, ...]

EMPTY = proof.EMPTY
KEPT_HEIGHTS = 64
DEPTH = 256


class Leaf:
    """One key and its value, and where it hangs: SHA-256 of the key, as bytes and as a number."""

    __slots__ = ("bits", "data", "hash", "key", "path", "value")
    hash: bytes

    def __init__(self, key: bytes, path: bytes, value: Value, data: bytes, salt: bytes) -> None:
        self.key = key
        self.path = path
        self.bits = int.from_bytes(path, "big")
        self.value = value
        self.data = data
        # wire/chain/proof.py's leaf_hash and seal, here without their calls: they cost as much as the hashing.
        blind = sha256(salt + path + data).digest()
        self.hash = sha256(b"\x00" + path + sha256(blind + data).digest()).digest()

    def blind(self, salt: bytes) -> bytes:
        """Keeps who sees this leaf beside another's proof from guessing what is in it."""
        return sha256(salt + self.path + self.data).digest()

    def seal(self, salt: bytes) -> bytes:
        return proof.seal(self.blind(salt), self.data)


class Fork:
    """An inner node. It has at least two leaves below it, or it would not be there."""

    __slots__ = ("hash", "left", "right")
    hash: bytes

    def __init__(self, left: "Tree", right: "Tree") -> None:
        self.left = left
        self.right = right
        a = EMPTY if left is None else left.hash
        b = EMPTY if right is None else right.hash
        self.hash = sha256(b"\x01" + a + b).digest()


Tree = Leaf | Fork | None
Change = tuple[int, Leaf | None]  # where (Leaf.bits), and the new leaf or none


def grow(tree: Tree, changes: list[Change], depth: int = 0) -> Tree:
    """The tree with these changes (rising by path) made; shares what they do not touch."""
    if not changes:
        return tree
    if len(changes) == 1 and not isinstance(tree, Fork):
        bits, leaf = changes[0]
        if tree is None or tree.bits == bits:
            return leaf
        return tree if leaf is None else _part(tree, leaf, depth)
    bit = DEPTH - 1 - depth
    middle = len(changes) if not changes[-1][0] >> bit & 1 else 0 if changes[0][0] >> bit & 1 else _split(changes, bit)
    left: Tree
    right: Tree
    if isinstance(tree, Fork):
        left, right = tree.left, tree.right
    elif tree is not None and tree.bits >> bit & 1:
        left, right = None, tree
    else:
        left, right = tree, None
    if middle:
        left = grow(left, changes[:middle] if middle < len(changes) else changes, depth + 1)
    if middle < len(changes):
        right = grow(right, changes[middle:] if middle else changes, depth + 1)
    # A lone leaf hangs as high as it can: then a set of leaves has one tree only.
    if left is None and not isinstance(right, Fork):
        return right
    if right is None and not isinstance(left, Fork):
        return left
    return Fork(left, right)


def _split(changes: list[Change], bit: int) -> int:
    return bisect_left(changes, 1, key=lambda change: change[0] >> bit & 1)


def _part(a: Leaf, b: Leaf, depth: int) -> Tree:
    """Two leaves where there was one: forks down to the first bit in which they differ."""
    fork_depth = DEPTH - (a.bits ^ b.bits).bit_length()
    low, high = (a, b) if a.bits < b.bits else (b, a)
    tree = Fork(low, high)
    for level in range(fork_depth - 1, depth - 1, -1):
        tree = Fork(None, tree) if a.bits >> (DEPTH - 1 - level) & 1 else Fork(tree, None)
    return tree


def find(tree: Tree, bits: int) -> tuple[Leaf | None, list[bytes]]:
    """The leaf where the way ends (perhaps another's), and the hashes beside the way, root first."""
    beside = []
    bit = DEPTH - 1
    while isinstance(tree, Fork):
        tree, other = (tree.right, tree.left) if bits >> bit & 1 else (tree.left, tree.right)
        beside.append(EMPTY if other is None else other.hash)
        bit -= 1
    return tree, beside


def leaves_of(tree: Tree) -> Iterator[Leaf]:
    below = [tree]
    while below:
        node = below.pop()
        if isinstance(node, Fork):
            below += (node.left, node.right)
        elif node is not None:
            yield node


class Reader(Protocol):
    """What a contract or a query may look at."""

    def get(self, key: bytes) -> Value | None: ...
    def scan(self, prefix: bytes) -> Iterator[tuple[bytes, Value]]:
        """All keys that begin so, in the order of their bytes."""
        ...


class Diff(NamedTuple):
    """What a block changes, for the store: None deletes."""

    app_hash: bytes
    changes: dict[bytes, bytes | None]


class Staged(NamedTuple):
    """A block's effect, worked out but not in force."""

    tree: Tree
    leaves: dict[bytes, Leaf | None]

    @property
    def root(self) -> bytes:
        return root_of(self.tree)

    def diff(self) -> Diff:
        return Diff(self.root, {key: None if leaf is None else leaf.data for key, leaf in self.leaves.items()})


def root_of(tree: Tree) -> bytes:
    return EMPTY if tree is None else tree.hash


class State:
    """The committed keys and values of one chain."""

    def __init__(self, salt: bytes = b"", height: int = 0) -> None:
        self.height = height
        self._salt = salt
        self._tree: Tree = None
        self._leaves: dict[bytes, Leaf] = {}
        self._order = KeyOrder()
        self._trees: dict[int, Tree] = {height: None}

    @classmethod
    def load(cls, salt: bytes, height: int, rows: Iterator[tuple[bytes, bytes]]) -> "State":
        """The state that a store or a snapshot holds; whether it is the right one, its root tells."""
        state = cls(salt, height)
        leaves: dict[bytes, Leaf | None] = {}
        for key, data in rows:
            leaves[key] = Leaf(key, proof.path_of(key), freeze(cbor.decode(data)), data, salt)
        state.adopt(state._staged(leaves), height)
        return state

    @property
    def root(self) -> bytes:
        return root_of(self._tree)

    def get(self, key: bytes) -> Value | None:
        leaf = self._leaves.get(key)
        return None if leaf is None else leaf.value

    def scan(self, prefix: bytes) -> Iterator[tuple[bytes, Value]]:
        for key in self._order.scan(prefix):
            yield key, self._leaves[key].value

    def keys(self, prefix: bytes) -> Iterator[bytes]:
        return self._order.scan(prefix)

    def stage(self, writes: Mapping[bytes, Value | None]) -> Staged:
        """What these writes make of the tree. Each touched path is hashed once, however often it was written."""
        leaves: dict[bytes, Leaf | None] = {}
        for key, value in writes.items():
            old = self._leaves.get(key)
            if value is None:
                if old is not None:
                    leaves[key] = None
            elif old is None or old.value != value:
                path = proof.path_of(key) if old is None else old.path
                leaves[key] = Leaf(key, path, value, cbor.encode(value), self._salt)  # type: ignore[arg-type]
        return self._staged(leaves)

    def _staged(self, leaves: dict[bytes, Leaf | None]) -> Staged:
        changes = [(bits_of(key) if leaf is None else leaf.bits, leaf) for key, leaf in leaves.items()]
        changes.sort(key=itemgetter(0))
        return Staged(grow(self._tree, changes), leaves)

    def adopt(self, staged: Staged, height: int) -> None:
        """Puts a staged block in force."""
        for key, leaf in staged.leaves.items():
            if leaf is None:
                del self._leaves[key]
                self._order.remove(key)
                continue
            if key not in self._leaves:
                self._order.add(key)
            self._leaves[key] = leaf
        self._tree = staged.tree
        self.height = height
        self._trees[height] = staged.tree
        self._trees.pop(height - KEPT_HEIGHTS, None)

    def heights(self) -> list[int]:
        """The heights that can still be proven."""
        return sorted(self._trees)

    def prove(self, key: bytes, height: int | None = None) -> tuple[bytes | None, proof.StateProof]:
        """The value's bytes after that block, or None, and the proof of either. KeyError where it is too long ago."""
        tree = self._trees[self.height if height is None else height]
        leaf, beside = find(tree, bits_of(key))
        if leaf is None:
            return None, proof.StateProof(tuple(beside))
        if leaf.key == key:
            return leaf.data, proof.StateProof(tuple(beside), blind=leaf.blind(self._salt))
        return None, proof.StateProof(tuple(beside), other=(leaf.path, leaf.seal(self._salt)))

    def rows(self, height: int | None = None) -> list[tuple[bytes, bytes]]:
        """Every key and its value's bytes after that block, in order: what a snapshot holds."""
        tree = self._trees[self.height if height is None else height]
        return sorted((leaf.key, leaf.data) for leaf in leaves_of(tree))


_NOTHING: Any = object()  # no value of the block's own, not even None


class Draft:
    """The state as a block being applied sees it: what it wrote, over the committed state, with a way back."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._block: dict[bytes, Value | None] = {}
        self._before: list[tuple[bytes, Any]] = []  # since the last keep or undo: keys, and what the block held there
        self._tables: dict[bytes, set[bytes]] = {}  # the block's keys by what stands before their first "/" …
        self._unsorted: list[bytes] = []  # … but for these, sorted in when somebody scans

    def get(self, key: bytes) -> Value | None:
        value = self._block.get(key, _NOTHING)
        return self._state.get(key) if value is _NOTHING else value

    def put(self, key: bytes, value: Value) -> None:
        assert value is not None
        self._before.append((key, self._block.get(key, _NOTHING)))
        self._block[key] = value

    def delete(self, key: bytes) -> None:
        self._before.append((key, self._block.get(key, _NOTHING)))
        self._block[key] = None

    def scan(self, prefix: bytes) -> Iterator[tuple[bytes, Value]]:
        """Lazy: who takes only the first pays only for it. What is written meanwhile shows where its key is known."""
        for key in merge(self._state.keys(prefix), self._touched(prefix)):
            value = self.get(key)
            if value is not None:
                yield key, value

    def changed(self, prefix: bytes) -> Iterator[tuple[bytes, Value | None, Value | None]]:
        """What the block has made of keys that begin so: key, committed value, value now."""
        for key in self._touched(prefix):
            yield key, self._state.get(key), self.get(key)

    def _touched(self, prefix: bytes) -> list[bytes]:
        for key in self._unsorted:
            self._tables.setdefault(key.partition(b"/")[0], set()).add(key)
        self._unsorted.clear()
        table, slash, _ = prefix.partition(b"/")
        kept = self._tables.get(table, ()) if slash else self._block
        now = (key for key, _ in self._before)
        return sorted({key for keys in (kept, now) for key in keys if key.startswith(prefix)})

    def keep(self) -> None:
        """What was written since the last keep or undo belongs to the block."""
        self._unsorted += [key for key, old in self._before if old is _NOTHING]
        self._before.clear()

    def undo(self) -> None:
        for key, old in reversed(self._before):
            if old is _NOTHING:
                del self._block[key]
            else:
                self._block[key] = old
        self._before.clear()

    def stage(self) -> Staged:
        assert not self._before, "a transaction was neither kept nor undone"
        return self._state.stage(self._block)


def merge(one: Iterator[bytes], other: list[bytes]) -> Iterator[bytes]:
    """Two rising runs of keys as one, each key once."""
    at = 0
    for key in one:
        while at < len(other) and other[at] <= key:
            if other[at] < key:
                yield other[at]
            at += 1
        yield key
    yield from other[at:]


def bits_of(key: bytes) -> int:
    return int.from_bytes(proof.path_of(key), "big")


def freeze(value: Any) -> Any:
    """Decoded arrays as tuples: nobody may change a value in place."""
    return tuple(map(freeze, value)) if isinstance(value, list) else value
