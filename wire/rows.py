"""Rows and the report around them, as a device makes them: the part of `wire.report` that a meter keeps in memory.

Owns: row and report encoding, flags, events, clock qualities, the head over rows.
Refuses: nothing; what goes in here is our own.
Invariant: head i = SHA-256(head i-1 ‖ bytes of row i), and the bytes of a row are exactly those in the report.
"""

from hashlib import sha256

from wire import cbor
from wire.fields import Name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

DOMAIN = "tallygrid/report/1"
HEAD_START = bytes(32)
ROWS_MAX = 60

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
