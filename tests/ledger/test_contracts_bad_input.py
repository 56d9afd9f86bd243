"""Whatever comes in, a handler answers with a reason or does its work: it never stops the chain, value stays whole."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from ledger.contracts import purse
from tests.ledger.sisters import Chain, key, kid
from tests.ledger.site import Site
from wire import cbor, envelope
from wire.chain import kinds, tx
from wire.chain.kinds import EVERY, MAIN, Kind
from wire.fields import Bytes, Int, List, Name, OrNull, Row, Text, Uint

SENDERS = ("EC", "ann", "gate", "relay")
KNOWN = ("ann", "ben", "EC", "north", "south", "ann's meter", "gate")
NAMES = ("k", "unit_wh", "confirmations", "lease_s", "test-transaction", "test-main", "", "x" * 32)


class Inputs:
    """Values that a field takes, biased to the ids and signed words that the site knows. Seeded, so it repeats."""

    def __init__(self, site: Site, seed: str) -> None:
        self.dice = random.Random(seed)
        self.site = site

    def value(self, kind: Any) -> Any:
        dice = self.dice
        if isinstance(kind, OrNull):
            return None if dice.random() < 0.3 else self.value(kind.kind)
        if isinstance(kind, Row):
            return [self.value(one) for one in kind.kinds]
        if isinstance(kind, List):
            return [self.value(kind.kind) for _ in range(dice.randint(0, 3))]
        if isinstance(kind, Name):
            return dice.randrange(len(kind.names))
        if isinstance(kind, Uint):
            return dice.choice(
                [dice.randint(0, 5), dice.randint(0, 2_000_000_000), dice.randint(0, kind.high), kind.high]
            )
        if isinstance(kind, Int):
            return dice.choice([kind.low, kind.high, dice.randint(kind.low, kind.high)])
        if isinstance(kind, Text):
            return dice.choice([name for name in NAMES if len(name) <= kind.high])
        assert isinstance(kind, Bytes)
        if kind.low == kind.high == 8:
            return kid(dice.choice(KNOWN)) if dice.random() < 0.9 else dice.randbytes(8)
        raw = self.word() if dice.random() < 0.8 else dice.randbytes(dice.randint(kind.low, 80))
        return raw if kind.low <= len(raw) <= kind.high else dice.randbytes(kind.low)

    def word(self) -> bytes:
        """A real word of a real device, whole or with one bit changed, or rubbish under a real signature."""
        north, meter = self.site.devices["north"], self.site.devices["ann's meter"]
        rubbish = self.dice.choice([b"", b"\xa0", cbor.encode([1]), cbor.encode({1: kid("north")})])
        domain = self.dice.choice(
            ["tallygrid/report/1", "tallygrid/state/1", "tallygrid/slave/1", "tallygrid/coarse/1"]
        )
        made: list[Callable[[], bytes]] = [
            lambda: bytes(north.report(exported_wh=self.dice.randint(0, 2_000))[1]),
            lambda: bytes(meter.report(imported_wh=self.dice.randint(0, 2_000))[1]),
            lambda: north.state(self.dice.randint(0, 1 << 52), (1 << 53) - 1),
            lambda: north.receipt(self.dice.randint(0, 3), bytes(16), 2, "done"),
            lambda: envelope.sign(key("north"), domain, rubbish),
            lambda: envelope.sign(key("gate"), domain, rubbish),
            lambda: cbor.encode([envelope.sign(key("gate"), domain, rubbish), [b"", rubbish]]),
        ]
        raw = self.dice.choice(made)()
        if self.dice.random() < 0.4:
            at = self.dice.randrange(len(raw))
            raw = raw[:at] + bytes([raw[at] ^ 1 << self.dice.randrange(8)]) + raw[at + 1 :]
        return raw


@pytest.fixture(scope="module")
def site() -> Site:
    site = Site()
    site.tell("north", 20)
    site.tell("south", 20)
    return site


@pytest.fixture(scope="module")
def chains(site: Site) -> dict[str, Chain]:
    main = site.world.with_main(EC="registrar", ann="user", gate="gateway", relay="relay")
    return {MAIN: main, "transaction": site.world.transaction, "schedule": site.chain}


@pytest.mark.parametrize("kind", kinds.KINDS, ids=lambda kind: kind.__name__)
def test_any_body(kind: type[Kind], chains: dict[str, Chain], site: Site) -> None:
    inputs = Inputs(site, kind.__name__)
    for _ in range(60):
        chain = chains[inputs.dice.choice(kind.CHAINS)]
        body = {number: inputs.value(field) for number, _, field in kind.FIELDS}
        if inputs.dice.random() < 0.1:
            body[inputs.dice.randint(0, 5)] = inputs.dice.choice([None, -1, b"", [], {}, "text", (1 << 64) - 1])
        site.world.pass_s(inputs.dice.choice([0, 0, 10, 1_000]))
        send(chain, inputs.dice.choice(SENDERS), kind.NUMBER, body)
        if chain.sort != MAIN:
            assert purse.total(chain.app.state) == purse.SUPPLY.get(chain.app.state)


def send(chain: Chain, who: str, number: int, body: dict[int, Any]) -> None:
    row = next((one for one in chain.app.query("accounts") if one["name"] == who), None)
    if row is not None and not row["barred"]:
        chain.make(tx.sign(key(who), chain.id, kid(who), row["sequence"], number, body))


def test_every_chain_is_reached() -> None:
    assert {sort for kind in kinds.KINDS for sort in kind.CHAINS} == set(EVERY)
