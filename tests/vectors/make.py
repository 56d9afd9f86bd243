"""Makes the vector files. They are frozen: `tests/wire/test_vectors.py` fails where this script would write others.

Owns: good messages of every kind, and the ways to break each, with the reason that belongs to the way.
Refuses: asking the code under test for a reason; reasons stand here.

    python -m tests.vectors.make
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

from tests.wire.readers import plain
from wire import cbor, command, enrol, envelope, ids, settings
from wire.chain import main as main_block
from wire.chain import merkle, slave
from wire.chain.keys import PrivateKey, SharedKey
from wire.rows import advance

HERE = Path(__file__).parent
KEY = PrivateKey.derive("vectors", "device")
NEW = PrivateKey.derive("vectors", "next device key")
GATEWAY = PrivateKey.derive("vectors", "gateway")
REGISTRAR = PrivateKey.derive("vectors", "registrar")
DISPATCH = PrivateKey.derive("vectors", "dispatch")
ACCOUNT = PrivateKey.derive("vectors", "account")
ID = KEY.kid
T = 1_760_000_000
H1, H2 = bytes(range(32)), bytes(range(32, 64))

Case = dict[str, Any]


def good(kind: str, name: str, raw: bytes, value: Any) -> Case:
    return {"kind": kind, "name": f"{kind}: {name}", "input": raw.hex(), "value": plain(value)}


def bad(kind: str, name: str, raw: bytes, reason: str) -> Case:
    return {"kind": kind, "name": f"{kind}: {name}", "input": raw.hex(), "reason": reason}


# ---------------------------------------------------------------- CBOR

# RFC 8949 appendix A, typed in: the bytes, and the value of those our subset takes or the reason why it does not.
_TAKEN = (
    ("00", 0), ("01", 1), ("0a", 10), ("17", 23), ("1818", 24), ("1819", 25), ("1864", 100), ("1903e8", 1000),
    ("1a000f4240", 1000000), ("1b000000e8d4a51000", 1000000000000), ("1bffffffffffffffff", 18446744073709551615),
    ("3bffffffffffffffff", -18446744073709551616), ("20", -1), ("29", -10), ("3863", -100), ("3903e7", -1000),
    ("f6", None), ("40", b""), ("4401020304", b"\1\2\3\4"), ("60", ""), ("6161", "a"), ("6449455446", "IETF"),
    ("62225c", '"\\'), ("62c3bc", "\u00fc"), ("63e6b0b4", "\u6c34"), ("64f0908591", "\U00010151"), ("80", []),
    ("83010203", [1, 2, 3]), ("8301820203820405", [1, [2, 3], [4, 5]]),
    ("98190102030405060708090a0b0c0d0e0f101112131415161718181819", list(range(1, 26))), ("a0", {}),
    ("a201020304", {1: 2, 3: 4}),
)  # fmt: skip
_REFUSED = (
    ("f90000", "float"), ("f98000", "float"), ("f93c00", "float"), ("fb3ff199999999999a", "float"),
    ("f93e00", "float"), ("f97bff", "float"), ("fa47c35000", "float"), ("fa7f7fffff", "float"),
    ("fb7e37e43c8800759c", "float"), ("f90001", "float"), ("f90400", "float"), ("f9c400", "float"),
    ("fbc010666666666666", "float"), ("f97c00", "float"), ("f97e00", "float"), ("f9fc00", "float"),
    ("fa7f800000", "float"), ("fa7fc00000", "float"), ("faff800000", "float"), ("fb7ff0000000000000", "float"),
    ("fb7ff8000000000000", "float"), ("fbfff0000000000000", "float"), ("f4", "float"), ("f5", "float"),
    ("f7", "float"), ("f0", "float"), ("f8ff", "float"),
    ("c249010000000000000000", "tag"), ("c349010000000000000000", "tag"),
    ("c074323031332d30332d32315432303a30343a30305a", "tag"), ("c11a514b67b0", "tag"), ("c1fb41d452d9e8200000", "tag"),
    ("d74401020304", "tag"), ("d818456449455446", "tag"), ("d82076687474703a2f2f7777772e6578616d706c652e636f6d", "tag"),
    ("a26161016162820203", "bad-key"), ("826161a161626163", "bad-key"),
    ("a56161614161626142616361436164614461656145", "bad-key"), ("5f42010243030405ff", "indefinite"),
    ("7f657374726561646d696e67ff", "indefinite"), ("9fff", "indefinite"), ("9f018202039f0405ffff", "indefinite"),
    ("9f01820203820405ff", "indefinite"), ("83018202039f0405ff", "indefinite"), ("83019f0203ff820405", "indefinite"),
    ("9f0102030405060708090a0b0c0d0e0f101112131415161718181819ff", "indefinite"),
    ("bf61610161629f0203ffff", "indefinite"), ("826161bf61626163ff", "indefinite"),
    ("bf6346756ef563416d7421ff", "indefinite"),
)  # fmt: skip
# What appendix A does not have: section 4.2's rules, RFC 3629's, and ends.
_OURS = (
    ("1800", "not-minimal"), ("1817", "not-minimal"), ("1900ff", "not-minimal"), ("1a0000ffff", "not-minimal"),
    ("1b00000000ffffffff", "not-minimal"), ("3817", "not-minimal"), ("5800", "not-minimal"), ("7800", "not-minimal"),
    ("9800", "not-minimal"), ("b800", "not-minimal"), ("8118ff00", "trailing"), ("0000", "trailing"),
    ("1c", "not-minimal"),
    ("a2030401020000", "key-order"), ("a201020103", "key-order"), ("a2200001000000", "key-order"),
    ("a10102ff", "trailing"), ("a1f600", "bad-key"), ("a1400000", "bad-key"), ("", "truncated"), ("18", "truncated"),
    ("1a0000", "truncated"), ("41", "truncated"), ("5affffffff", "truncated"), ("5bffffffffffffffff", "truncated"),
    ("61", "truncated"), ("8101ff", "trailing"), ("82", "truncated"), ("9affffffff", "truncated"),
    ("a101", "truncated"),
    ("bbffffffffffffffff", "truncated"), ("61ff", "bad-text"), ("62c080", "bad-text"), ("62c0af", "bad-text"),
    ("63e08080", "bad-text"), ("63eda080", "bad-text"), ("64f0808080", "bad-text"), ("64f4908080", "bad-text"),
    ("64f5808080", "bad-text"), ("6180", "bad-text"), ("62c3c3", "bad-text"), ("63e6b041", "bad-text"),
    ("818181818181818181f6", "too-deep"), ("a101a101a101a101a101a101a101a101a101f6", "too-deep"),
)  # fmt: skip


def cbor_cases() -> Iterator[Case]:
    for text, value in _TAKEN:
        yield good("cbor", text, bytes.fromhex(text), value)
    for text, reason in _REFUSED + _OURS:
        yield bad("cbor", text or "nothing", bytes.fromhex(text), reason)
    deep = bytes.fromhex("8181818181818181f6")
    yield good("cbor", "eight deep", deep, [[[[[[[[None]]]]]]]])


# ---------------------------------------------------------------- messages


def head_values() -> dict[int, Any]:
    return {1: ID, 2: 3, 3: 4_100, 4: H1, 5: T, 6: 2}


def rows() -> list[list[Any]]:
    return [
        [0, 120_450, 310, 0, 0, 0, 1, {0: [0, 5]}],
        [60, 120_456, 310, 360, 231_200, 1_590, 0, {1: 50_010, 2: 980}],
        [60, 120_463, 310, -402, [231_050, 230_900, 229_999], [1_771, 12, 0], 24],
    ]


def report_cases() -> Iterator[Case]:
    values = {**head_values(), 7: rows()}
    raw = cbor.encode(values)
    next_head = H1
    for row in rows():
        next_head = advance(next_head, cbor.encode(row))
    head = list(head_values().values())
    yield good("report", "three rows", raw, [head, rows(), next_head])
    yield from broken("report", values)
    attested = {**values, 8: GATEWAY.kid, 9: H2}
    yield good("attested", "three rows", cbor.encode(attested), [head, rows(), next_head, [GATEWAY.kid, H2]])
    yield bad("attested", "without its gateway", raw, "bad-field")
    yield bad("report", "with an attested one's fields", cbor.encode(attested), "bad-field")
    yield bad("report", "no rows", cbor.encode({**values, 7: []}), "bad-field")
    yield bad("report", "61 rows", cbor.encode({**values, 7: [rows()[1]] * 61}), "bad-field")
    yield good(
        "report",
        "60 rows",
        cbor.encode({**values, 7: [[60, 1, 0, 0, 0, 0, 0]] * 60}),
        [head, [[60, 1, 0, 0, 0, 0, 0]] * 60, _chained([60, 1, 0, 0, 0, 0, 0], 60)],
    )
    yield bad("report", "seq runs over", cbor.encode({**values, 3: (1 << 53) - 1}), "bad-field")
    for name, row in BAD_ROWS:
        yield bad("report", f"row with {name}", cbor.encode({**values, 7: [row]}), "bad-field")
        yield bad("row", name, cbor.encode(row), "bad-field")


def _chained(row: list[Any], times: int) -> bytes:
    head = H1
    for _ in range(times):
        head = advance(head, cbor.encode(row))
    return head


BAD_ROWS: tuple[tuple[str, Any], ...] = (
    ("six places", [60, 1, 2, 3, 4, 5]),
    ("nine places", [60, 1, 2, 3, 4, 5, 0, {1: 50_000}, 0]),
    ("negative dt", [-1, 1, 2, 3, 4, 5, 0]),
    ("a negative register", [60, -1, 2, 3, 4, 5, 0]),
    ("a register over 53 bits", [60, 1 << 53, 2, 3, 4, 5, 0]),
    ("text for power", [60, 1, 2, "3", 4, 5, 0]),
    ("null for power", [60, 1, 2, None, 4, 5, 0]),
    ("two phases", [60, 1, 2, 3, [4, 4], 5, 0]),
    ("a negative phase", [60, 1, 2, 3, [4, 4, -4], 5, 0]),
    ("bytes for current", [60, 1, 2, 3, 4, b"5", 0]),
    ("an unknown flag", [60, 1, 2, 3, 4, 5, 32]),
    ("an event flag and no event", [60, 1, 2, 3, 4, 5, 1]),
    ("an event and no flag", [60, 1, 2, 3, 4, 5, 0, {0: [0, 0]}]),
    ("an empty map", [60, 1, 2, 3, 4, 5, 0, {}]),
    ("an unknown key", [60, 1, 2, 3, 4, 5, 0, {5: 1}]),
    ("an unknown event", [60, 1, 2, 3, 4, 5, 1, {0: [15, 0]}]),
    ("text in the map", [60, 1, 2, 3, 4, 5, 0, {1: "50"}]),
)
GOOD_ROWS: tuple[tuple[list[Any], str], ...] = (
    ([60, 1, 2, 3, 4, 5, 0], ""),
    ([0, 0, 0, 0, 0, 0, 4], ""),
    ([60, 1, 2, 1_000_001, 230_000, 5, 0], "power-range"),
    ([60, 1, 2, -1_000_001, 230_000, 5, 0], "power-range"),
    ([60, 1, 2, 3, 1_000_001, 5, 0], "voltage-range"),
    ([60, 1, 2, 3, [1, 2, 1_000_001], [1, 2, 3], 0], "voltage-range"),
    ([60, 1, 2, 3, 4, 4_000_001, 0], "current-range"),
    ([60, 1, 2, 3, 4, 5, 0, {1: 39_999}], "frequency-range"),
    ([60, 1, 2, 3, 4, 5, 0, {2: 1_001}], "power-factor-range"),
    ([60, 1, 2, 3, 4, 5, 0, {3: -1}], "soc-range"),
    ([60, 1, 2, 3, 4, 5, 0, {4: 1_501}], "temperature-range"),
)
STEPS: tuple[tuple[list[int], list[int], int, str], ...] = (
    ([100, 0], [60, 106, 0, 360, 230_000, 1_500, 0], 10_000, ""),
    ([100, 0], [60, 99, 0, 0, 230_000, 0, 0], 10_000, "register-fell"),
    ([100, 5], [60, 100, 4, 0, 230_000, 0, 0], 10_000, "register-fell"),
    ([100, 0], [60, 400, 0, 9_000, 230_000, 0, 0], 10_000, "energy-exceeds-rating"),
    ([100, 0], [60, 150, 0, 360, 230_000, 0, 0], 10_000, "energy-against-power"),
    ([100, 0], [60, 100, 0, 9_000, 230_000, 0, 0], 10_000, "energy-against-power"),
    ([100, 0], [0, 5_000, 0, 0, 0, 0, 0], 10_000, ""),
    ([0, 100], [60, 0, 150, -3_000, 230_000, 0, 0], 10_000, ""),
)


def row_cases() -> Iterator[Case]:
    for row, reason in GOOD_ROWS:
        yield good("row", f"{row}", cbor.encode(row), [row, reason])
    for before, row, rating_w, reason in STEPS:
        yield good("step", f"{before} → {row}", cbor.encode([before, row, rating_w]), reason)


ENROLMENT = {1: ID, 2: KEY.public_key, 3: 0, 4: "esp32-c3", 5: H1}
ENROLLED = envelope.sign(KEY, enrol.Enrolment.DOMAIN, cbor.encode(ENROLMENT))
ASSIGNED = envelope.sign(ACCOUNT, enrol.Assignment.DOMAIN, cbor.encode({1: ID, 2: ACCOUNT.kid, 3: 1}))
GUARDED = envelope.sign(REGISTRAR, settings.Guarded.DOMAIN, cbor.encode({1: ID, 2: 3, 3: {43: 5_000}}))
NONCE = bytes(range(16))

# kind, a good one's values by key, and values that one field may not have.
GOOD: tuple[tuple[str, dict[int, Any], tuple[tuple[int, Any], ...]], ...] = (
    ("coarse", {1: ID, 2: 3, 3: 40, 4: H1, 5: 90, 6: H2, 7: 5, 8: [1, 2], 9: [9, 2], 10: T, 11: 2},
     ((1, b"short"), (7, -1), (8, [1]), (9, [1, -1]), (11, 3))),
    ("state", {1: ID, 2: 12, 3: 900, 4: 12_800, 5: 20_000, 6: 640, 7: 251, 8: 1, 9: 0, 10: T, 11: 2},
     ((4, -1), (6, 1_001), (7, 1_501), (8, 2), (9, "1"))),
    ("hello", {1: ID, 2: 3, 3: NONCE, 4: 40, 5: 90, 6: H1, 7: [5, 6], 8: 0},
     ((3, b""), (4, 1 << 53), (6, H1[:31]), (7, [5, 6, 7]))),
    ("beat", {1: ID, 2: NONCE, 3: 5, 4: T, 5: 2, 6: 90, 7: H1, 8: 10},
     ((2, NONCE + b"x"), (4, 1 << 40), (5, 3), (8, 0), (8, 3_601))),
    ("configuration", {1: ID, 2: 3, 3: {2: 30, 1: "Kitchen \u53a8\u623f"}, 4: GUARDED},
     ((3, {32: KEY.public_key}), (3, {2: 0}), (3, {99: 0}), (4, b""), (4, 7))),
    ("guarded", {1: ID, 2: 3, 3: {32: REGISTRAR.public_key, 40: 100, 43: 5_000, 47: -100}},
     ((3, {2: 30}), (3, {40: 1_001}), (3, {32: b"\4"}))),
    ("command", {1: ID, 2: NONCE, 3: 8, 4: [31, 32], 5: 2, 6: 1_500, 7: 200, 8: T, 9: T + 600},
     ((2, b""), (4, list(range(65))), (4, [-1]), (5, 3), (6, 1 << 31), (9, -1))),
    ("receipt", {1: ID, 2: NONCE, 3: 8, 4: 2, 5: 3, 6: 0, 7: [50, 1], 8: [50, 3], 9: 900, 10: 960, 11: T},
     ((4, 0), (4, 3), (5, 6), (6, 24), (7, None))),
    ("enrolment", ENROLMENT, ((2, KEY.public_key[:64]), (3, 3), (4, "b" * 33), (4, b"esp32"), (5, H1 + b"x"))),
    ("assignment", {1: ID, 2: ACCOUNT.kid, 3: 1}, ((2, b""), (3, 1 << 32))),
    ("entry", {1: 1, 2: ID, 3: ENROLLED, 4: "Kitchen", 5: 3, 6: GATEWAY.kid, 7: {46: 40_000}, 8: 0, 9: T, 10: ASSIGNED},
     ((3, b""), (4, "n" * 65), (5, 4), (7, {32: KEY.public_key}), (8, 3), (10, 0))),
)  # fmt: skip
NULLS = (("coarse", 8), ("coarse", 9), ("state", 7), ("configuration", 4), ("receipt", 2), ("entry", 10))


def message_cases() -> Iterator[Case]:
    for kind, values, wrong in GOOD:
        yield good(kind, "whole", cbor.encode(values), [values[key] for key in sorted(values)])
        yield from broken(kind, values)
        for key, value in wrong:
            yield bad(kind, f"field {key} is {str(value)[:40]}", cbor.encode({**values, key: value}), "bad-field")
    for kind, key in NULLS:
        values = {**next(v for k, v, _ in GOOD if k == kind), key: None}
        yield good(kind, f"field {key} unknown", cbor.encode(values), [values[k] for k in sorted(values)])


def broken(kind: str, values: dict[int, Any]) -> Iterator[Case]:
    """The ways in which any map can be broken."""
    raw = cbor.encode(values)
    last = max(values)
    exact = kind in ("report", "attested")  # they count their fields first
    yield bad(kind, "nothing", b"", "truncated")
    yield bad(kind, "cut short", raw[:-1], "truncated")
    yield bad(kind, "a byte behind", raw + b"\0", "trailing")
    yield bad(kind, "an array", cbor.encode(list(values)), "bad-type")
    without = {key: value for key, value in values.items() if key != 2}
    yield bad(kind, "without field 2", cbor.encode(without), "bad-field" if exact else "missing-field")
    more = cbor.encode({**values, last + 1: 0})
    yield bad(kind, "a field more", more, "bad-field" if exact else "unknown-field")
    swapped = _encode_in_order(values, [2, 1, *sorted(values)[2:]])
    yield bad(kind, "fields 1 and 2 swapped", swapped, "missing-field" if exact else "key-order")
    yield bad(kind, "field 1 is null", cbor.encode({**values, 1: None}), "bad-field")
    front = raw[: len(raw) - len(cbor.encode(values[last]))]
    yield bad(kind, "a float at the end", front + b"\xf9\x00\x00", "bad-field" if exact else "float")
    yield bad(kind, "indefinite", b"\xbf" + raw[1:] + b"\xff", "indefinite")


def _encode_in_order(values: dict[int, Any], order: list[int]) -> bytes:
    return cbor.head(cbor.MAP, len(order)) + b"".join(cbor.encode(k) + cbor.encode(values[k]) for k in order)


# ---------------------------------------------------------------- envelopes and names


def envelope_cases() -> Iterator[Case]:
    payload = cbor.encode({1: ID})
    signed = envelope.sign(KEY, enrol.Enrolment.DOMAIN, payload)
    yield good("signed", "whole", signed, [KEY.kid, payload, signed[-64:]])
    maced = envelope.mac(SharedKey(DISPATCH.kid, DISPATCH.mac_key(KEY.public_key)), command.MAC_DOMAIN, signed)
    yield good("maced", "whole", maced, signed)
    long = envelope.sign(KEY, enrol.Enrolment.DOMAIN, bytes(300))
    yield good("signed", "a payload of 300 bytes", long, [KEY.kid, bytes(300), long[-64:]])
    for kind, raw, reason in (("signed", signed, "not-signed"), ("maced", maced, "not-maced")):
        yield bad(kind, "nothing", b"", "truncated")
        yield bad(kind, "half", raw[: len(raw) // 2], "truncated")
        yield bad(kind, "cut short", raw[:-1], "truncated")
        yield bad(kind, "a byte behind", raw + b"\0", "trailing")
        yield bad(kind, "no tag", raw[1:], reason)
        yield bad(kind, "another algorithm", raw.replace(raw[3:6], raw[3:5] + b"\x27", 1), reason)
        yield bad(kind, "something unprotected", raw[:16] + b"\xa1\x01\x01" + raw[17:], reason)
        yield bad(kind, "the payload is null", raw[:17] + b"\xf6" + raw[17:], reason)
    yield bad("signed", "a MAC", maced, "not-signed")
    yield bad("maced", "a signature", signed, "not-maced")
    yield bad(
        "signed", "63 bytes of signature", signed[:-66] + b"\x58\x3f" + signed[-63:] + b"\0", "bad-signature-length"
    )
    yield bad(
        "signed", "length not minimal", signed[:17] + b"\x58" + bytes((len(payload),)) + signed[18:], "not-minimal"
    )


def name_cases() -> Iterator[Case]:
    text = ids.id_text(ID)
    yield good("id", "a kid", text.encode(), ID)
    yield good("id", "zeros", b"a" * 13, bytes(8))
    yield good("id", "ones", b"7777777777776", b"\xff" * 8)
    yield bad("id", "too short", b"a" * 12, "bad-field")
    yield bad("id", "upper case", b"A" * 13, "bad-field")
    yield bad("id", "a digit that base32 has not", b"1" * 13, "bad-field")
    yield bad("id", "a bit too many", b"a" * 12 + b"b", "not-minimal")
    yield good("topic", "report", f"tallygrid/{text}/up/report".encode(), [ID, "report"])
    yield good("topic", "command", f"tallygrid/{text}/down/command".encode(), [ID, "command"])
    for topic in (
        f"tallygrid/{text}/up/command",
        f"tallygrid/{text}/up",
        f"other/{text}/up/report",
        "tallygrid/x/up/report",
    ):
        yield bad("topic", topic, topic.encode(), "bad-field")
    yield good("kid", "of a key", KEY.public_key, KEY.kid)
    yield bad("kid", "a compressed point", b"\2" + KEY.public_key[1:33], "bad-key-length")
    yield bad("kid", "a hybrid point", b"\6" + KEY.public_key[1:], "bad-key-length")
    yield bad("kid", "the identity", b"\0", "bad-key-length")


# ---------------------------------------------------------------- what only hosts read


TX = {1: "transaction-1", 2: ACCOUNT.kid, 3: 7, 4: 16, 5: {1: ID, 2: 5_000, 3: None}}
NODE = PrivateKey.derive("vectors", "main node")
BODY = [ENROLLED, ASSIGNED]
SLAVE = {1: 3, 2: GATEWAY.kid, 3: 1, 4: bytes(32), 5: merkle.root(BODY), 6: 1, 7: T, 8: 2, 9: sum(map(len, BODY))}
SLAVE_BLOCK = [envelope.sign(GATEWAY, slave.SlaveHeader.DOMAIN, cbor.encode(SLAVE)), BODY]
MAIN_BODY = [cbor.encode(SLAVE_BLOCK)]
MAIN = {
    1: NODE.kid, 2: 1, 3: bytes(32), 4: merkle.root(MAIN_BODY), 5: b"\x80", 6: [[NODE.kid, NODE.public_key, "https://x"]],
    7: 6, 8: T, 9: 1, 10: len(MAIN_BODY[0]),
}  # fmt: skip
MAIN_BLOCK = [envelope.sign(NODE, main_block.MainHeader.DOMAIN, cbor.encode(MAIN)), MAIN_BODY]

HOST_GOOD: tuple[tuple[str, dict[int, Any], tuple[tuple[int, Any], ...]], ...] = (
    ("tx", TX, ((1, "c" * 33), (1, b"chain"), (2, b"short"), (3, -1), (4, 1 << 16), (5, [1]), (5, None))),
    ("account", {1: "main", 2: ACCOUNT.kid, 3: ACCOUNT.public_key, 4: "Anna", 5: 1},
     ((3, ACCOUNT.public_key[:64]), (4, "n" * 33), (5, 9))),
    ("slave-header", SLAVE, ((1, 4), (3, 1 << 53), (4, b""), (6, 2), (8, -1), (9, 125_001))),
    ("main-header", MAIN,
     ((5, bytes(129)), (6, [[NODE.kid, NODE.public_key]]), (6, [[NODE.kid, b"", "x"]]), (7, 0), (7, 1_025),
      (10, 1_000_001))),
)  # fmt: skip


def host_cases() -> Iterator[Case]:
    for kind, values, wrong in HOST_GOOD:
        yield good(kind, "whole", cbor.encode(values), [values[key] for key in sorted(values)])
        yield from broken(kind, values)
        for key, value in wrong:
            yield bad(kind, f"field {key} is {str(value)[:40]}", cbor.encode({**values, key: value}), "bad-field")
    yield bad(
        "tx", "text as a key of the body", cbor.encode(TX).replace(b"\x05\xa3\x01", b"\x05\xa3\x61\x01"), "bad-key"
    )
    yield from block_cases("slave", SLAVE_BLOCK, SLAVE, GATEWAY, slave.SlaveHeader.DOMAIN)
    yield from block_cases("main", MAIN_BLOCK, MAIN, NODE, main_block.MainHeader.DOMAIN)
    other = {**MAIN, 5: b"\x00"}
    signed = envelope.sign(NODE, main_block.MainHeader.DOMAIN, cbor.encode(other))
    yield bad("main", "urgency bits of another body", cbor.encode([signed, MAIN_BODY]), "bad-field")
    yield from bundle_cases()
    yield from proof_cases()


def block_cases(kind: str, block: list[Any], header: dict[int, Any], key: PrivateKey, domain: str) -> Iterator[Case]:
    signed, body = block
    root, count, size = {"slave": (5, 8, 9), "main": (4, 9, 10)}[kind]
    yield good(kind, "whole", cbor.encode(block), [sha256(cbor.encode(header)).digest(), body])
    yield bad(kind, "a header that is not signed", cbor.encode([cbor.encode(header), body]), "not-signed")
    yield bad(kind, "a body that is no array", cbor.encode([signed, b""]), "bad-type")
    yield bad(kind, "a message that is no byte string", cbor.encode([signed, [7]]), "bad-type")
    yield bad(kind, "three parts", cbor.encode([signed, body, 0]), "bad-type")
    yield bad(kind, "a message left out", cbor.encode([signed, body[1:]]), "bad-size")
    yield bad(kind, "a byte behind", cbor.encode(block) + b"\0", "trailing")
    yield bad(kind, "cut short", cbor.encode(block)[:-1], "truncated")
    for name, number, value, reason in (
        ("another root", root, H2, "bad-root"),
        ("another count", count, header[count] + 1, "bad-size"),
        ("another size", size, header[size] - 1, "bad-size"),
    ):
        wrong = envelope.sign(key, domain, cbor.encode({**header, number: value}))
        yield bad(kind, name, cbor.encode([wrong, body]), reason)


def bundle_cases() -> Iterator[Case]:
    head = cbor.encode([0, 1, "vectors"])
    record = cbor.encode([1, KEY.public_key, "meter"])
    yield good("bundle", "one key", head + record, [["bundle", [1, "vectors"]], ["key", [KEY.public_key, "meter"]]])
    yield good("bundle", "its head alone", head, [["bundle", [1, "vectors"]]])
    for name, raw, reason in (
        ("nothing", b"", "truncated"),
        ("no head", record, "bad-type"),
        ("two heads", head + head, "bad-type"),
        ("another version", cbor.encode([0, 2, "vectors"]), "bad-field"),
        ("no version", cbor.encode([0]), "bad-field"),
        ("an unknown kind", head + cbor.encode([11, 0]), "bad-type"),
        ("a negative kind", head + cbor.encode([-1, 0]), "bad-type"),
        ("a kind in bytes", head + cbor.encode([b"\1", 0]), "bad-type"),
        ("an empty record", head + b"\x80", "bad-type"),
        ("a map", head + b"\xa0", "bad-type"),
        ("cut short", head + record[:-1], "truncated"),
        ("a count without end", head + b"\x9b" + b"\xff" * 8, "truncated"),
        ("nested too deep", head + b"\x82\x01" + b"\x81" * 8 + b"\x00", "too-deep"),
    ):
        yield bad("bundle", name, raw, reason)


def proof_cases() -> Iterator[Case]:
    """The shape of state proofs; what they show is tests/ledger's."""
    yield good("proof", "a value", cbor.encode({1: [H1, b""], 2: H2}), [[H1, b""], H2, None])
    yield good("proof", "absence beside another leaf", cbor.encode({1: [H1], 3: H1, 4: H2}), [[H1], None, [H1, H2]])
    yield good("proof", "absence in an empty tree", cbor.encode({1: []}), [[], None, None])
    empty = sha256(b"\x02").digest()
    for name, value in (
        ("no map", [H1]),
        ("value and absence", {1: [H1], 2: H2, 3: H1, 4: H2}),
        ("half an other leaf", {1: [H1], 3: H1}),
        ("a field more", {1: [H1], 2: H2, 5: 0}),
        ("no hashes", {2: H2}),
        ("a hash of 31 bytes", {1: [H1[:31]], 2: H2}),
        ("an empty place written out", {1: [empty, H1], 2: H2}),
        ("a blind of 31 bytes", {1: [H1], 2: H2[:31]}),
        ("257 hashes", {1: [H1] * 257, 2: H2}),
    ):
        yield bad("proof", name, cbor.encode(value), "bad-proof")


FILES = {
    "cbor.json": cbor_cases,
    "reports.json": lambda: [*report_cases(), *row_cases()],
    "messages.json": message_cases,
    "envelopes.json": lambda: [*envelope_cases(), *name_cases()],
    "blocks.json": host_cases,
}
ON_DEVICES = ("cbor.json", "reports.json", "messages.json", "envelopes.json")


def text_of(name: str) -> str:
    lines = ",\n".join(json.dumps(case, ensure_ascii=False) for case in FILES[name]())
    return f"[\n{lines}\n]\n"


if __name__ == "__main__":
    for name in FILES:
        (HERE / name).write_text(text_of(name))
