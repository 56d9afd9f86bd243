"""What a transaction may ask: one class a kind, with its number, the chains that know it and its body's fields.

Owns: the bodies of all transactions, the signed word that opens an account. docs/spec-ledger.md is held against it.
Refuses: (by fields) a missing or unknown field, a value out of range. What a chain refuses is its contracts' business.
Invariant: a number is never used for a second kind.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from wire.chain import slave
from wire.enrol import ENROLMENT_MAX
from wire.fields import ENERGY, ID, PUBLIC_KEY, SEQ, TIME, Bytes, Int, List, Message, Name, OrNull, Row, Text, Uint
from wire.report import REPORT_MAX

if TYPE_CHECKING:
    from typing import Any

MAIN, TRANSACTION, SCHEDULE = "main", "transaction", "schedule"
EVERY = (MAIN, TRANSACTION, SCHEDULE)
SISTERS = (TRANSACTION, SCHEDULE)

ROLES = Name("company", "user", "station", "regulator", "auditor", "gateway", "relay", "registrar", "dispatch")
SIDES = Name("buy", "sell")
AMOUNT = Uint(53)  # mT on the transaction chain, Wh on the schedule chain
HEIGHT = Uint(53)
CHAIN_ID = Text(32)
LOSS_PPM = Int(0, 900_000)
PROOF = Bytes(1, 16_384)
VALUE = Bytes(1, 65_536)
LIGHT_BLOCK = Bytes(1, 131_072)
ENVELOPE = Bytes(1, REPORT_MAX + 128)
PROOFS = Row(HEIGHT, VALUE, PROOF)  # a value of another chain's state: the header it is proven under, its bytes, proof

EVIDENCE = Name("report", "attested", "coarse")


class Kind(Message):
    """The base of all bodies."""

    NUMBER = 0
    CHAINS: tuple[str, ...] = ()


class AccountEnrolment(Message):
    """Self-signed: whoever sends it holds the key. With `id` of an account that stands, the account's next key."""

    DOMAIN = "tallygrid/account/1"
    chain: str
    id: bytes
    public_key: bytes
    name: str
    role: int
    FIELDS = (
        (1, "chain", CHAIN_ID),
        (2, "id", ID),
        (3, "public_key", PUBLIC_KEY),
        (4, "name", Text(32)),
        (5, "role", ROLES),
    )


# ---- accounts -------------------------------------------------------------------------------------------------------


class Enrol(Kind):
    """By a company or registrar: approves an account that asked for itself."""

    NUMBER = 1
    CHAINS = EVERY
    enrolment: bytes
    FIELDS = ((1, "enrolment", Bytes(1, ENROLMENT_MAX)),)


class Rotate(Kind):
    """By the account, under its old key: the next key, self-signed."""

    NUMBER = 2
    CHAINS = EVERY
    enrolment: bytes
    FIELDS = ((1, "enrolment", Bytes(1, ENROLMENT_MAX)),)


class Recover(Kind):
    """By a company or registrar: a key for an account whose key is lost. Waits `recover_s`."""

    NUMBER = 3
    CHAINS = EVERY
    enrolment: bytes
    FIELDS = ((1, "enrolment", Bytes(1, ENROLMENT_MAX)),)


class Object(Kind):
    """By the account, under the key that was said to be lost: stops a recovery."""

    NUMBER = 4
    CHAINS = EVERY
    FIELDS = ()


class Complete(Kind):
    """By anyone, after the waiting time: the recovered account's new key is in force."""

    NUMBER = 5
    CHAINS = EVERY
    account: bytes
    FIELDS = ((1, "account", ID),)


class Bar(Kind):
    """By a company or registrar: an account may send nothing (1), or again (0)."""

    NUMBER = 6
    CHAINS = EVERY
    account: bytes
    barred: int
    FIELDS = ((1, "account", ID), (2, "barred", Int(0, 1)))


class SetParameter(Kind):
    """By a company (on main: a registrar)."""

    NUMBER = 8
    CHAINS = EVERY
    name: str
    value: int
    FIELDS = ((1, "name", Text(32)), (2, "value", Uint(53)))


# ---- money ----------------------------------------------------------------------------------------------------------


class Pay(Kind):
    NUMBER = 16
    CHAINS = SISTERS
    to: bytes
    amount: int
    message: str | None
    FIELDS = ((1, "to", ID), (2, "amount", AMOUNT), (3, "message", OrNull(Text(64))))


class Purchase(Kind):
    """Supply S1: pays tokens to the company, whose lock contract turns them into rights of `to` on the sister."""

    NUMBER = 17
    CHAINS = (TRANSACTION,)
    company: bytes
    to: bytes
    amount: int
    deadline_s: int
    FIELDS = ((1, "company", ID), (2, "to", ID), (3, "amount", AMOUNT), (4, "deadline_s", TIME))


class Advance(Kind):
    """By a company: rights that a station pays sellers with."""

    NUMBER = 18
    CHAINS = (SCHEDULE,)
    station: bytes
    amount: int
    FIELDS = ((1, "station", ID), (2, "amount", AMOUNT))


class SettlePeriod(Kind):
    """Supply S7: a station pays all its rights to its company. By that company, or by anyone after the period."""

    NUMBER = 19
    CHAINS = (SCHEDULE,)
    station: bytes
    FIELDS = ((1, "station", ID),)


# ---- lock -----------------------------------------------------------------------------------------------------------


class Lock(Kind):
    """Locks value here for account `to` of the sister chain, until the sister's block time `deadline_s`."""

    NUMBER = 32
    CHAINS = SISTERS
    to: bytes
    amount: int
    deadline_s: int
    FIELDS = ((1, "to", ID), (2, "amount", AMOUNT), (3, "deadline_s", TIME))


class Unlock(Kind):
    """By anyone: the sister's lock record, proven; credits it here, once."""

    NUMBER = 33
    CHAINS = SISTERS
    lock: int
    proof: list[Any]
    FIELDS = ((1, "lock", SEQ), (2, "proof", PROOFS))


class Acknowledge(Kind):
    """By anyone: the sister's receipt of a lock of ours, proven; the value stays in the pool for good."""

    NUMBER = 34
    CHAINS = SISTERS
    lock: int
    proof: list[Any]
    FIELDS = ((1, "lock", SEQ), (2, "proof", PROOFS))


class Refund(Kind):
    """By anyone: proof that the sister has no receipt and, being past the deadline, never will; the value goes back."""

    NUMBER = 35
    CHAINS = SISTERS
    lock: int
    height: int
    proof: bytes
    FIELDS = ((1, "lock", SEQ), (2, "height", HEIGHT), (3, "proof", PROOF))


class Header(Kind):
    """By anyone: a header of another chain with its commit and validators, for the client of that chain here."""

    NUMBER = 36
    CHAINS = SISTERS
    chain: str
    block: bytes
    FIELDS = ((1, "chain", CHAIN_ID), (2, "block", LIGHT_BLOCK))  # as ledger/light.py writes it


class Thaw(Kind):
    """By a company, registrar or regulator, and then the same by another of them: a frozen or expired client goes on
    from this header, which people have agreed on."""

    NUMBER = 37
    CHAINS = SISTERS
    chain: str
    block: bytes
    FIELDS = ((1, "chain", CHAIN_ID), (2, "block", LIGHT_BLOCK))


class CloseLock(Kind):
    """By a company: no new locks, so that the rate can change."""

    NUMBER = 38
    CHAINS = SISTERS
    FIELDS = ()


class ReopenLock(Kind):
    """By a company: the closed and empty lock reopens at this rate, its pool topped up, from that company, to what the
    sister's totals, proven, then ask for."""

    NUMBER = 39
    CHAINS = SISTERS
    rate_mt: int
    rate_wh: int
    top_up: int
    proof: list[Any]
    FIELDS = (
        (1, "rate_mt", Int(1, 1 << 31)),
        (2, "rate_wh", Int(1, 1 << 31)),
        (3, "top_up", AMOUNT),
        (4, "proof", PROOFS),
    )


# ---- dispatch -------------------------------------------------------------------------------------------------------


class SetLine(Kind):
    """By a company: what a line loses, in millionths; null where there is none."""

    NUMBER = 48
    CHAINS = (SCHEDULE,)
    user: bytes
    station: bytes
    loss_ppm: int | None
    FIELDS = ((1, "user", ID), (2, "station", ID), (3, "loss_ppm", OrNull(LOSS_PPM)))


class Order(Kind):
    """By a user: buys or sells energy, counted at the station, seen by its meter; `limit_w` 0 connects only."""

    NUMBER = 49
    CHAINS = (SCHEDULE,)
    side: int
    energy_wh: int
    limit_w: int
    meter: bytes
    FIELDS = ((1, "side", SIDES), (2, "energy_wh", ENERGY), (3, "limit_w", Uint(31)), (4, "meter", ID))


class Cancel(Kind):
    """By the order's user."""

    NUMBER = 50
    CHAINS = (SCHEDULE,)
    order: int
    FIELDS = ((1, "order", SEQ),)


class StationState(Kind):
    """By anyone: a station's signed word on itself."""

    NUMBER = 51
    CHAINS = (SCHEDULE,)
    state: bytes
    FIELDS = ((1, "state", ENVELOPE),)


# ---- settlement -----------------------------------------------------------------------------------------------------


class Readings(Kind):
    """By the device's gateway, its account or a company: signed reports in order."""

    NUMBER = 64
    CHAINS = (SCHEDULE,)
    reports: list[Any]
    FIELDS = ((1, "reports", List(Row(EVIDENCE, ENVELOPE), 64)),)


class StationReceipt(Kind):
    """By anyone: a station's signed answer to a command."""

    NUMBER = 65
    CHAINS = (SCHEDULE,)
    receipt: bytes
    FIELDS = ((1, "receipt", ENVELOPE),)


class Expire(Kind):
    """By anyone: a grant's lease or claim time is over; before that it is refused."""

    NUMBER = 66
    CHAINS = (SCHEDULE,)
    grant: int
    FIELDS = ((1, "grant", SEQ),)


# ---- registry -------------------------------------------------------------------------------------------------------


class RegistryEntry(Kind):
    """By anyone: a registrar's signed word on a device."""

    NUMBER = 80
    CHAINS = (MAIN,)
    entry: bytes
    FIELDS = ((1, "entry", Bytes(1, 2_048)),)


class TakeEntry(Kind):
    """By anyone: an entry of the main chain's registry, proven."""

    NUMBER = 81
    CHAINS = (SCHEDULE,)
    device: bytes
    proof: list[Any]
    FIELDS = ((1, "device", ID), (2, "proof", PROOFS))


class SlaveBlock(Kind):
    """By anyone: a gateway's whole slave block, as on the wire."""

    NUMBER = 82
    CHAINS = (MAIN,)
    block: bytes
    FIELDS = ((1, "block", Bytes(1, slave.BLOCK_MAX)),)


KINDS: tuple[type[Kind], ...] = (
    Enrol, Rotate, Recover, Object, Complete, Bar, SetParameter,
    Pay, Purchase, Advance, SettlePeriod,
    Lock, Unlock, Acknowledge, Refund, Header, Thaw, CloseLock, ReopenLock,
    SetLine, Order, Cancel, StationState,
    Readings, StationReceipt, Expire,
    RegistryEntry, TakeEntry, SlaveBlock,
)  # fmt: skip

BY_NUMBER = {kind.NUMBER: kind for kind in KINDS}
assert len(BY_NUMBER) == len(KINDS)
