"""`tallygrid inspect` on every example of the spec, whole and damaged."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from pilot.inspect import add_key, inspect
from tests.wire.test_spec import HEX, KEYS, RING
from wire.chain.keys import KeyRing
from wire.errors import WireError

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
