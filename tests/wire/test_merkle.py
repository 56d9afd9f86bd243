"""RFC 9162 hash trees: shapes typed in from the RFC, all small sizes against the recursive definition, mutations."""

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wire.chain import merkle
from wire.errors import WireError

SIZES = range(34)


def leaves(n):
    return [b"d%d" % i for i in range(n)]


def mth(d):
    """Section 2.1.1, word for word."""
    if not d:
        return sha256(b"").digest()
    if len(d) == 1:
        return sha256(b"\x00" + d[0]).digest()
    k = 1
    while 2 * k < len(d):
        k *= 2
    return sha256(b"\x01" + mth(d[:k]) + mth(d[k:])).digest()


@pytest.mark.parametrize("n", SIZES)
def test_root_is_the_recursive_definition(n):
    assert merkle.root(leaves(n)) == merkle.Tree(leaves(n)).root == mth(leaves(n))


def test_root_of_known_trees():
    """Values that the tests of the first certificate transparency log use for the empty and the one-byte-empty leaf."""
    assert merkle.root([]).hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert merkle.root([b""]).hex() == "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"


D = leaves(7)
NODES = {  # the figure of section 2.1.5
    **{name: mth(D[i : i + 1]) for i, name in enumerate("abcdef")},
    "j": mth(D[6:]),
    "g": mth(D[0:2]),
    "h": mth(D[2:4]),
    "i": mth(D[4:6]),
    "k": mth(D[0:4]),
    "l": mth(D[4:7]),
}


@pytest.mark.parametrize(("index", "path"), [(0, "bhl"), (3, "cgl"), (4, "fjk"), (6, "ik")])
def test_inclusion_paths_of_the_rfc(index, path):
    assert merkle.Tree(D).inclusion(index) == [NODES[name] for name in path]


@pytest.mark.parametrize(("size", "path"), [(3, "cdgl"), (4, "l"), (6, "ijk")])
def test_consistency_proofs_of_the_rfc(size, path):
    assert merkle.Tree(D).consistency(size) == [NODES[name] for name in path]


def mutations(path):
    other = sha256(b"other").digest()
    for i in range(len(path)):
        yield [*path[:i], other, *path[i + 1 :]]
        yield [*path[:i], path[i][:31], *path[i + 1 :]]
        yield [*path[:i], *path[i + 1 :]]
    for extra in (other, bytes(32), *path[:1]):
        yield [*path, extra]
        yield [extra, *path]
    if len(path) > 1 and path[::-1] != path:
        yield path[::-1]


def refused(verify, *args):
    with pytest.raises(WireError) as error:
        verify(*args)
    assert error.value.reason == "bad-proof"


@pytest.mark.parametrize("n", SIZES)
def test_every_leaf_is_provable_and_every_mutation_refused(n):
    tree = merkle.Tree(leaves(n))
    for i, leaf in enumerate(leaves(n)):
        path = tree.inclusion(i)
        merkle.verify_inclusion(tree.root, leaf, i, n, path)
        for bad in mutations(path):
            refused(merkle.verify_inclusion, tree.root, leaf, i, n, bad)
        refused(merkle.verify_inclusion, tree.root, leaf + b"x", i, n, path)
        refused(merkle.verify_inclusion, bytes(32), leaf, i, n, path)
        for wrong in {-1, i ^ 1, i + 1, n, n + i} - {i}:
            refused(merkle.verify_inclusion, tree.root, leaf, wrong, n, path)
        refused(merkle.verify_inclusion, tree.root, leaf, i, i, path)


@pytest.mark.parametrize("n", SIZES)
def test_every_beginning_is_provable_and_every_mutation_refused(n):
    tree = merkle.Tree(leaves(n))
    for m in range(n + 1):
        old, path = mth(leaves(m)), tree.consistency(m)
        merkle.verify_consistency(old, m, tree.root, n, path)
        for bad in mutations(path):
            refused(merkle.verify_consistency, old, m, tree.root, n, bad)
        refused(merkle.verify_consistency, sha256(old).digest(), m, tree.root, n, path)
        if m:
            refused(merkle.verify_consistency, old, m, sha256(tree.root).digest(), n, path)
            refused(merkle.verify_consistency, mth([b"x", *leaves(m)[1:]]), m, tree.root, n, path)
        refused(merkle.verify_consistency, old, n + 1, tree.root, n, path)
        refused(merkle.verify_consistency, old, -1, tree.root, n, path)


def test_size_is_no_fact():
    """A path may fit a second size, so who needs the size takes it from elsewhere: here 6 leaves pass for 5."""
    tree = merkle.Tree(leaves(6))
    merkle.verify_inclusion(tree.root, b"d0", 0, 5, tree.inclusion(0))


@given(st.lists(st.binary(max_size=70), min_size=1, max_size=80), st.data())
def test_any_leaves(values, data):
    tree = merkle.Tree(values)
    assert tree.root == mth(values)
    i = data.draw(st.integers(0, len(values) - 1))
    m = data.draw(st.integers(0, len(values)))
    merkle.verify_inclusion(tree.root, values[i], i, len(values), tree.inclusion(i))
    merkle.verify_consistency(mth(values[:m]), m, tree.root, len(values), tree.consistency(m))


def test_doubled_last_leaf_has_another_root():
    """CVE-2012-2459: where odd nodes are doubled, [a, b, c] and [a, b, c, c] share a root."""
    assert merkle.root([b"a", b"b", b"c"]) != merkle.root([b"a", b"b", b"c", b"c"])
    for n in range(1, 12):
        for doubled in range(1, n + 1):
            assert merkle.root(leaves(n)) != merkle.root(leaves(n) + leaves(n)[-doubled:])


def test_a_node_is_no_leaf():
    """Second preimage: two children's hashes offered as one leaf."""
    tree = merkle.Tree(leaves(4))
    left = merkle.leaf_hash(b"d0") + merkle.leaf_hash(b"d1")
    refused(merkle.verify_inclusion, tree.root, left, 0, 2, tree.inclusion(0)[1:])
    assert merkle.root([left, merkle.leaf_hash(b"d2") + merkle.leaf_hash(b"d3")]) != tree.root
