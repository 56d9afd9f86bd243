"""What the store gives back, and what its file may not be."""

import sqlite3

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.app import Event, Result
from ledger.state import Diff
from ledger.store import Block, Store, StoreError, decode_results, encode_results
from wire import cbor

VALUES = st.one_of(
    st.integers(-(2**63), 2**63), st.binary(max_size=40), st.text(max_size=9), st.tuples(st.integers(0, 9))
)
EVENTS = st.builds(Event, st.text(max_size=9), st.dictionaries(st.text(max_size=5), VALUES, max_size=3))
RESULTS = st.lists(
    st.builds(Result, st.text(max_size=9), st.text(max_size=9), st.lists(EVENTS, max_size=3).map(tuple)), max_size=4
)


@given(RESULTS)
def test_results_come_back_and_are_cbor(results):
    raw = encode_results(results)
    assert decode_results(raw) == tuple(results)
    rows = [[r.reason, r.detail, [[e.kind, [[k, v] for k, v in e.fields.items()]] for e in r.events]] for r in results]
    assert raw == cbor.encode(rows)


@pytest.fixture
def store(tmp_path):
    store = Store(tmp_path / "chain.db")
    store.create("c", b"genesis", Diff(b"h0", {b"a": b"\x01", b"b": b"\x02"}))
    yield store
    store.close()


def test_blocks_state_and_index(store):
    assert (store.head(), store.chain_id, store.genesis) == ((0, b"h0"), "c", b"genesis")
    block = Block(1, 5, b"h1", (b"tx0", b"tx1"), (Result(), Result("no", "why")), b"light")
    store.write(Diff(b"h1", {b"a": None, b"c": b"\x03"}), block, [(b"me", 7, 1)])
    assert store.head() == (1, b"h1") and list(store.rows()) == [(b"b", b"\x02"), (b"c", b"\x03")]
    assert store.block(1) == block and store.block(2) is None and store.block(0) is None
    assert store.find(b"me", 7) == (1, 1) and store.find(b"me", 8) is None
    empty = Block(2, 6, b"h1")
    store.write(Diff(b"h1", {}), empty, [])
    assert store.block(2) == empty


@pytest.mark.parametrize("height", [0, 1, 3])
def test_only_the_next_block(store, height):
    store.write(Diff(b"h1", {}), Block(1, 5, b"h1"), [])
    with pytest.raises(StoreError, match="block"):
        store.write(Diff(b"h2", {}), Block(height, 6, b"h2"), [])


def test_a_write_that_fails_leaves_nothing(store):
    block = Block(1, 5, b"h1", (b"tx0",), (Result(),))
    with pytest.raises(StoreError, match="the next start"):
        store.write(Diff(b"h1", {b"z": b"\x09"}), block, [(b"me", 7, 0), (b"me", 7, 0)])
    assert store.head() == (0, b"h0") and b"z" not in dict(store.rows()) and store.block(1) is None
    store.write(Diff(b"h1", {b"z": b"\x09"}), block, [(b"me", 7, 0)])


def test_a_number_is_used_up_once(store):
    store.write(Diff(b"h1", {}), Block(1, 5, b"h1", (b"t",), (Result(),)), [(b"me", 7, 0)])
    with pytest.raises(StoreError, match="UNIQUE"):
        store.write(Diff(b"h2", {}), Block(2, 6, b"h2", (b"t",), (Result(),)), [(b"me", 7, 0)])


@pytest.mark.parametrize("content", [b"no database at all" * 400, b"SQLite format 3\x00" + b"\xff" * 8000])
def test_a_file_that_is_none_of_ours(tmp_path, content):
    path = tmp_path / "chain.db"
    path.write_bytes(content)
    with pytest.raises(StoreError, match="restore"):
        Store(path)


def test_another_format(tmp_path, store):
    store.close()
    with sqlite3.connect(store.path) as db:
        db.execute("update meta set value=x'63' where name='format'")
    db.close()
    with pytest.raises(StoreError, match="format"):
        Store(store.path)


def test_a_backup_is_whole(tmp_path, store):
    store.write(Diff(b"h1", {b"c": b"\x03"}), Block(1, 5, b"h1"), [])
    store.backup(tmp_path / "copy.db")
    copy = Store(tmp_path / "copy.db")
    assert copy.head() == store.head() and list(copy.rows()) == list(store.rows()) and copy.block(1) == store.block(1)
    copy.close()
