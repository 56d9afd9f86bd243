"""docs/spec.md is what wire/ does: its tables are the code's, its hex examples are read and their proofs hold."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from wire import cbor, command, enrol, envelope, errors, hello, report, rows, settings, state, topics, units
from wire.chain import bundle, main, slave, tx
from wire.chain.keys import KeyRing, PrivateKey, SharedKey
from wire.fields import Message

SPEC = (Path(__file__).parents[2] / "docs" / "spec.md").read_text()
PARTS = {match[1]: match[2] for match in re.finditer(r"^### 3\.\d+ (.+?)\n(.*?)(?=^###? )", SPEC, re.M | re.S)}
HEX = {
    title: [bytes.fromhex(text) for text in re.findall(r"```hex\n(\w+)\n```", part)] for title, part in PARTS.items()
}
KEYS = {
    name: PrivateKey.derive("docs/spec.md", name)
    for name in ("meter", "station", "gateway", "dispatch", "registrar", "account", "main node", "meter, second key")
}
RING = KeyRing()
for key in KEYS.values():
    RING.add(key.public_key)

SIGNED: dict[str, type[Message]] = {
    "Coarse report": report.Coarse,
    "Station state": state.State,
    "Hello": hello.Hello,
    "Receipt": command.Receipt,
    "Enrolment": enrol.Enrolment,
    "Registry entry": enrol.Entry,
    "Transaction": tx.Tx,
}
OTHERS: dict[str, type[Message]] = {
    "Beat": hello.Beat,
    "Configuration": settings.Configuration,
    "Command": command.Command,
    "Slave block": slave.SlaveHeader,
    "Main block": main.MainHeader,
}


def rows_of(text: str) -> list[list[str]]:
    return [
        [cell.strip() for cell in line.strip("|").split(" | ")] for line in text.splitlines() if line.startswith("| ")
    ]


def test_every_message_has_its_part() -> None:
    assert set(PARTS) == {*SIGNED, *OTHERS, "Report", "Attested report"}


@pytest.mark.parametrize("title", [*SIGNED, *OTHERS])
def test_fields(title: str) -> None:
    message = {**SIGNED, **OTHERS}[title]
    assert f"Domain `{message.DOMAIN}`" in PARTS[title]
    table = rows_of(PARTS[title])[2 : 2 + len(message.FIELDS)]
    assert [row[:3] for row in table] == [[str(key), name, kind.words] for key, name, kind in message.FIELDS]


def test_fields_of_reports() -> None:
    rows_words = f"array of 1…{rows.ROWS_MAX} rows"
    wanted = [[str(key), name, kind.words] for key, name, kind in report.HEAD_FIELDS] + [["7", "rows", rows_words]]
    attested = [[str(key), name, kind.words] for key, name, kind in report.ATTESTED_FIELDS]
    assert [row[:3] for row in rows_of(PARTS["Report"])[2:9]] == wanted
    assert [row[:3] for row in rows_of(PARTS["Attested report"])[2:]] == wanted + attested
    assert f"At most {report.REPORT_MAX:,} bytes" in PARTS["Report"]


def test_events_flags_and_what_a_row_may_carry() -> None:
    part = PARTS["Report"].split("#### 3.1.1 Rows")[1]
    assert f"Events: {rows.EVENTS.words}." in part
    assert ", ".join(f"{number} {name}" for number, name in enumerate(rows.RESET_CAUSES)) in part
    flags, more = (row[3] for row in rows_of(part)[2:] if row[1] in ("flags", "more"))
    assert re.findall(r"(?:^|· )(\d+) ", flags) == ["1", "2", "4", "8", "16"]
    assert sum(map(int, re.findall(r"(?:^|· )(\d+) ", flags))) == rows.FLAGS
    assert re.findall(r"· (\d+) (\w+)", more) == [(str(key), name) for key, name, _, _ in units.MORE]


def test_sizes() -> None:
    assert f"at most {cbor.MAX_DEPTH} deep" in SPEC
    assert f"at most {cbor.MAX_SIZE:,} bytes" in SPEC
    assert f"at most {slave.BLOCK_MAX:,} bytes" in PARTS["Slave block"]
    assert f"at most {main.BLOCK_MAX:,} bytes" in PARTS["Main block"]
    assert f"At most {tx.TX_MAX:,} bytes" in PARTS["Transaction"]


@pytest.mark.parametrize("title", SIGNED)
def test_signed_examples(title: str) -> None:
    message = SIGNED[title]
    payload = envelope.open_signed(HEX[title][0], RING, message.DOMAIN)
    assert message.decode(payload).encode() == payload


def test_report_examples() -> None:
    for title, domain, attested in (
        ("Report", rows.DOMAIN, False),
        ("Attested report", report.ATTESTED_DOMAIN, True),
    ):
        payload = envelope.open_signed(HEX[title][0], RING, domain)
        assert report.decode(payload, attested).encode() == payload
        assert f"Domain `{domain}`" in PARTS[title]


def maced(title: str, sender: str, receiver: str, domain: str) -> bytes:
    """Opened with the receiver's key, as the device does."""
    shared = SharedKey(KEYS[sender].kid, KEYS[receiver].mac_key(KEYS[sender].public_key))
    return envelope.open_mac(HEX[title][0], shared, domain)


def test_maced_examples() -> None:
    hello.Beat.decode(maced("Beat", "gateway", "meter", hello.Beat.DOMAIN))
    configuration = settings.Configuration.decode(
        maced("Configuration", "gateway", "meter", settings.Configuration.DOMAIN)
    )
    assert configuration.guarded is not None
    guarded = settings.Guarded.decode(envelope.open_signed(configuration.guarded, RING, settings.Guarded.DOMAIN))
    assert guarded.version == configuration.version
    signed = maced("Command", "dispatch", "station", command.MAC_DOMAIN)
    command.Command.decode(envelope.open_signed(signed, RING, command.Command.DOMAIN))


def test_rotation_and_assignment() -> None:
    inner = envelope.open_signed(HEX["Enrolment"][1], RING, enrol.Enrolment.ROTATION_DOMAIN)
    enrolment = enrol.Enrolment.decode(envelope.open_signed(inner, RING, enrol.Enrolment.DOMAIN))
    assert (enrolment.id, enrolment.public_key) == (KEYS["meter"].kid, KEYS["meter, second key"].public_key)
    entry = enrol.Entry.decode(envelope.open_signed(HEX["Registry entry"][0], RING, enrol.Entry.DOMAIN))
    assert entry.assignment is not None
    enrol.Assignment.decode(envelope.open_signed(entry.assignment, RING, enrol.Assignment.DOMAIN))


def test_block_examples() -> None:
    block = slave.decode(HEX["Slave block"][0])
    block.check_signature(RING)
    block.check_body()
    block.check_link(0, slave.START)
    main_block = main.decode(HEX["Main block"][0])
    main_block.check_signature(RING)
    main_block.check_body()
    assert main_block.body == [block.encode()]


def section(title: str) -> list[list[str]]:
    return rows_of(SPEC.split(f"\n## {title}\n")[1].split("\n## ")[0])[2:]


def test_reasons_and_suspicions() -> None:
    assert [row[0] for row in section("4. Reasons for refusal")] == [f"`{reason}`" for reason in errors.REASONS]
    assert [row[1] for row in section("2. Values")] == list(units.SUSPECT[1:])


def test_settings() -> None:
    part = PARTS["Configuration"].split("#### 3.7.1 Settings")[1]
    wanted = [[str(key), name, kind.words, "gateway"] for key, name, kind in settings.SETTINGS]
    wanted += [[str(key), name, kind.words, "registrar"] for key, name, kind in settings.GUARDED]
    assert [row[:4] for row in rows_of(part)[2:]] == wanted


def test_topics() -> None:
    told = [row[0].strip("`") for row in section("5. Topics")]
    assert told == [f"tallygrid/<id>/up/{kind}" for kind in topics.UP] + [
        f"tallygrid/<id>/down/{kind}" for kind in topics.DOWN
    ]


def test_bundle_records() -> None:
    told = [row[1] for row in section("7. Chains")]
    assert told == list(bundle.KINDS[1:])
