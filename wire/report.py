"""What a device measured: rows under one signature, and what stands in for rows that a journal gave up.

Owns: report, attested report, coarse report, and how their rows are read (wire/rows.py is how they are made).
Refuses: rows of another shape. Values outside wire/units.py's limits are no refusal (`suspect`).
Invariant: head i = SHA-256(head i-1 ‖ bytes of row i), and the bytes of a row are exactly those in the report.
"""

from wire import cbor
from wire.errors import WireError
from wire.fields import HASH, ID, REGISTERS, SEQ, TIME, Message, OrNull, Uint
from wire.rows import EVENT, EVENTS, FLAGS, QUALITY, ROWS_MAX, advance, encode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

ATTESTED_DOMAIN = "tallygrid/attested/1"
REPORT_MAX = 8_192

ROW = "a row is 7 or 8 values, each of its type and size"
_EVENT_KEY = 0
_MORE_KEYS = (0, 1, 2, 3, 4)

HEAD_FIELDS = (
    (1, "id", ID),
    (2, "boot", Uint(32)),
    (3, "seq", SEQ),
    (4, "head", HASH),
    (5, "time_s", TIME),
    (6, "quality", QUALITY),
)
ATTESTED_FIELDS = ((8, "gateway", ID), (9, "raw_hash", HASH))


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
            head = advance(head, raw)
            heads.append(head)
        return heads

    @property
    def next_head(self) -> bytes:
        return self.heads()[-1]

    def encode(self) -> bytes:
        head = (self.id, self.boot, self.seq, self.head, self.time_s, self.quality)
        return encode(*head, self.row_bytes, self.gateway, self.raw_hash)


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
    values, pos = _fields(payload, pos, HEAD_FIELDS)
    rows, row_bytes, pos = _rows(payload, pos)
    ends: "list[Any]" = []
    if attested:
        ends, pos = _fields(payload, pos, ATTESTED_FIELDS)
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
        at = pos
        value, pos = cbor.read(data, at + 1, 1)
        if not kind.check(value):
            raise WireError("bad-field", "%d %s is %s" % (key, name, kind.words), at)
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
        if (len(row) != 7 or not _plain(row)) and not _fits(row):
            place = rows.index(row)
            raise WireError("bad-field", "row %d: %s" % (place, ROW), pos + sum(len(raw) for raw in row_bytes[:place]))
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
    if not _fits(row):
        raise WireError("bad-field", ROW, 0)
    return row  # type: ignore[return-value]


def _fits(row: "Any") -> bool:
    """Whether this is [dt, import_wh, export_wh, power_w, voltage_mv, current_ma, flags, more?]; docs/spec.md 3.1.1."""
    if type(row) is not list or not 7 <= len(row) <= 8:
        return False
    dt, import_wh, export_wh, power_w, voltage_mv, current_ma, flags = row[:7]
    try:
        return (
            0 <= dt <= 0xFFFFFFFF
            and 0 <= import_wh <= 0x1FFFFFFFFFFFFF
            and 0 <= export_wh <= 0x1FFFFFFFFFFFFF
            and -0x80000000 <= power_w <= 0x7FFFFFFF
            and 0 <= flags <= FLAGS
            and (0 <= voltage_mv <= 0xFFFFFFFF if type(voltage_mv) is int else _three(voltage_mv))
            and (0 <= current_ma <= 0xFFFFFFFF if type(current_ma) is int else _three(current_ma))
            and ((len(row) == 7 and not flags & EVENT) or (len(row) == 8 and _more(row[7], flags)))
        )
    except TypeError:  # a byte string or an array where a number belongs cannot be compared with one
        return False


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
