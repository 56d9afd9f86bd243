"""One reader for each kind of vector; the same file runs on CPython and on MicroPython.

Owns: how a vector's input is read, and how what was read is written down in JSON.
Invariant: a reader gives back what it read and the bytes that this encodes to; for a good vector those are the input.
"""

import json
import sys

from wire import cbor, command, enrol, envelope, hello, ids, report, settings, state, topics, units
from wire.errors import WireError

MESSAGES = (
    ("coarse", report.Coarse),
    ("state", state.State),
    ("hello", hello.Hello),
    ("beat", hello.Beat),
    ("configuration", settings.Configuration),
    ("guarded", settings.Guarded),
    ("command", command.Command),
    ("receipt", command.Receipt),
    ("enrolment", enrol.Enrolment),
    ("assignment", enrol.Assignment),
    ("entry", enrol.Entry),
)


def plain(value):
    """JSON has no bytes, and only text as keys. MicroPython's dicts keep no order, so maps become sorted pairs."""
    if isinstance(value, bytes):
        return "h'" + "".join(["%02x" % b for b in value])
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    if isinstance(value, dict):
        return {"map": [[key, plain(value[key])] for key in sorted(value)]}
    if isinstance(value, int) and not -(2**53) <= value <= 2**53:
        return "#%d" % value
    return value


def read_cbor(raw):
    value = cbor.decode(raw)
    return value, cbor.encode(value)


def read_report(raw, attested=False):
    found = report.decode(raw, attested)
    head = [found.id, found.boot, found.seq, found.head, found.time_s, found.quality]
    value = [head, found.rows, found.next_head]
    if attested:
        value.append([found.gateway, found.raw_hash])
    return value, found.encode()


def read_attested(raw):
    return read_report(raw, True)


def read_signed(raw):
    signed = envelope.split(raw)
    whole = envelope.SIGN1_HEAD + signed.kid + b"\xa0" + cbor.encode(signed.payload) + b"\x58\x40" + signed.signature
    return [signed.kid, signed.payload, signed.signature], whole


def read_maced(raw):
    payload = envelope.unwrap_mac(raw)
    return payload, raw[:17] + cbor.encode(payload) + raw[-34:]


def read_topic(raw):
    id, kind = topics.split(raw.decode())
    return [id, kind], raw


def read_id(raw):
    id = ids.id_bytes(raw.decode())
    return id, ids.id_text(id).encode()


def read_kid(raw):
    return ids.kid_of(raw), raw


def read_row(raw):
    """A row, and what is suspect about its values."""
    row = report.decode_row(raw)
    return [row, units.SUSPECT[units.suspect_values(row)]], cbor.encode(row)


def read_step(raw):
    """[registers before, row, rating]: what is suspect about the step."""
    before, row, rating_w = cbor.decode(raw)
    return units.SUSPECT[units.suspect_step(before, row, rating_w)], raw


def read_message(kind, raw):
    found = kind.decode(raw)
    return [value for _, value in found.fields()], found.encode()


READERS = {
    "cbor": read_cbor,
    "report": read_report,
    "attested": read_attested,
    "signed": read_signed,
    "maced": read_maced,
    "topic": read_topic,
    "id": read_id,
    "kid": read_kid,
    "row": read_row,
    "step": read_step,
}


def reader(kind):
    for name, message in MESSAGES:
        if name == kind:
            return lambda raw: read_message(message, raw)
    return READERS[kind]


def judge(case, reader):
    """None, or what is wrong with a case's outcome."""
    raw = bytes.fromhex(case["input"])
    try:
        value, again = reader(raw)
    except WireError as error:
        return None if error.reason == case.get("reason") else "refused: %s" % error
    if "reason" in case:
        return "taken, but %s was expected" % case["reason"]
    if again != raw:
        return "encodes to other bytes: %s" % plain(again)
    return None if plain(value) == case["value"] else "read as %s" % json.dumps(plain(value))


def main(paths):
    """For MicroPython: every case of the files; prints what is wrong and a last line with the count."""
    count = bad = 0
    for path in paths:
        with open(path) as stream:
            cases = json.load(stream)
        for case in cases:
            wrong = judge(case, reader(case["kind"]))
            count += 1
            if wrong:
                bad += 1
                print(case["name"], wrong)
    print("cases", count, "bad", bad)


if __name__ == "__main__":
    main(sys.argv[1:])
