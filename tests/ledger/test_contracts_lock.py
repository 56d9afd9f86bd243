"""The lock: value crosses once, in both directions, or comes back; what bridges were robbed with is refused."""

from __future__ import annotations

from typing import Any

import pytest

from ledger.app import Refused
from ledger.contracts import clients, lock
from ledger.light import LightBlock
from tests.ledger.sisters import NS, START_S, Chain, World, key, kid, validator
from wire import cbor
from wire.chain import header as comet
from wire.chain import kinds, proof
from wire.chain.header import BlockID, Commit, CommitSig, Header, Validator

ROLES = {"EC": "company", "ann": "user", "ben": "user", "relay": "relay", "second": "relay", "state": "regulator"}
SOON = START_S + 1_000


def make_world(**more: Any) -> World:
    return World({"ann": 1_000, "EC": 1_000}, {"ann": 500, "EC": 1_000}, roles=ROLES, **more)


@pytest.fixture
def world() -> World:
    return make_world()


def purses(world: World) -> tuple[int, int]:
    return world.transaction.balance("ann"), world.schedule.balance("ann")


def lock_some(chain: Chain, amount: int = 100, who: str = "ann", deadline_s: int = SOON) -> int:
    chain.ok(who, kinds.Lock(to=kid(who), amount=amount, deadline_s=deadline_s))
    return int(chain.app.query("lock")["locks"]) - 1


def the_proof(source: Chain, name: bytes) -> list[Any]:
    return source.proof(name, source.height())


@pytest.mark.parametrize("way", ["transaction", "schedule"])
def test_there(world: World, way: str) -> None:
    source: Chain = getattr(world, way)
    before = purses(world)
    number = lock_some(source)
    assert not world.unlock(source, number).reason
    moved = (-100, 100) if way == "transaction" else (100, -100)
    assert purses(world) == (before[0] + moved[0], before[1] + moved[1])
    assert not world.acknowledge(source, number).reason
    assert source.app.query("lock")["under_way"] == []
    assert source.app.query("lock")["pending"] == 0


def test_a_purchase_is_the_companys_in_both_records(world: World) -> None:
    world.transaction.ok("ann", kinds.Purchase(company=kid("EC"), to=kid("ann"), amount=73, deadline_s=SOON))
    world.unlock(world.transaction, 0)
    rows = [world.transaction.app.query("record"), world.schedule.app.query("record")]
    assert [[(row["from"], row["to"], row["amount"]) for row in row_list] for row_list in rows] == [
        [("ann", "EC", 73)],
        [("EC", "ann", 73)],
    ]
    assert world.transaction.balance("EC") == 1_000
    wrong = kinds.Purchase(company=kid("ben"), to=kid("ann"), amount=73, deadline_s=SOON)
    assert world.transaction.no("ann", wrong) == "wrong-role"


def test_taken_up_once(world: World) -> None:
    number = lock_some(world.transaction)
    assert not world.unlock(world.transaction, number).reason
    assert world.unlock(world.transaction, number, by="second").reason == "already"
    proof_of = the_proof(world.transaction, lock.LOCKS.key(number))
    world.show_header(world.transaction, world.schedule, proof_of[0])
    again = kinds.Unlock(lock=number, proof=proof_of)
    two = [world.schedule.sign("relay", again), world.schedule.sign("second", again)]
    assert [one.reason for one in world.schedule.make(*two)] == ["already", "already"]
    assert world.schedule.balance("ann") == 600


def test_two_relayers_in_one_block(world: World) -> None:
    number = lock_some(world.transaction)
    height = world.show_header(world.transaction, world.schedule)
    body = kinds.Unlock(lock=number, proof=world.transaction.proof(lock.LOCKS.key(number), height))
    two = [world.schedule.sign("relay", body), world.schedule.sign("second", body)]
    assert [one.reason for one in world.schedule.make(*two)] == ["", "already"]


def test_refund_or_unlock_but_never_both(world: World) -> None:
    number = lock_some(world.transaction, deadline_s=START_S + 10)
    assert world.refund(world.transaction, number).reason == "too-early"
    world.pass_s(10)
    assert world.unlock(world.transaction, number).reason == "too-late"
    assert not world.refund(world.transaction, number).reason
    assert world.refund(world.transaction, number, by="second").reason == "unknown-lock"
    assert purses(world) == (1_000, 500)
    assert world.transaction.app.query("lock")["circulation"] == 2_000


def test_taken_up_in_the_last_second_is_not_refunded(world: World) -> None:
    number = lock_some(world.transaction, deadline_s=START_S + 10)
    world.pass_s(9)
    assert not world.unlock(world.transaction, number).reason
    world.pass_s(1)
    height = world.show_header(world.schedule, world.transaction)
    _, value, with_it = world.schedule.proof(lock.RECEIPTS.key(number), height)
    assert value is not None
    assert world.transaction.no("relay", kinds.Refund(lock=number, height=height, proof=with_it)) == "bad-proof"
    assert purses(world) == (900, 600)


def test_a_header_before_the_deadline_proves_no_absence(world: World) -> None:
    number = lock_some(world.transaction, deadline_s=START_S + 10)
    early = world.show_header(world.schedule, world.transaction)
    absent = world.schedule.proof(lock.RECEIPTS.key(number), early)[2]
    world.pass_s(5)
    assert not world.unlock(world.transaction, number).reason
    world.pass_s(5)
    body = kinds.Refund(lock=number, height=early, proof=absent)
    assert world.transaction.no("relay", body) == "too-early"


def test_confirmations_are_counted_there_and_back() -> None:
    world = make_world(parameters={"confirmations": 6})
    source, target = world.transaction, world.schedule
    number = lock_some(source)
    at = source.height()
    for above in range(1, 7):
        height = world.show_header(source, target)
        body = kinds.Unlock(lock=number, proof=source.proof(lock.LOCKS.key(number), height))
        reason = target.send("relay", body).reason
        assert reason == ("" if height == at + 6 else "unconfirmed"), above
    at = target.height()
    for above in range(1, 7):
        height = world.show_header(target, source)
        acknowledge = kinds.Acknowledge(lock=number, proof=target.proof(lock.RECEIPTS.key(number), height))
        assert source.send("relay", acknowledge).reason == ("" if height == at + 6 else "unconfirmed"), above


def test_rates_and_remainders() -> None:
    world = make_world(rate=(3, 2), token_pool=9_000, right_pool=9_000)  # 3 mT are 2 Wh
    assert world.transaction.no("ann", kinds.Lock(to=kid("ann"), amount=100, deadline_s=SOON)) == "remainder"
    number = lock_some(world.transaction, 300)
    assert not world.unlock(world.transaction, number).reason
    assert purses(world) == (700, 700)
    assert world.schedule.no("ann", kinds.Lock(to=kid("ann"), amount=101, deadline_s=SOON)) == "remainder"
    number = lock_some(world.schedule, 200)
    assert not world.unlock(world.schedule, number).reason
    assert purses(world) == (1_000, 500)


def test_another_rate_is_refused_and_refunded() -> None:
    world = make_world(token_pool=9_000, right_pool=9_000)
    number = lock_some(world.transaction, deadline_s=START_S + 10)
    row = lock.totals(world.schedule.app.state)
    world.schedule.app.state.adopt(
        world.schedule.app.state.stage({lock.TOTALS.key(b""): row._replace(rate_mt=2)}), world.schedule.height()
    )
    assert world.unlock(world.transaction, number).reason == "other-rate"
    world.pass_s(10)
    assert not world.refund(world.transaction, number).reason
    assert purses(world) == (1_000, 500)


def test_the_pool_gives_no_more_than_it_has() -> None:
    """Fault containment: whatever the sister says, it takes out what was put in, and no more."""
    world = make_world(right_pool=50)
    number = lock_some(world.transaction)
    assert world.unlock(world.transaction, number).reason == "insufficient"
    world.pass_s(1_000)
    assert not world.refund(world.transaction, number).reason


def test_a_stranger_over_there_is_refunded(world: World) -> None:
    world.transaction.ok("ann", kinds.Lock(to=bytes(8), amount=5, deadline_s=START_S + 10))
    assert world.unlock(world.transaction, 0).reason == "unknown-account"
    world.pass_s(10)
    assert not world.refund(world.transaction, 0).reason


def test_an_open_deadline_is_no_deadline(world: World) -> None:
    assert world.transaction.no("ann", kinds.Lock(to=kid("ann"), amount=5, deadline_s=START_S)) == "too-late"


# ---- what bridges were robbed with -----------------------------------------------------------------------------------


def forged(world: World, number: int, **changes: Any) -> tuple[list[Any], int]:
    """A proof for `unlock`, with one thing changed."""
    height = world.show_header(world.transaction, world.schedule)
    under, value, raw = world.transaction.proof(lock.LOCKS.key(number), height)
    cells = lock.Record(*cbor.decode(value))  # type: ignore[misc]
    if "record" in changes:
        value = cbor.encode(list(cells._replace(**changes["record"])))
    return [changes.get("height", under), changes.get("value", value), changes.get("proof", raw)], number


FORGERIES: dict[str, tuple[dict[str, Any], str]] = {
    "more value": ({"record": {"credit": 10_000}}, "bad-proof"),
    "another owner": ({"record": {"to": b"thief..."}}, "bad-proof"),
    "a later deadline": ({"record": {"deadline_s": SOON + 1}}, "bad-proof"),
    "no proof at all": ({"proof": proof.StateProof(()).encode()}, "bad-proof"),
    "an empty message": ({"proof": b"\xa0"}, "bad-proof"),
    "proof of absence": ({"proof": proof.StateProof((), other=(bytes(32), bytes(32))).encode()}, "bad-proof"),
    "a root of zeros": ({"proof": proof.StateProof((bytes(32),), blind=bytes(32)).encode()}, "bad-proof"),
    "height 0": ({"height": 0}, "bad-root"),
    "a header nobody showed": ({"height": 99}, "unknown-header"),
    "an empty value": ({"value": b"\xf6"}, "bad-proof"),
}


@pytest.mark.parametrize("name", FORGERIES)
def test_forged_proofs(world: World, name: str) -> None:
    changes, reason = FORGERIES[name]
    number = lock_some(world.transaction)
    body, number = forged(world, number, **changes)
    assert world.schedule.no("relay", kinds.Unlock(lock=number, proof=body)) == reason
    assert world.schedule.balance("ann") == 500
    assert not world.unlock(world.transaction, number).reason, "the true one still works"


def test_every_bit_of_a_proof_counts(world: World) -> None:
    number = lock_some(world.transaction)
    (height, value, raw), _ = forged(world, number)
    refused = 0
    for at in range(0, len(raw) * 8, 7):
        twisted = bytearray(raw)
        twisted[at >> 3] ^= 1 << (at & 7)
        reason = world.schedule.send("relay", kinds.Unlock(lock=number, proof=[height, value, bytes(twisted)])).reason
        assert reason, f"bit {at} does not count"
        refused += 1
    assert refused > 50 and world.schedule.balance("ann") == 500


def test_a_proof_of_another_lock(world: World) -> None:
    first, second = lock_some(world.transaction, 1), lock_some(world.transaction, 100)
    body, _ = forged(world, second)
    assert world.schedule.no("relay", kinds.Unlock(lock=first, proof=body)) == "bad-proof"


def test_a_refused_lock_leaves_nothing_to_prove(world: World) -> None:
    """The proof of a failed transaction: it is in a block, and no record of it is in the state."""
    assert world.transaction.no("ann", kinds.Lock(to=kid("ann"), amount=9_999, deadline_s=SOON)) == "insufficient"
    height = world.show_header(world.transaction, world.schedule)
    _, value, raw = world.transaction.proof(lock.LOCKS.key(0), height)
    assert value is None
    assert world.schedule.no("relay", kinds.Unlock(lock=0, proof=[height, b"\x80", raw])) == "bad-proof"


def test_other_state_is_no_lock_record(world: World) -> None:
    """Only the key of that lock counts: the same bytes under another key are refused."""
    lock_some(world.transaction)
    height = world.show_header(world.transaction, world.schedule)
    body = world.transaction.proof(lock.TOTALS.key(b""), height)
    assert world.schedule.no("relay", kinds.Unlock(lock=0, proof=body)) == "bad-proof"


def test_a_proof_of_the_other_chain_itself(world: World) -> None:
    """Chain and direction swapped: a lock of the schedule chain shown to the schedule chain."""
    number = lock_some(world.schedule)
    world.schedule.make()
    body = world.schedule.proof(lock.LOCKS.key(number), world.schedule.height())
    world.show_header(world.transaction, world.schedule)
    assert world.schedule.send("relay", kinds.Unlock(lock=number, proof=body)).reason in ("bad-proof", "unknown-header")


# ---- headers ---------------------------------------------------------------------------------------------------------


def known(world: World, chain: Chain) -> list[int]:
    """The heights of its headers that the sister keeps."""
    rows = world.other(chain).app.query("clients")
    return list(next(row["heights"] for row in rows if row["chain"] == chain.id))


def light_block(world: World, sort: str = "transaction", **changes: Any) -> LightBlock:
    """A header on the newest of a chain, signed by `by` instead of its validator where a test says so."""
    chain: Chain = getattr(world, sort)
    chain.make()
    block = chain.light(chain.height(), max(known(world, chain)))
    header: Header = block.header._replace(**changes.get("header", {}))
    signer = changes.get("signer", validator(sort))
    public = signer.public_key().public_bytes_raw()
    if changes.get("own_set"):
        one = (Validator(public, 1),)
        header = header._replace(validators_hash=comet.validators_hash(one))
        block = block._replace(validators=one)
    block_id = BlockID(header.hash(), 1, bytes(32))
    commit = Commit(header.height, 0, block_id, ())
    vote = CommitSig(changes.get("flag", comet.COMMIT), comet.address_of(public), header.time_ns)
    vote = vote._replace(signature=signer.sign(commit.sign_bytes(changes.get("chain", chain.id), vote)))
    return block._replace(header=header, commit=commit._replace(signatures=(vote,)))


HEADERS: dict[str, tuple[dict[str, Any], str | None]] = {
    "another chain's id": ({"header": {"chain_id": "test-main"}}, "wrong-chain"),
    "a vote on another chain": ({"chain": "test-main"}, "bad-signature"),
    "validators from the message": ({"own_set": True}, "bad-validators"),
    "nobody signed": ({"flag": comet.NIL}, "no-quorum"),
    "from the future": ({"header": {"time_ns": (START_S + 60) * NS}}, "future"),
    "an app_hash of its own": ({"header": {"app_hash": bytes(32)}}, None),
}


@pytest.mark.parametrize("name", HEADERS)
def test_headers(world: World, name: str) -> None:
    changes, reason = HEADERS[name]
    if "own_set" in changes:
        changes = {**changes, "signer": validator("main")}
    block = light_block(world, **changes)
    body = kinds.Header(chain=world.transaction.id, block=block.encode())
    result = world.schedule.send("relay", body)
    assert result.reason == (reason or ""), "a validator's own signature is believed; the next test says how long"


def test_conflicting_headers_freeze_the_client_and_everything_behind_it(world: World) -> None:
    source, target = world.transaction, world.schedule
    number = lock_some(source, deadline_s=START_S + 100)
    false = light_block(world, header={"app_hash": bytes(31) + b"\x01"})
    target.ok("relay", kinds.Header(chain=source.id, block=false.encode()))
    true = source.light(source.height(), 0)
    events = target.ok("relay", kinds.Header(chain=source.id, block=true.encode()))
    assert [event.kind for event in events] == ["clients/frozen"]
    frozen = source.proof(lock.LOCKS.key(number), source.height())
    assert target.no("relay", kinds.Unlock(lock=number, proof=frozen)) == "frozen"
    back = lock_some(target)
    assert target.no("relay", kinds.Header(chain=source.id, block=true.encode())) == "frozen"
    assert target.no("relay", kinds.Refund(lock=back, height=1, proof=b"\xa1\x01\x80")) == "frozen"

    body = kinds.Thaw(chain=source.id, block=true.encode())
    assert target.no("ann", body) == "not-allowed"
    target.ok("EC", body)
    assert target.app.query("clients")[0]["frozen"] or target.app.query("clients")[1]["frozen"]
    target.ok("EC", body)  # the same hand twice is one hand
    events = target.ok("state", body)
    assert [event.kind for event in events] == ["clients/thawed"]
    assert not world.unlock(source, number).reason


def test_time_against_height_freezes_too(world: World) -> None:
    first = light_block(world)
    world.schedule.ok("relay", kinds.Header(chain=world.transaction.id, block=first.encode()))
    back = light_block(world, header={"time_ns": first.header.time_ns - 1})
    events = world.schedule.ok("relay", kinds.Header(chain=world.transaction.id, block=back.encode()))
    assert [event.kind for event in events] == ["clients/frozen"]


def test_an_expired_client_proves_nothing() -> None:
    world = make_world(parameters={"trusting_s": 100})
    number = lock_some(world.transaction, deadline_s=START_S + 10_000)
    height = world.show_header(world.transaction, world.schedule)
    world.pass_s(101)
    body = kinds.Unlock(lock=number, proof=world.transaction.proof(lock.LOCKS.key(number), height))
    assert world.schedule.no("relay", body) == "expired"
    world.transaction.make()
    late = world.transaction.light(world.transaction.height(), height)
    assert world.schedule.no("relay", kinds.Header(chain=world.transaction.id, block=late.encode())) == "expired"


def test_old_headers_are_let_go_and_a_known_one_is_told_so() -> None:
    world = make_world(parameters={"headers_kept": 3})
    for _ in range(5):
        world.show_header(world.transaction, world.schedule)
    assert known(world, world.transaction) == [3, 4, 5]
    with pytest.raises(Refused, match="unknown-header"):
        clients.trusted(world.schedule.app.state, world.transaction.id, 2)
    block = world.transaction.light(5, 4).encode()
    assert world.schedule.no("relay", kinds.Header(chain=world.transaction.id, block=block)) == "known-header"


def test_a_header_between_two_known_ones(world: World) -> None:
    for _ in range(3):
        world.transaction.make()
    world.show_header(world.transaction, world.schedule, 3)
    world.show_header(world.transaction, world.schedule, 2)
    assert known(world, world.transaction) == [0, 2, 3]


# ---- a change of rate ------------------------------------------------------------------------------------------------


def reopen(world: World, chain: Chain, rate: tuple[int, int], top_up: int) -> str:
    other = world.other(chain)
    height = world.show_header(other, chain)
    body = kinds.ReopenLock(
        rate_mt=rate[0], rate_wh=rate[1], top_up=top_up, proof=other.proof(lock.TOTALS.key(b""), height)
    )
    return chain.send("EC", body).reason


def test_the_rate_changes_when_nothing_is_under_way(world: World) -> None:
    source, target = world.transaction, world.schedule
    number = lock_some(source, 100)
    assert source.no("ann", kinds.CloseLock()) == "not-allowed"
    for chain in source, target:
        chain.ok("EC", kinds.CloseLock())
    assert source.no("ann", kinds.Lock(to=kid("ann"), amount=1, deadline_s=SOON)) == "lock-closed"
    assert reopen(world, source, (2, 1), 0) == "pending"
    assert reopen(world, target, (2, 1), 0) == "pending"
    assert not world.unlock(source, number).reason, "what was under way still arrives, at its own rate"
    assert not world.acknowledge(source, number).reason
    # 1,600 rights circulate; at 2 mT each the token pool of 1,600 lacks as much again: more than the company has.
    assert reopen(world, source, (2, 1), 0) == "top-up"
    assert reopen(world, source, (2, 1), 1_600) == "insufficient"
    assert reopen(world, source, (3, 2), 800) == ""
    assert reopen(world, target, (3, 2), 0) == ""
    assert world.transaction.balance("EC") == 200
    assert source.no("ann", kinds.Lock(to=kid("ann"), amount=100, deadline_s=SOON)) == "remainder"
    number = lock_some(source, 300)
    assert not world.unlock(source, number).reason
    assert purses(world) == (600, 800)
    assert reopen(world, source, (1, 1), 0) == "lock-open"


def test_both_sides_close_before_one_reopens(world: World) -> None:
    world.transaction.ok("EC", kinds.CloseLock())
    assert reopen(world, world.transaction, (2, 1), 1_500) == "sister-open"
    assert world.transaction.no("EC", kinds.CloseLock()) == "lock-closed"


def test_the_totals_of_an_earlier_closing_do_not_count(world: World) -> None:
    both = world.transaction, world.schedule
    for chain in both:
        chain.ok("EC", kinds.CloseLock())
    old_height = world.show_header(world.schedule, world.transaction)
    old = world.schedule.proof(lock.TOTALS.key(b""), old_height)
    for chain in both:
        assert reopen(world, chain, (1, 1), 0) == ""
    lock_some(world.schedule, 100)
    assert not world.unlock(world.schedule, 0).reason
    assert not world.acknowledge(world.schedule, 0).reason
    world.transaction.ok("EC", kinds.CloseLock())
    stale = kinds.ReopenLock(rate_mt=1, rate_wh=1, top_up=0, proof=old)
    assert world.transaction.no("EC", stale) == "sister-open"


def test_a_purse_of_its_own_for_every_lock(world: World) -> None:
    lock_some(world.transaction, 10)
    lock_some(world.transaction, 20)
    rows = world.transaction.app.query("lock")["under_way"]
    assert len({row["purse"] for row in rows}) == 2
    assert [world.transaction.balance(bytes.fromhex(row["purse"])) for row in rows] == [10, 20]
    assert key("ann").kid not in [bytes.fromhex(row["purse"]) for row in rows]
