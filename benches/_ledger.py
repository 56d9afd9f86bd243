"""What the ledger's benches share: a transaction chain with members who pay each other, and their signed payments."""

from __future__ import annotations

import random
import time
from functools import cache
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ledger import contracts
from ledger.app import App
from ledger.genesis import Genesis
from ledger.signatures import SignatureChecker
from wire.chain import kinds, tx
from wire.chain.header import Validator
from wire.chain.keys import PrivateKey
from wire.chain.kinds import TRANSACTION, Kind

CHAIN = "bench-transaction"
MEMBERS = 200
START_MT = 10**9
KEY = Ed25519PrivateKey.from_private_bytes(b"bench".ljust(32))


class Bodies:
    """Members' transactions in the order in which each of them numbers his."""

    def __init__(self) -> None:
        self._next: dict[bytes, int] = {}

    def sign(self, signer: PrivateKey, body: Kind) -> bytes:
        number = self._next.get(signer.kid, 0)
        self._next[signer.kid] = number + 1
        return tx.sign(signer, CHAIN, signer.kid, number, body.NUMBER, body.to_map())


@cache
def member(name: str) -> PrivateKey:
    return PrivateKey.derive("tallygrid bench", name)


def members() -> list[PrivateKey]:
    return [member(f"member {i}") for i in range(MEMBERS)]


def sections() -> dict[str, Any]:
    people = [["company", "company", member("company").public_key]]
    people += [[f"member {i}", "user", key.public_key] for i, key in enumerate(members())]
    return {
        "accounts": people,
        "tokens": [START_MT, [[key.kid, START_MT] for key in members()]],
        "lock": ["bench-schedule", 1, 1],
    }


def genesis() -> Genesis:
    validators = (Validator(KEY.public_key().public_bytes_raw(), 1),)
    return Genesis(CHAIN, time.time_ns(), validators, b"bench", sections())


def app(checker: SignatureChecker) -> App:
    return App(CHAIN, contracts.of(TRANSACTION), contracts.AUTHORITY, checker)


def payments(count: int, bodies: Bodies | None = None) -> list[bytes]:
    """Members in turn pay members drawn with a seed."""
    bodies, rng, people = bodies or Bodies(), random.Random(1), members()
    return [
        bodies.sign(
            people[i % MEMBERS], kinds.Pay(to=rng.choice(people).kid, amount=1 + rng.randrange(99), message=None)
        )
        for i in range(count)
    ]


def mixed(count: int) -> list[bytes]:
    """Of every ten six payments, one beyond what is there, one to a stranger, a lock, one that only a company may."""
    bodies, rng, people = Bodies(), random.Random(2), members()
    made = []
    for i in range(count):
        signer, to = people[rng.randrange(MEMBERS)], rng.choice(people).kid
        body: Kind = kinds.Pay(to=to, amount=1 + i, message="a message" if i % 4 else None)
        match i % 10:
            case 6:
                body = kinds.Pay(to=to, amount=START_MT * 1_000, message=None)
            case 7:
                body = kinds.Pay(to=b"stranger", amount=1, message=None)
            case 8:
                body = kinds.Lock(to=to, amount=10, deadline_s=2_000_000_000 + i)
            case 9:
                body = kinds.SetParameter(name="confirmations", value=1 + i % 7)
                signer = signer if i % 20 == 9 else member("company")
        made.append(bodies.sign(signer, body))
    return made


def percentile(values: list[float], part: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))]
