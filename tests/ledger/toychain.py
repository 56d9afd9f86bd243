"""A chain small enough to reason about: accounts that pay each other, for tests of the app, the engines and the store.

The transactions are those of wire/chain/tx.py and really signed; only the contract is a toy.
"""

from functools import cache

from ledger.app import App, Contract, Refused
from ledger.signatures import SignatureChecker
from wire.chain import tx
from wire.chain.keys import PrivateKey

CHAIN = "toy"
PAY, ENROL, VALIDATOR = 1, 2, 3
START = 1_000
USERS = [PrivateKey.derive("toy", str(i)) for i in range(8)]
SALT = b"toy salt"


class Accounts:
    """`a/<id>` holds (next sequence, public key, balance)."""

    def key(self, state, tx):
        if tx.kind == ENROL:
            return tx.body[1]
        account = state.get(b"a/" + tx.account)
        if account is None:
            raise Refused("unknown-account")
        return account[1]

    def sequence(self, state, account):
        found = state.get(b"a/" + account)
        return 0 if found is None else found[0]

    def spend(self, ctx, tx):
        sequence, key, balance = ctx.state.get(b"a/" + tx.account) or (0, tx.body.get(1), 0)
        ctx.state.put(b"a/" + tx.account, (sequence + 1, key, balance))


def genesis(ctx, section):
    for user in USERS[:-1]:
        ctx.state.put(b"a/" + user.kid, (0, user.public_key, START))


def pay(ctx, tx):
    to, amount = tx.body[1], tx.body[2]
    sequence, key, balance = ctx.state.get(b"a/" + tx.account)
    ctx.state.put(b"a/" + tx.account, (sequence, key, balance - amount))
    ctx.emit("toy/paid", by=tx.account, to=to, amount=amount)
    other = ctx.state.get(b"a/" + to)
    ctx.require(other is not None, "unknown-account")  # late on purpose: what was written has to be undone
    ctx.require(balance >= amount, "insufficient")
    sequence, key, balance = ctx.state.get(b"a/" + to)
    ctx.state.put(b"a/" + to, (sequence, key, balance + amount))


def nothing_made_or_lost(state):
    assert sum(account[2] for _, account in state.scan(b"a/")) == START * (len(USERS) - 1)


TOY = Contract(
    "toy",
    handlers={
        PAY: pay,
        ENROL: lambda ctx, tx: None,
        VALIDATOR: lambda ctx, tx: ctx.set_validator(tx.body[1], tx.body[2]),
    },
    genesis=genesis,
    queries={"balance": lambda state, account: state.get(b"a/" + account)[2]},
    invariants=[nothing_made_or_lost],
)


@cache
def checker():
    return SignatureChecker(2)


def new_app(at_genesis=True, contracts=(TOY,)):
    app = App(CHAIN, contracts, Accounts(), checker())
    if at_genesis:
        app.genesis(SALT, {}, 0)
    return app


def signed(user, sequence, kind, body, chain=CHAIN):
    return tx.sign(USERS[user], chain, USERS[user].kid, sequence, kind, body)


@cache
def payment(frm, to, amount, sequence):
    return signed(frm, sequence, PAY, {1: USERS[to].kid, 2: amount})
