"""`tallygrid inspect` on every example of the spec, whole and damaged."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path

import pytest

from benches import _fuzz
from pilot.inspect import add_key, damage, inspect, lines_of, read_input, sound, whole
from tests.wire.test_spec import HEX, KEYS, RING
from wire import cbor, envelope
from wire.chain import bundle, kinds, tx
from wire.chain.keys import KeyRing
from wire.command import Command, Receipt
from wire.enrol import Enrolment
from wire.errors import WireError
from wire.fields import Message
from wire.hello import Beat, Hello

ROOT = Path(__file__).parents[2]
NAMES = {
    "Report": "report",
    "Coarse report": "coarse",
    "Attested report": "attested report",
    "Station state": "state",
    "Hello": "hello",
    "Beat": "beat",
    "Configuration": "configuration",
    "Command": "order to a station",
    "Receipt": "receipt",
    "Enrolment": "enrolment",
    "Registry entry": "entry",
    "Slave block": "slave block",
    "Main block": "main block",
    "Transaction": "tx",
}


@pytest.mark.parametrize("title", NAMES)
def test_names_the_message_and_judges_its_signature(title: str) -> None:
    told = inspect(HEX[title][0], RING)
    assert told["message"] == NAMES[title]
    text = json.dumps(told)
    assert '"signature": "holds"' in text or "MAC" in told
    assert "not checked: give the key" not in text
    without = json.dumps(inspect(HEX[title][0], KeyRing()))
    assert '"signature": "holds"' not in without


def test_a_rotation_is_two_signatures() -> None:
    told = inspect(HEX["Enrolment"][1], RING)
    assert (told["message"], told["signature"]) == ("rotation", "holds")
    assert (told["inside"]["message"], told["inside"]["signature"]) == ("enrolment", "holds")


def test_a_wrong_signature_does_not_hold() -> None:
    raw = bytearray(HEX["Report"][0])
    raw[-1] ^= 1
    assert inspect(bytes(raw), RING)["signature"].startswith("does not hold")


def test_keys_come_from_hex_enrolments_and_entries(tmp_path: Path) -> None:
    for text in (
        KEYS["meter"].public_key.hex(),
        HEX["Enrolment"][0].hex(),
        HEX["Registry entry"][0].hex(),
    ):
        ring = KeyRing()
        add_key(ring, text)
        assert inspect(HEX["Report"][0], ring)["signature"] == "holds"
    (tmp_path / "keys").write_text(KEYS["gateway"].public_key.hex() + "\n" + KEYS["meter"].public_key.hex() + "\n")
    ring = KeyRing()
    add_key(ring, str(tmp_path / "keys"))
    assert len(ring) == 2


def test_every_truncation_is_explained() -> None:
    for title in NAMES:
        raw = HEX[title][0]
        for end in range(len(raw)):
            with pytest.raises(WireError):
                inspect(raw[:end], RING)


@pytest.mark.parametrize(
    ("title", "message", "name"),
    [
        ("Hello", Hello, "nonce"),
        ("Receipt", Receipt, "after"),
        ("Enrolment", Enrolment, "board"),
        ("Command", Command, "id"),
    ],
)
def test_a_wrong_field_is_found_by_its_byte(title: str, message: type[Message], name: str) -> None:
    """The byte is the whole file's, and the words are of the message that it is most like."""
    whole = HEX[title][0]
    inner = envelope.unwrap_mac(whole) if title == "Command" else whole
    payload = envelope.split(inner).payload
    values = cbor.decode(payload)
    assert isinstance(values, dict)
    key = next(number for number, each, _ in message.FIELDS if each == name)
    before = cbor.encode({k: v for k, v in values.items() if k < key})
    broken = cbor.encode({**values, key: -1})
    signed = inner.replace(payload, broken).replace(
        cbor.head(cbor.BYTES, len(payload)), cbor.head(cbor.BYTES, len(broken))
    )
    assert envelope.split(signed).payload == broken
    raw = whole.replace(inner, signed).replace(cbor.head(cbor.BYTES, len(inner)), cbor.head(cbor.BYTES, len(signed)))
    with pytest.raises(WireError) as refusal:
        inspect(raw, RING)
    assert raw[refusal.value.at] == key
    assert refusal.value.at == raw.index(broken) + len(before)
    assert name in refusal.value.detail
    assert message.DOMAIN.split("/")[1] in refusal.value.detail
    assert f"[{key:02x} 20 " in "\n".join(damage(raw, refusal.value))


def test_damaged_cbor_inside_an_envelope_is_found_by_its_byte() -> None:
    for title, inner in (
        ("Hello", b"\x03\x50"),
        ("Report", b"\x05\x1a"),
        ("Beat", b"\x02\x50"),
        ("Slave block", b"\x04\x58"),
    ):
        raw = bytearray(HEX[title][0])
        at = raw.index(inner) + 1
        raw[at] = 0x1F | raw[at]
        with pytest.raises(WireError) as refusal:
            inspect(bytes(raw), RING)
        assert (refusal.value.reason, refusal.value.at) == ("indefinite", at), title


def test_a_row_is_found_by_its_byte() -> None:
    raw = HEX["Report"][0]
    row = bytes.fromhex("87183c1a0001d68f")
    broken = raw.replace(row, bytes.fromhex("87183c3a0001d68f"))
    with pytest.raises(WireError) as refusal:
        inspect(broken, RING)
    assert refusal.value.at == raw.index(row)
    assert "row 2" in refusal.value.detail


def test_a_missing_field_is_told_where_it_belongs() -> None:
    values = cbor.decode(envelope.split(HEX["Hello"][0]).payload)
    assert isinstance(values, dict)
    del values[4]
    raw = envelope.sign(KEYS["meter"], Hello.DOMAIN, cbor.encode(values))
    with pytest.raises(WireError) as refusal:
        inspect(raw, RING)
    assert (refusal.value.reason, raw[refusal.value.at]) == ("missing-field", 5)


@pytest.mark.parametrize("board", ["x\nsignature: holds", "\x1b[2J", "\u202eabc", "does not hold"])
def test_a_label_writes_no_lines_of_its_own(board: str) -> None:
    key = KEYS["meter"]
    enrolment = Enrolment(id=key.kid, public_key=key.public_key, role=0, board=board, firmware=bytes(32))
    told = inspect(envelope.sign(key, Enrolment.DOMAIN, enrolment.encode()), RING)
    lines = lines_of({"messages": [told]})
    assert [line.strip() for line in lines].count("signature: holds") == 1
    assert all(letter.isprintable() for line in lines for letter in line)
    assert sound(told)


def test_damage_inside_a_block_is_told_and_is_no_success() -> None:
    raw = HEX["Slave block"][0]
    broken = raw[:-70] + bytes((raw[-70] ^ 1,)) + raw[-69:]
    told = inspect(broken, RING)
    assert told["body"].startswith("does not hold")
    assert not sound(told)
    assert sound(inspect(raw, RING))


def test_a_transaction_says_what_it_asks() -> None:
    key = KEYS["account"]
    body = kinds.Pay(to=KEYS["meter"].kid, amount=5, message=None).to_map()
    told = inspect(tx.sign(key, "transaction", key.kid, 0, kinds.Pay.NUMBER, body), RING)
    assert (told["body"]["is"], told["body"]["amount"]) == ("Pay", 5)
    other = inspect(tx.sign(key, "transaction", key.kid, 0, kinds.Pay.NUMBER, {1: 7}), RING)
    assert other["body"]["is no"] == "Pay"


def test_a_bundle_is_told_record_by_record(tmp_path: Path) -> None:
    with (tmp_path / "bundle").open("wb") as stream:
        bundle.write(stream, [("report", [HEX["Report"][0]]), ("inclusion", [0, 1, []])], "a test")
    told = inspect((tmp_path / "bundle").read_bytes(), RING)
    assert told["records"][1]["inside"][0]["signature"] == "holds"
    assert told["records"][2] == {"record": "inclusion", "values": [0, 1, []]}
    assert "signature: holds" in "\n".join(lines_of(told))


def test_what_only_shares_a_shape_is_not_taken_for_it() -> None:
    """A beat's map under a signature is no beat: those are MACed, never signed."""
    with pytest.raises(WireError):
        inspect(envelope.sign(KEYS["gateway"], Beat.DOMAIN, envelope.unwrap_mac(HEX["Beat"][0])), RING)


def test_messages_in_messages_without_end_are_refused() -> None:
    raw = HEX["Enrolment"][1]
    for _ in range(2_000):
        raw = envelope.SIGN1_HEAD + bytes(8) + b"\xa0" + cbor.encode(raw) + b"\x58\x40" + bytes(64)
    with pytest.raises(WireError) as refusal:
        whole(raw, RING)
    assert refusal.value.reason == "too-deep"


@pytest.mark.parametrize("seed", range(2))
def test_any_bytes_are_told_of_or_refused(seed: int) -> None:
    source, messages = random.Random(seed), _fuzz._messages()
    messages += [raw for parts in HEX.values() for raw in parts]
    for _ in range(1_500):
        raw = _fuzz._input(source, messages)
        try:
            told = whole(raw, RING)
        except WireError as error:
            assert damage(raw, error)
        else:
            assert lines_of(told)
            assert json.dumps(told)


def command(*words: str, given: bytes = b"") -> tuple[int, str, str]:
    run = [sys.executable, "-m", "pilot.cli", "inspect", *words]
    done = subprocess.run(run, cwd=ROOT, input=given, capture_output=True)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def test_the_command(tmp_path: Path) -> None:
    raw = HEX["Report"][0]
    (tmp_path / "report").write_bytes(raw)
    key = KEYS["meter"].public_key.hex()
    for words, given in (
        ((raw.hex(), "-k", key), b""),
        ((str(tmp_path / "report"), "-k", key), b""),
        (("-", "-k", key), raw),
        (("-", "-k", key), raw.hex().encode() + b"\n"),
    ):
        status, out, _ = command(*words, given=given)
        assert (status, "signature: holds" in out) == (0, True)
    status, out, _ = command(raw.hex(), "--json", "-k", key)
    assert (status, json.loads(out)["signature"]) == (0, "holds")
    status, out, _ = command(raw[:-3].hex())
    assert status == 1
    assert "truncated at byte" in out
    status, _, err = command("no such thing")
    assert status == 1
    assert "neither hex digits nor a file" in err
    (tmp_path / "noise").write_bytes(bytes(range(128, 256)))
    status, out, err = command(raw.hex(), "--json", "-k", str(tmp_path / "noise"))
    assert (status, json.loads(out)["reason"]) == (1, "not-signed")
    assert str(tmp_path / "noise")[:60] in err  # longer labels are cut
    status, _, err = command("/dev/zero")
    assert (status, "too-big" in err) == (1, True)


def test_a_file_comes_before_hex_digits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "d284").write_bytes(HEX["Report"][0])
    assert read_input("d284") == HEX["Report"][0]
    assert read_input("d285") == b"\xd2\x85"
