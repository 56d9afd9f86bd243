"""Accounts, roles and parameters: who gets on a chain, changes a key, gets one back, sets a number."""

from __future__ import annotations

import pytest

from ledger.contracts import accounts
from tests.ledger.sisters import World, key, kid
from wire import envelope
from wire.chain import kinds, tx
from wire.chain.kinds import ROLES, AccountEnrolment

DAY = 86_400


@pytest.fixture
def world() -> World:
    roles = {"EC": "company", "registrar": "registrar", "ann": "user", "ben": "user", "relay": "relay"}
    return World({"ann": 100}, {"ann": 100}, roles=roles, parameters={"recover_s": 7 * DAY})


def word(name: str, chain: str, role: str = "user", of: str | None = None, signer: str | None = None) -> bytes:
    body = AccountEnrolment(
        chain=chain, id=kid(of or name), public_key=key(name).public_key, name=name, role=ROLES.index(role)
    )
    return envelope.sign(key(signer or name), AccountEnrolment.DOMAIN, body.encode())


def test_an_account_needs_its_own_word_and_an_approval(world: World) -> None:
    chain = world.transaction
    assert chain.no("ben", kinds.Enrol(enrolment=word("new", chain.id))) == "not-allowed"
    assert chain.no("EC", kinds.Enrol(enrolment=word("new", chain.id, signer="EC"))) == "unknown-key"
    assert chain.no("EC", kinds.Enrol(enrolment=word("new", world.schedule.id))) == "wrong-chain"
    assert chain.no("EC", kinds.Enrol(enrolment=word("new", chain.id, of="ann"))) == "wrong-id"
    for role in "company", "registrar", "dispatch":
        assert chain.no("EC", kinds.Enrol(enrolment=word("new", chain.id, role))) == "not-allowed"
    chain.ok("EC", kinds.Enrol(enrolment=word("new", chain.id)))
    chain.ok("ann", kinds.Pay(to=kid("new"), amount=40, message=None))
    chain.ok("new", kinds.Pay(to=kid("ann"), amount=1, message="thanks"))
    assert chain.no("EC", kinds.Enrol(enrolment=word("new", chain.id))) == "known-kid"
    assert chain.balance("new") == 39


def test_a_key_changes_under_the_old_one_and_never_comes_back(world: World) -> None:
    chain = world.transaction
    assert chain.no("ben", kinds.Rotate(enrolment=word("ann 2", chain.id, of="ann"))) == "wrong-id"
    assert chain.no("ann", kinds.Rotate(enrolment=word("ben", chain.id, of="ann"))) == "known-kid"
    chain.ok("ann", kinds.Rotate(enrolment=word("ann 2", chain.id, of="ann")))
    pay = kinds.Pay(to=kid("ben"), amount=1, message=None)
    assert chain.send("ann", pay).reason == "unknown-key"
    assert not chain.make(chain.sign("ann 2", pay, account=kid("ann")))[0].reason
    back = chain.sign("ann 2", kinds.Rotate(enrolment=word("ann", chain.id, of="ann")), account=kid("ann"))
    assert chain.make(back)[0].reason == "known-kid"


def test_a_lost_key_is_replaced_unless_the_old_one_objects(world: World) -> None:
    chain = world.transaction
    lost = kinds.Recover(enrolment=word("ann 2", chain.id, of="ann"))
    assert chain.no("ben", lost) == "not-allowed"
    chain.ok("registrar", lost)
    assert chain.no("ben", kinds.Complete(account=kid("ann"))) == "too-early"
    chain.ok("ann", kinds.Object())
    world.pass_s(8 * DAY)
    assert chain.no("ben", kinds.Complete(account=kid("ann"))) == "no-recovery"
    chain.ok("registrar", lost)
    world.pass_s(7 * DAY - 1)
    assert chain.no("ben", kinds.Complete(account=kid("ann"))) == "too-early"
    world.pass_s(1)
    chain.ok("ben", kinds.Complete(account=kid("ann")))
    pay = kinds.Pay(to=kid("ben"), amount=100, message=None)
    assert chain.send("ann", pay).reason == "unknown-key"
    assert not chain.make(chain.sign("ann 2", pay, account=kid("ann")))[0].reason
    assert (chain.balance("ann"), chain.balance("ben")) == (0, 100)


def test_a_barred_account_sends_nothing(world: World) -> None:
    chain = world.transaction
    assert chain.no("EC", kinds.Bar(account=kid("registrar"), barred=1)) == "not-allowed"
    chain.ok("EC", kinds.Bar(account=kid("ann"), barred=1))
    assert chain.send("ann", kinds.Pay(to=kid("ben"), amount=1, message=None)).reason == "barred"
    chain.ok("EC", kinds.Bar(account=kid("ann"), barred=0))
    chain.ok("ann", kinds.Pay(to=kid("ben"), amount=1, message=None))


def test_a_refused_transaction_uses_its_number_up(world: World) -> None:
    chain = world.transaction
    raw = chain.sign("ann", kinds.Pay(to=kid("ben"), amount=1_000, message=None))
    assert [one.reason for one in chain.make(raw)] == ["insufficient"]
    chain.ok("EC", kinds.Bar(account=kid("relay"), barred=1))
    assert [one.reason for one in chain.make(raw, raw)] == ["sequence", "sequence"]


def test_a_second_signature_is_the_same_transaction(world: World) -> None:
    chain = world.transaction
    body = kinds.Pay(to=kid("ben"), amount=10, message=None)
    first = chain.sign("ann", body)
    low_or_high = bytearray(first)
    half = int.from_bytes(first[-32:], "big")
    low_or_high[-32:] = (0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551 - half).to_bytes(32, "big")
    assert [one.reason for one in chain.make(first, bytes(low_or_high))] == ["", "sequence"]
    assert chain.balance("ben") == 10


def test_another_chains_transaction_is_refused(world: World) -> None:
    body = kinds.Pay(to=kid("ben"), amount=10, message=None)
    raw = tx.sign(key("ann"), world.transaction.id, kid("ann"), 0, body.NUMBER, body.to_map())
    assert world.schedule.make(raw)[0].reason == "wrong-chain"


@pytest.mark.parametrize("amount", [0, 101])
def test_amounts(world: World, amount: int) -> None:
    reason = world.transaction.no("ann", kinds.Pay(to=kid("ben"), amount=amount, message=None))
    assert reason == ("insufficient" if amount else "bad-amount")
    assert world.transaction.no("ann", kinds.Pay(to=bytes(8), amount=1, message=None)) == "unknown-account"


def test_parameters_change_by_transaction_within_their_bounds(world: World) -> None:
    chain = world.schedule
    assert chain.no("ann", kinds.SetParameter(name="k", value=5)) == "not-allowed"
    assert chain.no("EC", kinds.SetParameter(name="k", value=0)) == "out-of-range"
    assert chain.no("EC", kinds.SetParameter(name="unit_wh", value=10)) == "fixed"
    assert chain.no("EC", kinds.SetParameter(name="weather", value=1)) == "unknown-parameter"
    assert world.transaction.no("EC", kinds.SetParameter(name="k", value=5)) == "unknown-parameter"
    chain.ok("EC", kinds.SetParameter(name="k", value=5))
    assert chain.app.query("parameters")["k"] == 5


def test_nobody_signs_for_an_account_without_a_key() -> None:
    assert accounts.role_of(World({}, {}).transaction.app.state, kid("ann")) is None
