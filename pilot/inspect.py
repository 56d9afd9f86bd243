"""`tallygrid inspect`: any message of ours, readable, and whether its signature holds.

Owns: finding out what some bytes are, saying it for people or as JSON, explaining damage down to the byte.
Refuses: believing a signature without a key: with none given it says "not checked".
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from wire import cbor, command, enrol, envelope, hello, ids, report, rows, settings, state, units
from wire.chain import bundle, kinds, main, slave, tx
from wire.chain.keys import KeyRing
from wire.errors import WireError
from wire.fields import List, Message, Name

INPUT_MAX = 256 << 20
PROOF_BYTES = {b"\xd2"[0]: 2 + 64, b"\xd1"[0]: 2 + 32}  # what stands behind an envelope's payload
ID_FIELDS = {"id", "device", "station", "gateway", "account", "node", "to", "company", "meter", "user"}


class Sort(NamedTuple):
    """One sort of message: what is needed to know it, read it and tell of it."""

    name: str
    domain: str
    fields: tuple[tuple[int, str, Any], ...]
    tell: Callable[[bytes, KeyRing], dict[str, Any]]


def _sort(message: type[Message]) -> Sort:
    name = message.DOMAIN.split("/")[1]
    return Sort(name, message.DOMAIN, message.FIELDS, lambda payload, ring: _fields(message.decode(payload), ring))


class _AnyRow:
    words = "row"

    def check(self, value: Any) -> bool:
        return isinstance(value, list)


_REPORT_FIELDS = (*report.HEAD_FIELDS, (7, "rows", List(_AnyRow(), rows.ROWS_MAX)))
SIGNED = (
    Sort("report", rows.DOMAIN, _REPORT_FIELDS, lambda payload, _: _report(report.decode(payload))),
    Sort(
        "attested report", report.ATTESTED_DOMAIN, (*_REPORT_FIELDS, *report.ATTESTED_FIELDS),
        lambda payload, _: _report(report.decode(payload, True)),
    ),
    *map(_sort, (
        report.Coarse, state.State, hello.Hello, command.Command, command.Receipt, enrol.Enrolment, enrol.Assignment,
        enrol.Entry, settings.Guarded, slave.SlaveHeader, main.MainHeader, tx.Tx, kinds.AccountEnrolment,
    )),
)  # fmt: skip
MACED = tuple(map(_sort, (hello.Beat, settings.Configuration)))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = "Prints what a message says, who signed it and whether the signature holds."
    parser.add_argument("what", help="a file, hex digits, or - for standard input (bytes or hex)")
    parser.add_argument(
        "-k", "--key", action="append", default=[], metavar="KEY",
        help="a public key to check with: 65 bytes, or a signed enrolment or registry entry, in hex; or a file of "
        "one, or of several in hex with one a line",
    )  # fmt: skip


def run(args: argparse.Namespace) -> int:
    raw = read_input(args.what)
    ring = KeyRing()
    for text in args.key:
        try:
            add_key(ring, text)
        except WireError as error:
            raise WireError(error.reason, f"--key {text[:60]!r} is no key: {error.detail}", error.at) from None
    try:
        told = whole(raw, ring)
    except WireError as error:
        told = {"message": "damaged", "reason": error.reason, "detail": error.detail, "byte": error.at}
        print(json.dumps(told) if args.json else "\n".join(damage(raw, error)))
        return 1
    print(json.dumps(told) if args.json else "\n".join(lines_of(told)))
    return 0 if sound(told) else 1


def read_input(what: str) -> bytes:
    """What a file or standard input holds (bytes, or hex digits as text), or hex digits themselves."""
    if what == "-":
        raw = _take(sys.stdin.buffer)
    elif not os.path.exists(what):
        direct = _hex(what.encode(errors="replace"))
        if direct is None:
            raise WireError("bad-type", f"{what[:60]!r} is neither hex digits nor a file")
        return direct
    else:
        try:
            with Path(what).open("rb") as stream:
                raw = _take(stream)
        except OSError as error:
            raise WireError("bad-type", f"{what[:60]!r} cannot be read: {error.strerror}") from None
    text = _hex(raw)
    return raw if text is None else text


def _take(stream: BinaryIO) -> bytes:
    raw = stream.read(INPUT_MAX + 1)
    if len(raw) > INPUT_MAX:
        raise WireError("too-big", f"more than {INPUT_MAX:,} bytes")
    return raw


def _hex(text: bytes) -> bytes | None:
    try:
        return bytes.fromhex(b"".join(text.split()).decode("ascii"))
    except ValueError:
        return None


def add_key(ring: KeyRing, text: str) -> None:
    for raw in _given(text):
        ring.add(raw if len(raw) == 65 else _key_in(raw))


def _given(text: str) -> list[bytes]:
    """The keys and messages that an argument is: hex, or a file of one in bytes or of several in hex."""
    if not os.path.isfile(text):
        return [read_input(text)]
    with Path(text).open("rb") as stream:
        raw = _take(stream)
    found = [_hex(word) for word in raw.split()]
    return [each for each in found if each] if found and None not in found else [raw]


def _key_in(raw: bytes) -> bytes:
    """The public key that a signed enrolment, account's enrolment or registry entry says is somebody's."""
    payload = envelope.split(raw).payload
    for message in (enrol.Enrolment, kinds.AccountEnrolment):
        try:
            return message.decode(payload).public_key
        except WireError:
            continue
    return _key_in(enrol.Entry.decode(payload).enrolment)


# ---------------------------------------------------------------- what it is


def whole(raw: bytes, ring: KeyRing) -> dict[str, Any]:
    """`inspect` of bytes from outside, which may hold messages in messages without end."""
    try:
        return inspect(raw, ring)
    except RecursionError:
        raise WireError("too-deep", "messages inside messages, more than any of ours has") from None


def inspect(raw: bytes, ring: KeyRing) -> dict[str, Any]:
    """Everything that can be said of these bytes; WireError where they are nothing of ours."""
    if raw[:1] == b"\xd2":
        return _signed(raw, ring)
    if raw[:1] == b"\xd1":
        return _maced(raw, ring)
    if raw[:3] == b"\x83\x00\x01":
        return {"message": "bundle", "records": [_record(kind, values, ring) for kind, values in bundle.read(raw)]}
    value = cbor.decode(raw, size=main.BLOCK_MAX)
    if isinstance(value, list) and [type(part) for part in value] == [bytes, list]:
        return _block(raw, value[0], ring)
    for sort in (*SIGNED, *MACED):
        try:
            return {"message": sort.name, "proof": "none: only the content", **sort.tell(raw, ring)}
        except WireError:
            continue
    return {"message": "CBOR of no message of ours", "value": plain(value)}


def _signed(raw: bytes, ring: KeyRing) -> dict[str, Any]:
    signed = envelope.split(raw)
    fitting = []
    for sort in SIGNED:
        try:
            fitting.append((sort.name, sort.tell(signed.payload, ring), check(signed, sort.domain, ring)))
        except WireError:
            continue
    if not fitting:
        if signed.payload[:1] == b"\xd2":
            proof = check(signed, enrol.Enrolment.ROTATION_DOMAIN, ring)
            inner = _inside(raw, signed.payload, ring)
            return {"message": "rotation", "signed by": ids.id_text(signed.kid), "signature": proof, "inside": inner}
        raise explained(raw, signed.payload, SIGNED)
    # Two messages may have the same shape; the one whose signature holds is the one that was signed.
    name, told, proof = next((one for one in fitting if one[2] == "holds"), fitting[0])
    return {"message": name, "signed by": ids.id_text(signed.kid), "signature": proof, **told}


def _maced(raw: bytes, ring: KeyRing) -> dict[str, Any]:
    payload = envelope.unwrap_mac(raw)
    sender = {"MAC by": ids.id_text(raw[8:16]), "MAC": "not checked: only the two who share the key can"}
    if payload[:1] == b"\xd2":
        return {"message": "order to a station", **sender, "inside": _inside(raw, payload, ring)}
    for sort in MACED:
        try:
            return {"message": sort.name, **sender, **sort.tell(payload, ring)}
        except WireError:
            continue
    raise explained(raw, payload, MACED)


def _inside(raw: bytes, payload: bytes, ring: KeyRing) -> dict[str, Any]:
    """The signed message inside an envelope; where it is damaged, the byte is the whole's."""
    try:
        return _signed(payload, ring)
    except WireError as error:
        raise _moved(error, payload_at(raw, payload)) from None


def _block(raw: bytes, header: bytes, ring: KeyRing) -> dict[str, Any]:
    try:
        told = _signed(header, ring)
    except WireError as error:
        raise _moved(error, 1 + len(cbor.head(cbor.BYTES, len(header)))) from None
    block = main.decode(raw) if told["message"] == "main" else slave.decode(raw)
    try:
        block.check_body()
        body = "is what the header says"
    except WireError as error:
        body = f"does not hold: {error}"
    messages = [_or_damage(each, ring) for each in block.body]
    name = f"{told.pop('message')} block"
    return {"message": name, "hash": block.header.hash().hex(), "body": body, **told, "messages": messages}


def _record(kind: str, values: list[Any], ring: KeyRing) -> dict[str, Any]:
    """A bundle's record: its message, or its values with long bytes counted."""
    if kind in ("entry", "report", "slave", "slave-header", "tx"):
        return {"record": kind, **_values(value for value in values if not isinstance(value, bytes)), "inside": [
            _or_damage(value, ring) for value in values if isinstance(value, bytes)
        ]}  # fmt: skip
    return {"record": kind, **_values(values)}


def _values(values: Iterator[Any] | list[Any]) -> dict[str, Any]:
    shown = [f"{len(v)} bytes" if isinstance(v, bytes) and len(v) > 65 else plain(v) for v in values]
    return {"values": shown} if shown else {}


def _or_damage(raw: bytes, ring: KeyRing) -> dict[str, Any]:
    try:
        return inspect(raw, ring)
    except WireError as error:
        return {"message": "damaged", "reason": error.reason, "detail": error.detail, "byte of it": error.at}


def check(signed: envelope.Signed, domain: str, ring: KeyRing) -> str:
    if signed.kid not in ring:
        return "not checked: give the key with --key"
    try:
        signed.check(ring, domain)
    except WireError as error:
        return f"does not hold: {error}"
    return "holds"


def sound(told: Any) -> bool:
    """Whether nothing in what was told is damaged or does not hold."""
    if isinstance(told, list):
        return all(map(sound, told))
    if not isinstance(told, dict):
        return True
    judged = [told[name] for name in ("signature", "body") if isinstance(told.get(name), str)]
    wrong = told.get("message") == "damaged" or any(each.startswith("does not hold") for each in judged)
    return not wrong and all(map(sound, told.values()))


# ---------------------------------------------------------------- what is wrong with it


def explained(raw: bytes, payload: bytes, sorts: tuple[Sort, ...]) -> WireError:
    """Why the payload of this envelope is none of these messages, judged by the one it is most like."""
    try:
        value = cbor.decode(payload)
        if not isinstance(value, dict):
            raise WireError("bad-type", "a message is a map", 0)
        sort = max(sorts, key=lambda sort: _likeness(value, sort.fields))
        try:
            sort.tell(payload, KeyRing())
            raise AssertionError("asked about a message that is one")
        except WireError as error:
            at = error.at if error.at > 0 else _place(payload, value, sort.fields)
            raise WireError(
                error.reason, f"most like a message of the sort {sort.name!r}; {error.detail}", at
            ) from None
    except WireError as error:
        return _moved(error, payload_at(raw, payload))


def _likeness(value: dict[int, Any], fields: tuple[tuple[int, str, Any], ...]) -> float:
    """The share of fields that fit, of those that either has; 1 where all do."""
    fit = sum(1 for key, _, kind in fields if key in value and kind.check(value[key]))
    return 2 * fit / (len(fields) + len(value))


def _place(payload: bytes, value: dict[int, Any], fields: tuple[tuple[int, str, Any], ...]) -> int:
    """Where the first field begins that is not as it should be; of a missing one, where it belongs."""
    _, pos = cbor.argument(payload, 0)
    begins: dict[int, int] = {}
    for key in value:
        begins[key] = pos
        for _ in ("key", "value"):
            _, pos = cbor.item(payload, pos)
    for key, _, kind in fields:
        if key not in value:
            return min((at for other, at in begins.items() if other > key), default=pos)
        if not kind.check(value[key]):
            return begins[key]
    known = {key for key, _, _ in fields}
    return min((at for key, at in begins.items() if key not in known), default=0)


def payload_at(raw: bytes, payload: bytes) -> int:
    return len(raw) - PROOF_BYTES[raw[0]] - len(payload)


def _moved(error: WireError, by: int) -> WireError:
    return WireError(error.reason, error.detail, error.at + by)


# ---------------------------------------------------------------- what it says


def _report(found: report.Report) -> dict[str, Any]:
    told = {
        "device": ids.id_text(found.id),
        "boot": found.boot,
        "rows": f"{found.seq} … {found.next_seq - 1}",
        "head before": found.head.hex(),
        "head after": found.next_head.hex(),
        "base time": found.time_s,
        "clock": rows.QUALITY[found.quality],
    }
    if found.gateway:
        told |= {"gateway": ids.id_text(found.gateway), "raw registers": found.raw_hash.hex()}
    return {**told, "readings": [_row(row) for row in found.rows]}


def _row(row: list[Any]) -> dict[str, Any]:
    names = ("dt_s", "import_wh", "export_wh", "power_w", "voltage_mv", "current_ma", "flags")
    told: dict[str, Any] = dict(zip(names, row, strict=False))
    for key, value in sorted((row[7] if len(row) > 7 else {}).items()):
        if key == 0:
            told["event"] = [rows.EVENTS[value[0]], value[1]]
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
            told[name] = ids.id_text(value)
        elif isinstance(value, bytes) and value[:1] == b"\xd2" and len(value) > 90:
            told[name] = _or_damage(value, ring)
        elif isinstance(message, tx.Tx) and name == "body":
            told[name] = _body(message, ring)
        else:
            told[name] = plain(value)
    return told


def _body(found: tx.Tx, ring: KeyRing) -> dict[str, Any]:
    """By name where the kind is known and the body is one of it: what a chain refuses is still a transaction."""
    kind = kinds.BY_NUMBER.get(found.kind)
    try:
        return {"is": kind.__name__, **_fields(kind.of(found.body), ring)} if kind else plain(found.body)
    except WireError as error:
        return {"is no": kind.__name__ if kind else "", "reason": str(error), **plain(found.body)}


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
        elif isinstance(value, list) and value and all(isinstance(each, dict) and each for each in value):
            lines.append(f"{indent}{name}:")
            for each in value:
                if "dt_s" in each:
                    lines.append(f"{indent}  - " + "  ".join(f"{k} {v}" for k, v in each.items()))
                else:
                    first, *others = lines_of(each)
                    lines += [f"{indent}  - {first}", *(f"{indent}    {line}" for line in others)]
        else:
            lines.append(f"{indent}{name}: {printable(str(value))}")
    return lines


def printable(text: str) -> str:
    """Nobody's label writes lines of its own, or moves the terminal's cursor."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)


def damage(raw: bytes, error: WireError) -> list[str]:
    lines = [f"this is no whole message of ours: {error}"]
    if 0 <= error.at <= len(raw):
        start = max(0, error.at - 8)
        before, here = raw[start : error.at].hex(" "), raw[error.at : error.at + 9].hex(" ")
        lines += [f"  bytes {start}…: {before} [{here or 'the end'}]", f"  of {len(raw)} bytes in all"]
    return lines
