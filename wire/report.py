"""What a device measured: rows under one signature, and what stands in for rows that a journal gave up.

Owns: report, attested report, coarse report, station state; rows, events, flags, the head over rows.
Refuses: rows of another shape. Values outside wire/units.py's limits are no refusal (`suspect`).
Invariant: head i = SHA-256(head i-1 ‖ bytes of row i), and the bytes of a row are exactly those in the report.
"""

from hashlib import sha256

from wire import cbor
from wire.errors import WireError
from wire.fields import ENERGY, HASH, ID, REGISTERS, SEQ, TIME, Int, Message, Name, OrNull, Uint

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

DOMAIN = "tallygrid/report/1"
ATTESTED_DOMAIN = "tallygrid/attested/1"
HEAD_START = bytes(32)
ROWS_MAX = 60
REPORT_MAX = 8_192

QUALITY = Name("none", "stale", "synced")
NONE, STALE, SYNCED = range(3)

# flags of a row
EVENT = 1  # `more` holds key 0: [code, value]
BOUNDARY = 2  # ends a tariff or a session
NO_SENSOR = 4  # power, voltage and current are 0 because nobody measured them; registers stand still
CLOSED = 8  # the station's relay was closed at the end of the row, read back
SAFE = 16  # the station was in its safe state
FLAGS = 31

EVENTS = Name(
    "start",  # value: the reset cause
    "stop",
    "tamper",
    "power fail",
    "safe entered",  # value: why, an index into SAFE_REASONS of the firmware
    "safe left",
    "clock step",  # value: seconds
    "configuration",  # value: the version
    "takeover",  # the device took a position over that is ahead of its flash; it goes on from this row's registers
    "coarsened",  # value: reports merged
    "command",  # value: the counter taken
    "sensor lost",
    "sensor back",
    "session start",
    "session end",
)
RESET_CAUSES = ("power on", "hard reset", "watchdog", "deep sleep", "soft reset", "brown-out")

_EVENT_KEY = 0
_MORE_KEYS = (0, 1, 2, 3, 4)

_HEAD_FIELDS = (
    (1, "id", ID),
    (2, "boot", Uint(32)),
    (3, "seq", SEQ),
    (4, "head", HASH),
    (5, "time_s", TIME),
    (6, "quality", QUALITY),
)
_ATTESTED_FIELDS = ((8, "gateway", ID), (9, "raw_hash", HASH))


class Report:
    """`rows` are lists as in ROW; `row_bytes` the same rows as they stand in the report."""

    def __init__(
        self,
        id: bytes,
        boot: int,
        seq: int,
        head: bytes,
        time_s: int,
        quality: int,
        row_bytes: "list[bytes]",
        rows: "list[Any] | None" = None,
        gateway: bytes = b"",
        raw_hash: bytes = b"",
    ) -> None:
        self.id = id
        self.boot = boot
        self.seq = seq
        self.head = head
        self.time_s = time_s
        self.quality = quality
        self.row_bytes = row_bytes
        self.rows = rows if rows is not None else [decode_row(raw) for raw in row_bytes]
        self.gateway = gateway  # of an attested report: who read the device's registers for it
        self.raw_hash = raw_hash  # SHA-256 over the raw registers behind all rows

    @property
    def next_seq(self) -> int:
        return self.seq + len(self.row_bytes)

    def heads(self) -> "list[bytes]":
        """The head after each row."""
        heads = []
        head = self.head
        for raw in self.row_bytes:
            head = sha256(head + raw).digest()
            heads.append(head)
        return heads

    @property
    def next_head(self) -> bytes:
        return self.heads()[-1]

    def encode(self) -> bytes:
        head = (self.id, self.boot, self.seq, self.head, self.time_s, self.quality)
        return encode(*head, self.row_bytes, self.gateway, self.raw_hash)


def advance(head: bytes, row: bytes) -> bytes:
    return sha256(head + row).digest()


def encode_row(
    dt: int,
    import_wh: int,
    export_wh: int,
    power_w: int,
    voltage_mv: "Any",
    current_ma: "Any",
    flags: int = 0,
    more: "dict[int, Any] | None" = None,
) -> bytes:
    buf = bytearray(64)
    buf[0] = cbor.ARRAY | (8 if more else 7)
    pos = cbor.put_head(buf, 1, cbor.UINT, dt)
    pos = cbor.put_head(buf, pos, cbor.UINT, import_wh)
    pos = cbor.put_head(buf, pos, cbor.UINT, export_wh)
    pos = cbor.put_int(buf, pos, power_w)
    for value in (voltage_mv, current_ma):
        if type(value) is int:
            pos = cbor.put_head(buf, pos, cbor.UINT, value)
        else:
            pos = cbor.put_head(buf, pos, cbor.ARRAY, 3)
            for phase in value:
                pos = cbor.put_head(buf, pos, cbor.UINT, phase)
    pos = cbor.put_head(buf, pos, cbor.UINT, flags)
    row = bytes(buf[:pos])
    return row + cbor.encode(more) if more else row


def encode(
    id: bytes,
    boot: int,
    seq: int,
    head: bytes,
    time_s: int,
    quality: int,
    row_bytes: "list[bytes]",
    gateway: bytes = b"",
    raw_hash: bytes = b"",
) -> bytes:
    """The payload of a report; with `gateway` of an attested one."""
    parts = [bytes((cbor.MAP | (9 if gateway else 7),))]
    for key, value in ((1, id), (2, boot), (3, seq), (4, head), (5, time_s), (6, quality)):
        parts.append(bytes((key,)))
        parts.append(cbor.encode(value))
    parts.append(b"\x07")
    parts.append(cbor.head(cbor.ARRAY, len(row_bytes)))
    parts.extend(row_bytes)
    if gateway:
        parts.append(b"\x08" + cbor.encode(gateway) + b"\x09" + cbor.encode(raw_hash))
    return b"".join(parts)


def decode(payload: bytes, attested: bool = False) -> Report:
    """A report, or an attested one. The walk is by hand: the rows' own bytes are needed, and this is the hot path."""
    if len(payload) > REPORT_MAX:
        raise WireError("too-big", "a report has at most %d bytes" % REPORT_MAX)
    try:
        return _decode(payload, attested)
    except IndexError:
        raise WireError("truncated", "", len(payload)) from None


def _decode(payload: bytes, attested: bool) -> Report:
    if payload[0] & 0xE0 != cbor.MAP:
        raise WireError("bad-type", "a report is a map", 0)
    count, pos = cbor.argument(payload, 0)
    if count != (9 if attested else 7):
        raise WireError("bad-field", "%d fields" % count, 0)
    values, pos = _fields(payload, pos, _HEAD_FIELDS)
    rows, row_bytes, pos = _rows(payload, pos)
    ends: "list[Any]" = []
    if attested:
        ends, pos = _fields(payload, pos, _ATTESTED_FIELDS)
    if pos != len(payload):
        raise WireError("trailing", "%d bytes too many" % (len(payload) - pos), pos)
    if values[2] + len(rows) > SEQ.high:
        raise WireError("bad-field", "3 seq runs over", 0)
    return Report(values[0], values[1], values[2], values[3], values[4], values[5], row_bytes, rows, *ends)


def _fields(data: bytes, pos: int, fields: "tuple[tuple[int, str, Any], ...]") -> "tuple[list[Any], int]":
    values = []
    for key, name, kind in fields:
        if data[pos] != key:
            raise WireError("missing-field", "%d %s" % (key, name), pos)
        value, pos = cbor.read(data, pos + 1, 1)
        if not kind.check(value):
            raise WireError("bad-field", "%d %s is %s" % (key, name, kind.words), pos)
        values.append(value)
    return values, pos


def _rows(data: bytes, pos: int) -> "tuple[list[Any], list[bytes], int]":
    if data[pos] != 7:
        raise WireError("missing-field", "7 rows", pos)
    pos += 1
    if data[pos] & 0xE0 != cbor.ARRAY:
        raise WireError("bad-field", "7 rows is an array", pos)
    count, pos = cbor.argument(data, pos)
    if not 1 <= count <= ROWS_MAX:
        raise WireError("bad-field", "7 rows: 1 to %d" % ROWS_MAX, pos)
    rows, row_bytes, end = cbor.rows(data, pos, count, 2)
    for row in rows:
        if len(row) != 7 or not _plain(row):
            _check_row(row, pos)
    return rows, row_bytes, end


def _plain(row: "Any") -> bool:
    """Whether this is a row of one phase and no event, as most are: a quick way past the check below.

    A shift leaves 0 of an integer that is in range, -1 or more of one that is not.
    """
    dt, import_wh, export_wh, power_w, voltage_mv, current_ma, flags = row
    try:
        return not (
            (dt | voltage_mv | current_ma) >> 32
            or (import_wh | export_wh) >> 53
            or (power_w + 0x80000000) >> 32
            or (flags & EVENT or flags >> 5)
        )
    except TypeError:  # an array, or a byte string where a number belongs
        return False


def decode_row(raw: bytes) -> "list[Any]":
    row = cbor.decode(raw, 3)
    _check_row(row, 0)
    return row  # type: ignore[return-value]


def _check_row(row: "Any", at: int) -> None:
    """[dt, import_wh, export_wh, power_w, voltage_mv, current_ma, flags, more?]; docs/spec.md section 3.1."""
    if type(row) is not list or not 7 <= len(row) <= 8:
        raise WireError("bad-field", "a row is an array of 7 or 8", at)
    dt, import_wh, export_wh, power_w, voltage_mv, current_ma, flags = row[:7]
    try:
        if (
            0 <= dt <= 0xFFFFFFFF
            and 0 <= import_wh <= 0x1FFFFFFFFFFFFF
            and 0 <= export_wh <= 0x1FFFFFFFFFFFFF
            and -0x80000000 <= power_w <= 0x7FFFFFFF
            and 0 <= flags <= FLAGS
            and (0 <= voltage_mv <= 0xFFFFFFFF if type(voltage_mv) is int else _three(voltage_mv))
            and (0 <= current_ma <= 0xFFFFFFFF if type(current_ma) is int else _three(current_ma))
            and ((len(row) == 7 and not flags & EVENT) or (len(row) == 8 and _more(row[7], flags)))
        ):
            return
    except TypeError:  # a byte string or an array where a number belongs cannot be compared with one
        pass
    raise WireError("bad-field", "a value of the row is of the wrong type or size", at)


def _three(phases: "Any") -> bool:
    return type(phases) is list and len(phases) == 3 and all(type(v) is int and 0 <= v <= 0xFFFFFFFF for v in phases)


def _more(more: "Any", flags: int) -> bool:
    if type(more) is not dict or not more:
        return False
    for key, value in more.items():
        if key not in _MORE_KEYS:
            return False
        if key == _EVENT_KEY:
            if not _event(value):
                return False
        elif type(value) is not int or not -0x80000000 <= value <= 0x7FFFFFFF:
            return False
    return (_EVENT_KEY in more) == bool(flags & EVENT)


def _event(value: "Any") -> bool:
    return (
        type(value) is list
        and len(value) == 2
        and EVENTS.check(value[0])
        and type(value[1]) is int
        and -(1 << 53) <= value[1] <= 1 << 53
    )


class Coarse(Message):
    """Stands for whole earlier reports that a full or damaged journal gave up: rows seq … next_seq - 1."""

    DOMAIN = "tallygrid/coarse/1"
    id: bytes
    boot: int
    seq: int
    head: bytes
    next_seq: int
    next_head: bytes
    merged: int
    first: "list[int] | None"
    last: "list[int]"
    time_s: int
    quality: int
    FIELDS = (
        (1, "id", ID),
        (2, "boot", Uint(32)),
        (3, "seq", SEQ),
        (4, "head", HASH),
        (5, "next_seq", SEQ),
        (6, "next_head", HASH),
        (7, "merged", Uint(32)),  # reports; 0 where the journal no longer knows
        (8, "first", OrNull(REGISTERS)),
        (9, "last", OrNull(REGISTERS)),
        (10, "time_s", TIME),  # of the range's end
        (11, "quality", QUALITY),
    )


class State(Message):
    """What a station says of itself to the schedule chain: only when a flag flips, its store moved, or it connects."""

    DOMAIN = "tallygrid/state/1"
    id: bytes
    number: int
    seq: int
    stored_wh: int
    capacity_wh: int
    soc_milli: int
    temperature_dc: "int | None"
    supply_ok: int
    acquire_ok: int
    time_s: int
    quality: int
    FIELDS = (
        (1, "id", ID),
        (2, "number", SEQ),  # rises, kept on flash
        (3, "seq", SEQ),  # of its next row
        (4, "stored_wh", ENERGY),
        (5, "capacity_wh", ENERGY),
        (6, "soc_milli", Int(0, 1000)),
        (7, "temperature_dc", OrNull(Int(-600, 1500))),
        (8, "supply_ok", Int(0, 1)),
        (9, "acquire_ok", Int(0, 1)),
        (10, "time_s", TIME),
        (11, "quality", QUALITY),
    )
