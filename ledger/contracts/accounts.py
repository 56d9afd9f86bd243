"""Accounts and roles: who may read a chain and sign for what.

Owns: accounts, their roles and keys, their numbers, the recovery of a lost key.
Refuses: keys known already, words for another chain, roles that only a genesis may give.

Rules:
- An account is opened at genesis, by an enrolment that its own key signed and a company or registrar approved, or by a
  registry entry (stations, gateways: contracts/registry.py). Its id is that of its first key, for life.
- `kid` names the key in use; a key that any account here ever had is refused as anybody's next one.
- The account changes its key under the old one. Who lost it gets it back through a company or registrar: a signed
  re-enrolment, then a waiting time in which the old key can object; then anyone may complete it.
- A barred account sends nothing. A company or registrar bars and unbars, but never one of its own kind.
- Numbers count 0, 1, 2 … for each account; one is used up even where the transaction is refused.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from ledger.app import Context, Contract, Refused
from ledger.contracts import parameters, signed
from ledger.contracts.shelf import Counter, Shelf, on
from ledger.state import Reader
from wire.chain import kinds
from wire.chain.kinds import ROLES
from wire.chain.tx import SignedTx
from wire.ids import id_bytes, id_text, kid_of

COMPANY, USER, STATION, REGULATOR, AUDITOR, GATEWAY, RELAY, REGISTRAR, DISPATCH = range(len(ROLES.names))
GOVERNORS = (COMPANY, REGISTRAR)


class Account(NamedTuple):
    name: str
    role: int
    public_key: bytes
    barred: int
    opened: int  # height


class Recovery(NamedTuple):
    public_key: bytes
    ready_s: int


ACCOUNTS = Shelf("account", Account)
RECOVERIES = Shelf("recovery", Recovery)


def _whose(account: bytes) -> tuple[bytes]:
    return (account,)


KIDS = Shelf("kid", _whose)  # every key that an account has or had


def open_account(ctx: Context, name: str, role: int, public_key: bytes) -> bytes:
    account = kid_of(public_key)
    _claim_kid(ctx, account, account)
    ACCOUNTS.put(ctx.state, account, Account(name, role, public_key, 0, ctx.height))
    ctx.emit("accounts/opened", account=account, name=name, role=role)
    return account


def change_key(ctx: Context, account: bytes, public_key: bytes) -> None:
    _claim_kid(ctx, kid_of(public_key), account)
    row = ACCOUNTS.need(ctx.state, account, "unknown-account")
    ACCOUNTS.put(ctx.state, account, row._replace(public_key=public_key))
    RECOVERIES.delete(ctx.state, account)
    ctx.emit("accounts/key", account=account, kid=kid_of(public_key))


def _claim_kid(ctx: Context, kid: bytes, account: bytes) -> None:
    ctx.require(KIDS.get(ctx.state, kid) is None, "known-kid", id_text(kid))
    KIDS.put(ctx.state, kid, (account,))


def role_of(view: Reader, account: bytes) -> int | None:
    row = ACCOUNTS.get(view, account)
    return None if row is None else row.role


def require_role(ctx: Context, *roles: int) -> None:
    ctx.require(role_of(ctx.state, ctx.account) in roles, "not-allowed", " or ".join(ROLES[role] for role in roles))


def require_governor(ctx: Context) -> None:
    require_role(ctx, *GOVERNORS)


def require_account(ctx: Context, account: bytes, *roles: int) -> None:
    role = ACCOUNTS.need(ctx.state, account, "unknown-account").role
    ctx.require(not roles or role in roles, "wrong-role", id_text(account))


def name_of(view: Reader, account: bytes) -> str:
    row = ACCOUNTS.get(view, account)
    return id_text(account) if row is None or not row.name else row.name


def called(ctx: Context, who: bytes | str) -> bytes:
    """An account by its id, or by its name where that is the handier word: in a genesis."""
    if isinstance(who, bytes):
        return who
    named = [account for account, row in ACCOUNTS.all(ctx.state) if row.name == who]
    ctx.require(len(named) == 1, "unknown-account", who)
    return named[0]


class Authority:
    """The port that ledger/app.py asks: who signs for an account, and with which number."""

    def key(self, state: Reader, tx: SignedTx) -> bytes:
        row = ACCOUNTS.need(state, tx.account, "unknown-account")
        if row.barred:
            raise Refused("barred", id_text(tx.account))
        if tx.kid != kid_of(row.public_key):
            raise Refused("unknown-key", "not the account's key in use")
        return row.public_key

    def sequence(self, state: Reader, account: bytes) -> int:
        return _sequence(account).get(state)

    def spend(self, ctx: Context, tx: SignedTx) -> None:
        _sequence(tx.account).put(ctx.state, tx.sequence + 1)


def _sequence(account: bytes) -> Counter:
    counter = Counter("sequence/")
    counter.key += account
    return counter


def _enrolment(ctx: Context, raw: bytes) -> kinds.AccountEnrolment:
    """What a key says of itself, under its own signature and for this chain."""
    body = kinds.AccountEnrolment.decode(signed.open_self(raw, kinds.AccountEnrolment.DOMAIN, key_field=3))
    ctx.require(body.chain == ctx.chain_id, "wrong-chain", body.chain)
    return body


def _enrol(ctx: Context, body: kinds.Enrol) -> None:
    require_governor(ctx)
    word = _enrolment(ctx, body.enrolment)
    ctx.require(word.id == kid_of(word.public_key), "wrong-id", "an account's id is its first key's")
    ctx.require(word.role not in (COMPANY, REGISTRAR, DISPATCH), "not-allowed", "only genesis names these")
    open_account(ctx, word.name, word.role, word.public_key)


def _rotate(ctx: Context, body: kinds.Rotate) -> None:
    word = _enrolment(ctx, body.enrolment)
    ctx.require(word.id == ctx.account, "wrong-id", "another account's key")
    change_key(ctx, word.id, word.public_key)


def _recover(ctx: Context, body: kinds.Recover) -> None:
    require_governor(ctx)
    word = _enrolment(ctx, body.enrolment)
    require_account(ctx, word.id)
    ctx.require(KIDS.get(ctx.state, kid_of(word.public_key)) is None, "known-kid", id_text(kid_of(word.public_key)))
    ready_s = ctx.time_s + parameters.get(ctx.state, "recover_s")
    RECOVERIES.put(ctx.state, word.id, Recovery(word.public_key, ready_s))
    ctx.emit("accounts/recovery", account=word.id, kid=kid_of(word.public_key), ready_s=ready_s)


def _object(ctx: Context, _body: kinds.Object) -> None:
    RECOVERIES.need(ctx.state, ctx.account, "no-recovery")
    RECOVERIES.delete(ctx.state, ctx.account)
    ctx.emit("accounts/objected", account=ctx.account)


def _complete(ctx: Context, body: kinds.Complete) -> None:
    recovery = RECOVERIES.need(ctx.state, body.account, "no-recovery")
    ctx.require(ctx.time_s >= recovery.ready_s, "too-early", f"not before {recovery.ready_s}")
    change_key(ctx, body.account, recovery.public_key)


def _bar(ctx: Context, body: kinds.Bar) -> None:
    require_governor(ctx)
    row = ACCOUNTS.need(ctx.state, body.account, "unknown-account")
    ctx.require(row.role not in GOVERNORS, "not-allowed", "governors do not bar each other")
    ACCOUNTS.put(ctx.state, body.account, row._replace(barred=body.barred))
    ctx.emit("accounts/barred", account=body.account, barred=body.barred)


def _genesis(ctx: Context, section: Any) -> None:
    """[[name, role, public key], …]"""
    for name, role, public_key in section or ():
        open_account(ctx, name, ROLES.index(role), public_key)


def _show(view: Reader, argument: Any) -> Any:
    """One account by id, or all: {id, name, role, key, barred, sequence}."""
    rows = ACCOUNTS.all(view)
    if argument is not None:
        account = id_bytes(argument) if isinstance(argument, str) else argument
        rows = iter([(account, ACCOUNTS.need(view, account, "unknown-account"))])
    return [
        {
            "id": id_text(account),
            "name": row.name,
            "role": ROLES[row.role],
            "key": row.public_key.hex(),
            "barred": row.barred,
            "sequence": _sequence(account).get(view),
        }
        for account, row in rows
    ]


CONTRACT = Contract(
    "accounts",
    handlers=dict(
        [
            on(kinds.Enrol, _enrol),
            on(kinds.Rotate, _rotate),
            on(kinds.Recover, _recover),
            on(kinds.Object, _object),
            on(kinds.Complete, _complete),
            on(kinds.Bar, _bar),
        ]
    ),
    genesis=_genesis,
    queries={"accounts": _show},
)
