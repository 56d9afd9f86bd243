"""Tokens and allowances: what opens the door, and how long."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.access import CHALLENGE_S, OPEN_MAX, TOKEN_S, Door, Limits, Meter, network
from wire import cbor, envelope
from wire.chain import rest
from wire.chain.keys import PrivateKey
from wire.errors import WireError

ANN, EVE = PrivateKey.derive("door", "ann"), PrivateKey.derive("door", "eve")
NONCE = b"n" * 32
MEMBERS = {("money", ANN.kid): ANN.public_key, ("energy", ANN.kid): ANN.public_key, ("energy", EVE.kid): EVE.public_key}


def door(members=MEMBERS):
    return Door(lambda chain, account: members.get((chain, account)))


def wish(who=ANN, chain="money", account=None, nonce=NONCE):
    return rest.wish_to_read(who, chain, account or who.kid, nonce)


def entered(one, now_s=100):
    one.challenge("money", ANN.kid, NONCE, now_s)
    return one.answer("money", wish(), "token", now_s)


def test_a_member_reads_until_its_token_is_over():
    one = door()
    assert entered(one).until_s == 100 + TOKEN_S
    assert one.reader("money", "token", 100 + TOKEN_S) == ANN.kid
    assert one.reader("money", "token", 101 + TOKEN_S) is None


def test_a_token_is_for_one_chain():
    one = door()
    entered(one)
    assert one.reader("energy", "token", 100) is None


def test_who_is_barred_reads_no_more():
    members = dict(MEMBERS)
    one = door(members)
    entered(one)
    del members["money", ANN.kid]
    assert one.reader("money", "token", 100) is None


@pytest.mark.parametrize(
    ("raw", "late_s"),
    [
        (wish(nonce=b"m" * 32), 0),  # never given
        (wish(), CHALLENGE_S + 1),  # too late
        (wish(chain="energy"), 0),  # for another chain
        (wish(EVE, account=ANN.kid), 0),  # another's signature
        (wish(EVE), 0),  # another's nonce, and no member
        (envelope.sign(ANN, "tallygrid/tx/1", cbor.encode({1: "money", 2: ANN.kid, 3: NONCE})), 0),  # another domain
        (b"", 0),
        (b"\xd2\x84", 0),
    ],
)
def test_what_does_not_open(raw, late_s):
    one = door()
    one.challenge("money", ANN.kid, NONCE, 100)
    with pytest.raises(WireError):
        one.answer("money", raw, "token", 100 + late_s)
    assert not one.tokens


def test_a_nonce_is_used_up_by_the_first_try():
    one = door()
    entered(one)
    with pytest.raises(WireError):
        one.answer("money", wish(), "again", 100)


def test_a_nonce_of_another_account_does_not_open():
    one = door()
    one.challenge("energy", EVE.kid, NONCE, 100)
    with pytest.raises(WireError):
        one.answer("energy", wish(chain="energy"), "token", 100)


def test_a_flood_of_questions_takes_no_more_room():
    one = door()
    for number in range(OPEN_MAX + 10):
        one.challenge("money", ANN.kid, number.to_bytes(32, "big"), 100)
    assert len(one.nonces) == OPEN_MAX


# ---- allowances -----------------------------------------------------------------------------------------------------

LIMITS = Limits(requests_per_s=5, txs_per_s=100, burst_s=2)


def test_a_peer_gets_its_burst_and_then_its_rate():
    meter = Meter(LIMITS)
    assert [meter.take("10.0.0.1", 0, 0.0) for _ in range(10)] == [0.0] * 10
    wait_s = meter.take("10.0.0.1", 0, 0.0)
    assert wait_s == pytest.approx(0.2)
    assert meter.take("10.0.0.2", 0, 0.0) == 0.0
    assert meter.take("10.0.0.1", 0, wait_s) == 0.0


def test_a_batch_larger_than_the_burst_passes_once_all_of_it_is_free():
    meter = Meter(LIMITS)
    assert meter.take("p", 2_000, 0.0) == 0.0
    assert meter.take("p", 1, 0.0) > 15


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 50)), max_size=60))
def test_nobody_gets_more_than_burst_and_rate(asked):
    meter, now_s, got = Meter(LIMITS), 0.0, 0
    for pause_s, txs in asked:
        now_s += pause_s
        if meter.take("p", txs, now_s) == 0.0:
            got += txs
    assert got <= LIMITS.txs_per_s * (LIMITS.burst_s + now_s)


def test_an_ipv6_host_is_one_peer_whatever_its_address():
    assert network("2001:db8::1") == network("2001:db8::ffff:2")
    assert network("2001:db8:0:1::1") != network("2001:db8::1")
    assert network("::ffff:10.0.0.1") == "10.0.0.1"
