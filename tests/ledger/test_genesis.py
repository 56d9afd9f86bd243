"""Genesis documents: there and back, and every shape that is refused."""

import pytest

from ledger import genesis
from ledger.genesis import Genesis
from wire import cbor
from wire.chain.header import Validator, in_order
from wire.errors import WireError

ONE, TWO = in_order((Validator(b"1" * 32, 5), Validator(b"2" * 32, 5)))
GENESIS = Genesis("demo", 17, (ONE, TWO), b"salt", {"accounts": [1, {2: b"x"}], "lock": None})
FIELDS = cbor.decode(GENESIS.encode())


def test_there_and_back():
    assert genesis.decode(GENESIS.encode()) == GENESIS
    assert genesis.decode(GENESIS._replace(sections={}).encode()).sections == {}
    chain_id, start = genesis.trusted(GENESIS.public(b"a" * 32))
    assert (chain_id, start.height, start.time_ns, start.app_hash) == ("demo", 0, 17, b"a" * 32)
    assert b"salt" not in GENESIS.public(b"a" * 32) and b"accounts" not in GENESIS.public(b"a" * 32)


ROWS = FIELDS[3]
BAD = {
    "no map": [1],
    "a field less": {k: v for k, v in FIELDS.items() if k != 4},
    "a field more": FIELDS | {9: 1},
    "the public form": {k: FIELDS[k] for k in (1, 2, 3)} | {6: bytes(32)},
    "no chain id": FIELDS | {1: ""},
    "a long chain id": FIELDS | {1: "x" * 33},
    "a chain id of bytes": FIELDS | {1: b"demo"},
    "a negative time": FIELDS | {2: -1},
    "a time as text": FIELDS | {2: "now"},
    "a salt as text": FIELDS | {4: "salt"},
    "no validators": FIELDS | {3: []},
    "validators as a map": FIELDS | {3: {}},
    "a short key": FIELDS | {3: [[b"1" * 31, 5]]},
    "no power": FIELDS | {3: [[b"1" * 32, 0]]},
    "power as text": FIELDS | {3: [[b"1" * 32, "5"]]},
    "a validator twice": FIELDS | {3: [ROWS[0], ROWS[0]]},
    "another order": FIELDS | {3: ROWS[::-1]},
    "a validator of three": FIELDS | {3: [[b"1" * 32, 5, 5]]},
    "sections as a map": FIELDS | {5: {1: 2}},
    "a section without a name": FIELDS | {5: [[1, 2]]},
    "sections out of order": FIELDS | {5: FIELDS[5][::-1]},
    "a section twice": FIELDS | {5: [["lock", 1], ["lock", 2]]},
}


@pytest.mark.parametrize("name", BAD)
def test_refused(name):
    with pytest.raises(WireError):
        genesis.decode(cbor.encode(BAD[name]))


@pytest.mark.parametrize("field", [1, 2, 3, 6])
def test_a_public_genesis_needs_each_of_its_fields(field):
    whole = cbor.decode(GENESIS.public(bytes(32)))
    with pytest.raises(WireError):
        genesis.trusted(cbor.encode({k: v for k, v in whole.items() if k != field}))
    with pytest.raises(WireError):
        genesis.trusted(cbor.encode(whole | {field: []}))
    with pytest.raises(WireError):
        genesis.trusted(GENESIS.encode())
