"""The state tree: one root for one content, proofs of presence and absence, versions, the journal."""

import random
from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.state import KEPT_HEIGHTS, Draft, State
from wire import cbor
from wire.chain import proof
from wire.errors import WireError

KEYS = st.binary(min_size=1, max_size=4)
VALUES = st.one_of(st.integers(0, 2**60), st.binary(max_size=40), st.tuples(st.integers(0, 9), st.text(max_size=5)))
CHANGES = st.lists(st.dictionaries(KEYS, st.none() | VALUES, max_size=12), max_size=8)


def write(state, changes):
    staged = state.stage(changes)
    state.adopt(staged, state.height + 1)
    return staged.diff()


def naive_root(salt, content):
    """The definition of the tree, recursively, from nothing but the content."""

    def node(items, depth):
        if not items:
            return proof.EMPTY
        if len(items) == 1:
            path, value = items[0]
            blind = sha256(salt + path + value).digest()
            return sha256(b"\x00" + path + sha256(blind + value).digest()).digest()
        sides = ([], [])
        for path, value in items:
            sides[path[depth // 8] >> (7 - depth % 8) & 1].append((path, value))
        return sha256(b"\x01" + node(sides[0], depth + 1) + node(sides[1], depth + 1)).digest()

    return node([(sha256(k).digest(), cbor.encode(v)) for k, v in content.items()], 0)


@given(CHANGES, st.binary(max_size=32))
@settings(max_examples=150, deadline=None)
def test_root_is_a_function_of_the_content(history, salt):
    state, content = State(salt), {}
    for changes in history:
        write(state, changes)
        content = {k: v for k, v in (content | changes).items() if v is not None}
        assert state.root == naive_root(salt, content)
        assert list(state.rows()) == [(k, cbor.encode(v)) for k, v in sorted(content.items())]
    again = State.load(salt, state.height, iter(list(state.rows())))
    assert again.root == state.root
    assert [again.get(k) for k in content] == list(content.values())


@given(CHANGES, KEYS)
@settings(max_examples=100, deadline=None)
def test_every_key_is_provable_or_disprovable_and_never_both(history, key):
    state = State(b"salt")
    for changes in history:
        write(state, changes)
    for k in {key, *(k for c in history for k in c)}:
        data, p = state.prove(k)
        value = state.get(k)
        assert data == (None if value is None else cbor.encode(value))
        p = proof.decode(p.encode())
        proof.verify(state.root, k, data, p)
        with pytest.raises(WireError):
            proof.verify(state.root, k, b"\x00" if data is None else None, p)
        with pytest.raises(WireError):
            proof.verify(state.root, k, None if data is None else data + b"\x00", p._replace(other=(bytes(32),) * 2))


def big_state(n, seed=1):
    rng = random.Random(seed)
    state = State(b"s")
    write(state, {b"k/%d" % i: rng.randrange(1 << 40) for i in range(n)})
    return state


def test_mutated_proofs_are_refused():
    state = big_state(200)
    for key in (b"k/7", b"absent/1", b"absent/2", b"absent/3"):
        data, p = state.prove(key)
        proof.verify(state.root, key, data, p)
        mutations = [
            p._replace(beside=p.beside[:-1]),
            p._replace(beside=(*p.beside, proof.EMPTY)),
            p._replace(beside=(*p.beside, bytes(32))),
            p._replace(beside=p.beside[1:]),
            p._replace(beside=p.beside[::-1]),
            p._replace(blind=bytes(32)),
            p._replace(blind=None),
            p._replace(other=(sha256(key).digest(), bytes(32))),
            p._replace(other=(bytes(32), bytes(32))),
            p._replace(beside=p.beside * 40),
        ]
        for i in range(len(p.beside)):
            mutations.append(p._replace(beside=(*p.beside[:i], bytes(32), *p.beside[i + 1 :])))
        for bad in mutations:
            if bad != p:
                with pytest.raises(WireError) as refused:
                    proof.verify(state.root, key, data, bad)
                assert refused.value.reason == "bad-proof"


@pytest.mark.parametrize("root", [b"", bytes(32), bytes(31), proof.EMPTY + b"\0"])
def test_a_root_that_is_none_is_refused(root):
    with pytest.raises(WireError) as refused:
        proof.verify(root, b"k", None, proof.StateProof(()))
    assert refused.value.reason == "bad-root"


def test_an_empty_state_has_no_keys():
    state = State()
    data, p = state.prove(b"k")
    assert data is None and p == proof.StateProof(())
    proof.verify(state.root, b"k", None, p)


def test_a_fork_offered_as_a_leaf_is_refused():
    """Second preimage: prefixes keep leaves, forks and empty places apart."""
    state = big_state(2)
    fork = state._tree
    with pytest.raises(WireError):
        proof.verify(state.root, b"x", None, proof.StateProof((), other=(fork.left.hash, fork.right.hash)))


BAD_BYTES = {
    "no map": cbor.encode([1]),
    "unknown field": cbor.encode({1: [], 9: b""}),
    "both endings": cbor.encode({1: [], 2: bytes(32), 3: bytes(32), 4: bytes(32)}),
    "half another": cbor.encode({1: [], 3: bytes(32)}),
    "short hash": cbor.encode({1: [bytes(31)]}),
    "long blind": cbor.encode({1: [], 2: bytes(33)}),
    "empty spelt out": cbor.encode({1: [proof.EMPTY]}),
    "text": cbor.encode({1: ["a"]}),
    "too deep": cbor.encode({1: [b""] * 257}),
}


@pytest.mark.parametrize("data", BAD_BYTES.values(), ids=BAD_BYTES)
def test_decode_refuses(data):
    with pytest.raises(WireError):
        proof.decode(data)


def test_every_bit_of_a_proof_counts():
    state = big_state(5)
    data, p = state.prove(b"k/3")
    raw = p.encode()
    for bit in range(8 * len(raw)):
        flipped = bytearray(raw)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(WireError):
            proof.verify(state.root, b"k/3", data, proof.decode(bytes(flipped)))


def test_older_heights_stay_provable_for_a_while():
    state = State()
    roots = {}
    for height in range(1, KEPT_HEIGHTS + 10):
        write(state, {b"counter": height})
        roots[height] = state.root
    assert len(state.heights()) == KEPT_HEIGHTS
    for height in state.heights():
        data, p = state.prove(b"counter", height)
        assert data == cbor.encode(height)
        proof.verify(roots[height], b"counter", data, p)
    with pytest.raises(KeyError):
        state.prove(b"counter", state.heights()[0] - 1)


def test_salt_hides_a_guessable_value_from_its_neighbour():
    """A proof shows a neighbour's hash; without the salt the right guess of its value gives another."""
    state = State(b"secret")
    write(state, {b"mine": 1, b"account/x": 250_000})
    _, p = state.prove(b"mine")
    path, value = proof.path_of(b"account/x"), cbor.encode(250_000)
    guess = proof.leaf_hash(path, proof.seal(sha256(path + value).digest(), value))
    assert len(p.beside) >= 1 and guess not in p.beside


def test_draft_keeps_and_undoes_whole_transactions():
    state = State()
    write(state, {b"a/1": 1, b"a/2": 2, b"b": 3})
    draft = Draft(state)
    draft.put(b"a/3", 3)
    draft.delete(b"a/1")
    assert list(draft.scan(b"a/")) == [(b"a/2", 2), (b"a/3", 3)]
    draft.keep()
    draft.put(b"a/2", 9)
    draft.delete(b"a/3")
    assert list(draft.scan(b"a/")) == [(b"a/2", 9)]
    draft.undo()
    assert list(draft.scan(b"a/")) == [(b"a/2", 2), (b"a/3", 3)]
    assert list(state.scan(b"a/")) == [(b"a/1", 1), (b"a/2", 2)]
    staged = draft.stage()
    state.adopt(staged, 2)
    diff = staged.diff()
    assert diff.changes == {b"a/1": None, b"a/3": b"\x03"}
    assert diff.app_hash == state.root
    assert state.get(b"a/1") is None and state.get(b"b") == 3


def test_writing_what_is_there_already_changes_nothing():
    state = big_state(10)
    root = state.root
    diff = write(state, {b"k/1": state.get(b"k/1"), b"never": None})
    assert diff.changes == {} and state.root == root


@given(CHANGES, CHANGES, CHANGES, st.sampled_from([b"", b"a", b"a/", b"b/", b"a/\x00"]))
@settings(max_examples=150, deadline=None)
def test_scans_see_state_block_and_transaction_as_one(committed, kept, pending, prefix):
    names = [b"a/", b"b/", b"a", b""]
    place = lambda changes, i: {names[(i + len(k)) % 4] + k: v for k, v in changes.items()}  # noqa: E731
    state, model = State(), {}
    for i, changes in enumerate(committed):
        write(state, place(changes, i))
        model |= place(changes, i)
    draft = Draft(state)
    for i, (changes, undone) in enumerate(zip(kept, [*pending, *[{}] * len(kept)], strict=False)):
        for change, end in ((place(changes, i), draft.keep), (place(undone, i), draft.undo)):
            for key, value in change.items():
                draft.delete(key) if value is None else draft.put(key, value)
            end()
        model |= place(changes, i)
    for key, value in (last := place(pending[-1], 0) if pending else {}).items():
        draft.delete(key) if value is None else draft.put(key, value)
    model |= last
    wanted = sorted((k, v) for k, v in model.items() if v is not None and k.startswith(prefix))
    assert list(draft.scan(prefix)) == wanted
    assert {k: (old, new) for k, old, new in draft.changed(prefix) if old != new} == {
        k: (state.get(k), model.get(k)) for k in model if k.startswith(prefix) and state.get(k) != model.get(k)
    }
