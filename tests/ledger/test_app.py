"""What every transaction passes, whatever its contract: order of checks, journal, numbers, snapshots, determinism."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.app import Block, Refused
from tests.ledger.toychain import ENROL, PAY, SALT, START, USERS, VALIDATOR, new_app, payment, signed
from wire import cbor
from wire.chain import proof
from wire.errors import WireError


def step(app, *txs, time_ns=1):
    applied = app.apply(Block(app.height + 1, time_ns, list(txs), b"p", b"h"))
    app.commit()
    assert app.app_hash == applied.app_hash
    return [r.reason for r in applied.results], applied


def balance(app, user):
    return app.query("balance", USERS[user].kid)


def test_a_payment_goes_through_once():
    app = new_app()
    assert app.check(payment(0, 1, 30, 0)).code == 0
    reasons, applied = step(app, payment(0, 1, 30, 0), payment(0, 1, 30, 0))
    assert reasons == ["", "sequence"]
    assert applied.results[0].events[0].kind == "toy/paid" and applied.results[1].events == ()
    assert (balance(app, 0), balance(app, 1)) == (START - 30, START + 30)
    assert app.check(payment(0, 1, 30, 0)).reason == "sequence"
    assert step(app, payment(0, 1, 30, 0))[0] == ["sequence"]


def test_a_refused_transaction_leaves_only_its_used_number():
    app = new_app()
    before = dict(app.state.rows())
    assert step(app, payment(0, 1, START + 1, 0))[0] == ["insufficient"]
    after = dict(app.state.rows())
    assert [k for k in after if after[k] != before[k]] == [b"a/" + USERS[0].kid]
    assert app.state.get(b"a/" + USERS[0].kid) == (1, USERS[0].public_key, START)
    assert step(app, payment(0, 1, START + 1, 0), payment(1, 0, 1, 0))[0] == ["sequence", ""], (
        "it cannot come back later"
    )


def bent(raw, at):
    return raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :]


REFUSED = {
    "bad-signature": bent(payment(0, 1, 5, 0), -2),
    "wrong-chain": signed(0, 0, PAY, {1: USERS[1].kid, 2: 5}, chain="other"),
    "unknown-kind": signed(0, 0, 99, {}),
    "unknown-account": signed(7, 0, PAY, {1: USERS[1].kid, 2: 5}),
    "sequence": payment(0, 1, 5, 1),
    "not-signed": b"\x00" * 200,
    "truncated": payment(0, 1, 5, 0)[:-1],
    "trailing": payment(0, 1, 5, 0) + b"\x00",
}


@pytest.mark.parametrize("reason", REFUSED)
def test_a_bad_transaction_in_a_block_is_refused_and_the_rest_stands(reason):
    app = new_app()
    assert step(app, payment(1, 2, 7, 0), REFUSED[reason], payment(2, 1, 7, 0))[0] == ["", reason, ""]
    app = new_app()
    before = app.app_hash
    assert step(app, REFUSED[reason])[0] == [reason] and app.app_hash == before
    if reason != "sequence":
        assert app.check(REFUSED[reason]).reason == reason


def test_an_account_may_act_in_the_block_that_enrols_it():
    app = new_app()
    enrol = signed(7, 0, ENROL, {1: USERS[7].public_key})
    assert step(app, enrol, payment(0, 7, 50, 0), payment(7, 1, 20, 1))[0] == ["", "", ""]
    assert balance(app, 7) == 30


def test_an_empty_block_leaves_the_app_hash():
    app = new_app()
    before = app.app_hash
    for _ in range(3):
        step(app)
    assert app.app_hash == before and app.height == 3


def test_apply_changes_nothing_until_commit():
    app = new_app()
    before = app.app_hash, balance(app, 0), app.prove(b"a/" + USERS[0].kid)
    one = app.apply(Block(1, 1, [payment(0, 1, 1, 0)]))
    assert (app.app_hash, balance(app, 0), app.prove(b"a/" + USERS[0].kid)) == before
    assert app.check(payment(0, 1, 2, 0)).code == 0
    two = app.apply(Block(1, 1, [payment(0, 1, 2, 0)]))
    assert one.app_hash != two.app_hash
    app.commit()
    assert app.app_hash == two.app_hash == two.diff.app_hash and balance(app, 1) == START + 2
    with pytest.raises(AssertionError):
        app.commit()


def test_validator_updates_of_refused_transactions_are_undone():
    app = new_app()
    _, applied = step(app, signed(0, 0, VALIDATOR, {1: bytes(32), 2: 5}), signed(1, 1, VALIDATOR, {1: b"x" * 32, 2: 5}))
    assert applied.validator_updates == [(bytes(32), 5)]


def test_values_are_provable_under_the_app_hash_at_recent_heights():
    app = new_app()
    key = b"a/" + USERS[1].kid
    hashes = [app.app_hash]
    for i in range(3):
        step(app, payment(0, 1, 10, i))
        hashes.append(app.app_hash)
    for height, app_hash in enumerate(hashes):
        data, shown = app.prove(key, height)
        assert cbor.decode(data)[2] == START + 10 * height
        proof.verify(app_hash, key, data, shown)
    with pytest.raises(Refused):
        app.prove(key, 9)


def test_a_snapshot_carries_on():
    app = new_app()
    step(app, payment(0, 1, 10, 0))
    chunks = list(app.snapshot(chunk_bytes=100))
    assert len(chunks) > 3
    other = new_app(at_genesis=False)
    other.restore(SALT, 1, app.app_hash, chunks)
    assert step(other, payment(0, 1, 1, 1))[1] == step(app, payment(0, 1, 1, 1))[1]


def test_a_bad_snapshot_changes_nothing():
    app = new_app()
    step(app, payment(0, 1, 10, 0))
    chunks = list(app.snapshot(chunk_bytes=100))
    other = new_app()
    before = other.app_hash
    row = cbor.decode(chunks[1])[0]
    for bad in (
        chunks[:-2],
        chunks[::-1],
        [chunks[0], *chunks],
        [cbor.encode({}), *chunks],
        [cbor.encode([[b"k"]])],
        [chunks[0], cbor.encode([[row[0], b"\x00"]]), *chunks[2:]],
        [],
    ):
        with pytest.raises(WireError):
            other.restore(SALT, 1, app.app_hash, bad)
    with pytest.raises(WireError):
        other.restore(b"other salt", 1, app.app_hash, chunks)
    assert other.app_hash == before and other.height == 0


def test_genesis_refuses_a_section_that_no_contract_reads():
    app = new_app(at_genesis=False)
    with pytest.raises(WireError):
        app.genesis(SALT, {"unheard of": 1}, 0)


TXS = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 7), st.integers(0, 600)), max_size=25)


@given(TXS, st.data())
@settings(max_examples=25, deadline=None)
def test_the_same_blocks_give_the_same_hashes_warm_or_cold(moves, data):
    """One app saw every transaction before (checked, cached), the other sees them first in the block."""
    warm, cold = new_app(), new_app()
    sequences = dict.fromkeys(range(8), 0)
    txs = []
    for frm, to, amount in moves:
        txs.append(payment(frm, to, amount, sequences[frm]))
        sequences[frm] += 1
    cuts = sorted(data.draw(st.lists(st.integers(0, len(txs)), max_size=4)))
    for start, end in zip([0, *cuts], [*cuts, len(txs)], strict=True):
        warm.check_many(txs)
        assert step(warm, *txs[start:end]) == step(cold, *txs[start:end])
    paid = sum(warm.query("balance", u.kid) for u in USERS[:-1])
    assert paid == START * 7
