"""`tallygrid inspect`: any message of ours, readable, and whether its signature holds.

Owns: finding out what some bytes are, saying it for people or as JSON, explaining damage down to the byte.
Refuses: believing a signature without a key: with none given it says "not checked".
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from wire import beat, cbor, command, enrol, envelope, report, units
from wire.chain import bundle, kinds, main, slave, tx
from wire.chain.keys import KeyRing
from wire.errors import WireError
from wire.fields import Message, Name

SIGNED: tuple[type[Message], ...] = (
    report.Coarse, report.State, beat.Hello, command.Command, command.Receipt, enrol.Enrolment, enrol.Assignment,
    enrol.Entry, beat.Guarded, slave.SlaveHeader, main.MainHeader, tx.Tx, kinds.AccountEnrolment,
)  # fmt: skip
MACED: tuple[type[Message], ...] = (beat.Beat, beat.Configuration)
ID_FIELDS = {"id", "device", "station", "gateway", "account", "node", "to", "company", "meter", "user"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = "Prints what a message says, who signed it and whether the signature holds."
    parser.add_argument("what", help="a file, hex digits, or - for standard input (bytes or hex)")
    parser.add_argument(
        "-k", "--key", action="append", default=[], metavar="KEY",
        help="a public key to check with: 65 bytes in hex, or a file with one a line, or a signed enrolment or entry",
    )  # fmt: skip


def run(args: argparse.Namespace) -> int:
    raw = read_input(args.what)
    ring = KeyRing()
    for text in args.key:
        add_key(ring, text)
    try:
        told = inspect(raw, ring)
    except WireError as error:
        told = {"message": "damaged", "reason": error.reason, "detail": error.detail, "byte": error.at}
        print(json.dumps(told) if args.json else "\n".join(damage(raw, error)))
        return 1
    print(json.dumps(told) if args.json else "\n".join(lines_of(told)))
    return 1 if "does not hold" in json.dumps(told) else 0


def read_input(what: str) -> bytes:
    """Hex digits themselves, or what a file or standard input holds: bytes, or hex digits as text."""
    direct = _hex(what.encode())
    if direct is not None:
        return direct
    if what == "-":
        raw = sys.stdin.buffer.read()
    else:
        try:
            raw = Path(what).read_bytes()
        except OSError as error:
            raise WireError("bad-type", f"{what[:60]!r} is neither hex digits nor a file: {error.strerror}") from None
    text = _hex(raw)
    return raw if text is None else text


def _hex(text: bytes) -> bytes | None:
    try:
        return bytes.fromhex(b"".join(text.split()).decode("ascii"))
    except ValueError:
        return None


def add_key(ring: KeyRing, text: str) -> None:
    direct = _hex(text.encode())
    for raw in [direct] if direct else [read_input(line) for line in Path(text).read_text().split()]:
        if len(raw) == 65:
            ring.add(raw)
            continue
        payload = envelope.split(raw).payload
        try:
            ring.add(enrol.Enrolment.decode(payload).public_key)
        except WireError:
            ring.add(enrol.Enrolment.decode(envelope.split(enrol.Entry.decode(payload).enrolment).payload).public_key)


# ---------------------------------------------------------------- what it is


def inspect(raw: bytes, ring: KeyRing) -> dict[str, Any]:
    """Everything that can be said of these bytes; WireError where they are nothing of ours."""
    if raw[:1] == b"\xd2":
        return _signed(raw, ring)
    if raw[:1] == b"\xd1":
        return _maced(raw, ring)
    if raw[:1] == b"\x82":
        for decode, name in ((slave.decode, "slave block"), (main.decode, "main block")):
            try:
                return _block(decode(raw), name, ring)
            except WireError as error:
                last = error
        raise last
    if raw[:3] == b"\x83\x00\x01":
        return {"message": "bundle", "records": [[kind, len(values)] for kind, values in bundle.read(raw)]}
    value = cbor.decode(raw)
    for message in (*SIGNED, *MACED):
        try:
            return {"message": name_of(message), "proof": "none: only the content", **_fields(message.of(value), ring)}
        except WireError:
            continue
    if isinstance(value, dict) and 7 in value:
        return {"message": "report", "proof": "none: only the content", **_report(report.decode(raw))}
    return {"message": "CBOR of no message of ours", "value": plain(value)}


def name_of(message: type[Message]) -> str:
    return message.DOMAIN.split("/")[1]


def _signed(raw: bytes, ring: KeyRing) -> dict[str, Any]:
    signed = envelope.split(raw)
    candidates: list[tuple[str, str, Callable[[bytes], dict[str, Any]]]] = [
        ("report", report.DOMAIN, lambda payload: _report(report.decode(payload))),
        ("attested report", report.ATTESTED_DOMAIN, lambda payload: _report(report.decode(payload, True))),
    ]
    for message in SIGNED:
        candidates.append(
            (name_of(message), message.DOMAIN, lambda payload, m=message: _fields(m.decode(payload), ring))  # type: ignore[misc]
        )
    first: WireError | None = None
    fitting = []
    for name, domain, decode in candidates:
        try:
            fitting.append((name, domain, decode(signed.payload)))
        except WireError as error:
            first = first or error
    if not fitting:
        if signed.payload[:1] == b"\xd2":
            inner = _signed(signed.payload, ring)
            proof = check(signed, enrol.Enrolment.ROTATION_DOMAIN, ring)
            return {"message": "rotation", "signed by": enrol.id_text(signed.kid), "signature": proof, "inside": inner}
        assert first is not None
        raise WireError(first.reason, f"the content is no message of ours: {first.detail}", first.at)
    # Two messages may have the same shape; the one whose signature holds is the one that was signed.
    judged = [(name, fields, check(signed, domain, ring)) for name, domain, fields in fitting]
    name, fields, proof = next((one for one in judged if one[2] == "holds"), judged[0])
    return {"message": name, "signed by": enrol.id_text(signed.kid), "signature": proof, **fields}


def _maced(raw: bytes, ring: KeyRing) -> dict[str, Any]:
    payload = envelope.unwrap_mac(raw)
    sender = {"MAC by": enrol.id_text(raw[8:16]), "MAC": "not checked: only the two who share the key can"}
    if payload[:1] == b"\xd2":
        return {"message": "order to a station", **sender, "inside": _signed(payload, ring)}
    for message in MACED:
        try:
            return {"message": name_of(message), **sender, **_fields(message.decode(payload), ring)}
        except WireError as error:
            last = error
    raise last


def _block(block: slave.SlaveBlock | main.MainBlock, name: str, ring: KeyRing) -> dict[str, Any]:
    try:
        block.check_body()
        body = "is what the header says"
    except WireError as error:
        body = f"does not hold: {error}"
    domain = slave.SlaveHeader.DOMAIN if isinstance(block, slave.SlaveBlock) else main.MainHeader.DOMAIN
    signed = envelope.split(block.signed)
    return {
        "message": name,
        "signed by": enrol.id_text(signed.kid),
        "signature": check(signed, domain, ring),
        "hash": block.header.hash().hex(),
        "body": body,
        **_fields(block.header, ring),
        "messages": [_or_damage(raw, ring) for raw in block.body],
    }


def _or_damage(raw: bytes, ring: KeyRing) -> dict[str, Any]:
    try:
        return inspect(raw, ring)
    except WireError as error:
        return {"message": "damaged", "reason": str(error)}


def check(signed: envelope.Signed, domain: str, ring: KeyRing) -> str:
    if signed.kid not in ring:
        return "not checked: give the key with --key"
    try:
        signed.check(ring, domain)
    except WireError as error:
        return f"does not hold: {error}"
    return "holds"


# ---------------------------------------------------------------- what it says


def _report(found: report.Report) -> dict[str, Any]:
    told = {
        "device": enrol.id_text(found.id),
        "boot": found.boot,
        "rows": f"{found.seq} … {found.next_seq - 1}",
        "head before": found.head.hex(),
        "head after": found.next_head.hex(),
        "base time": found.time_s,
        "clock": report.QUALITY[found.quality],
    }
    if found.gateway:
        told |= {"gateway": enrol.id_text(found.gateway), "raw registers": found.raw_hash.hex()}
    return {**told, "readings": [_row(row) for row in found.rows]}


def _row(row: list[Any]) -> dict[str, Any]:
    names = ("dt_s", "import_wh", "export_wh", "power_w", "voltage_mv", "current_ma", "flags")
    told: dict[str, Any] = dict(zip(names, row, strict=False))
    for key, value in sorted((row[7] if len(row) > 7 else {}).items()):
        if key == 0:
            told["event"] = [report.EVENTS[value[0]], value[1]]
        else:
            told[next(name for number, name, _, _ in units.MORE if number == key)] = value
    suspect = units.suspect_values(row)
    return {**told, "suspect": units.SUSPECT[suspect]} if suspect else told


def _fields(message: Message, ring: KeyRing) -> dict[str, Any]:
    told: dict[str, Any] = {}
    for _, name, kind in message.FIELDS:
        value = getattr(message, name)
        if isinstance(kind, Name):
            told[name] = kind[value]
        elif isinstance(value, bytes) and len(value) == 8 and (name in ID_FIELDS):
            told[name] = enrol.id_text(value)
        elif isinstance(value, bytes) and value[:1] == b"\xd2" and len(value) > 90:
            told[name] = _or_damage(value, ring)
        else:
            told[name] = plain(value)
    return told


def plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, list):
        return [plain(each) for each in value]
    if isinstance(value, dict):
        return {str(key): plain(value[key]) for key in sorted(value)}
    return value


def lines_of(told: dict[str, Any], indent: str = "") -> list[str]:
    lines = []
    for name, value in told.items():
        if isinstance(value, dict):
            lines += [f"{indent}{name}:", *lines_of(value, indent + "  ")]
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            lines.append(f"{indent}{name}:")
            for each in value:
                flat = all(not isinstance(v, dict) for v in each.values())
                one_line = ["  ".join(f"{k} {v}" for k, v in each.items())]
                lines += [f"{indent}  - {line}" for line in (one_line if flat else lines_of(each))]
        else:
            lines.append(f"{indent}{name}: {value}")
    return lines


def damage(raw: bytes, error: WireError) -> list[str]:
    lines = [f"this is no whole message of ours: {error}"]
    if 0 <= error.at <= len(raw):
        start = max(0, error.at - 8)
        before, here = raw[start : error.at].hex(" "), raw[error.at : error.at + 9].hex(" ")
        lines += [f"  bytes {start}…: {before} [{here or 'the end'}]", f"  of {len(raw)} bytes in all"]
    return lines
