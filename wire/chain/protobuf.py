"""Protobuf by hand: as much as CometBFT's headers, votes and ABCI frames need.

Owns: varints, fields and messages, written as CometBFT writes them (rising field numbers, defaults left out).
Refuses: groups, varints over 64 bits, fields that end behind their message; each as WireError.
Invariant: writing is deterministic; reading keeps the order of fields and knows nothing of their meaning.
"""

from collections.abc import Iterator
from typing import TypeVar

from wire.errors import WireError

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
MASK64 = (1 << 64) - 1

Field = tuple[int, int | bytes]
_T = TypeVar("_T", int, bytes)


def varint(n: int) -> bytes:
    """Negative numbers as their two's complement in 64 bits, as protobuf's int64 has them."""
    n &= MASK64
    out = bytearray()
    while n > 0x7F:
        out.append(n & 0x7F | 0x80)
        n >>= 7
    out.append(n)
    return bytes(out)


def number(field: int, n: int) -> bytes:
    return varint(field << 3) + varint(n) if n else b""


def fixed64(field: int, n: int) -> bytes:
    return varint(field << 3 | FIXED64) + (n & MASK64).to_bytes(8, "little") if n else b""


def data(field: int, value: bytes) -> bytes:
    """Bytes or text; nothing at all where they are empty."""
    return message(field, value) if value else b""


def message(field: int, body: bytes) -> bytes:
    """A message, or a repeated field's entry: written even where it is empty."""
    return varint(field << 3 | BYTES) + varint(len(body)) + body


def delimited(body: bytes) -> bytes:
    return varint(len(body)) + body


def timestamp(time_ns: int) -> bytes:
    seconds, nanos = divmod(time_ns, 1_000_000_000)
    return number(1, seconds) + number(2, nanos)


def read_varint(raw: bytes | bytearray, pos: int) -> tuple[int, int]:
    """The number at `pos` and the position behind it; IndexError where it is not whole yet."""
    n = shift = 0
    while True:
        byte = raw[pos]
        pos += 1
        n |= (byte & 0x7F) << shift
        if byte < 0x80:
            if n > MASK64:
                raise WireError("bad-field", "a varint over 64 bits", pos)
            return n, pos
        shift += 7
        if shift > 63:
            raise WireError("bad-field", "a varint over 64 bits", pos)


def fields(raw: bytes) -> Iterator[Field]:
    pos, end = 0, len(raw)
    try:
        while pos < end:
            tag, pos = read_varint(raw, pos)
            wire_type = tag & 7
            if wire_type == VARINT:
                n, pos = read_varint(raw, pos)
                yield tag >> 3, n
                continue
            if wire_type == BYTES:
                size, pos = read_varint(raw, pos)
            elif wire_type in (FIXED64, FIXED32):
                size = 8 if wire_type == FIXED64 else 4
            else:
                raise WireError("bad-field", f"wire type {wire_type}", pos)
            if size > end - pos:
                raise WireError("truncated", "", end)
            yield tag >> 3, raw[pos : pos + size]
            pos += size
    except IndexError:
        raise WireError("truncated", "", end) from None


class Reader:
    """One message's fields by number: the last of each counts, as protobuf has it; repeated ones in order."""

    def __init__(self, raw: bytes) -> None:
        self._fields: dict[int, list[int | bytes]] = {}
        for field, value in fields(raw):
            self._fields.setdefault(field, []).append(value)

    def number(self, field: int) -> int:
        """An int64: what is above 2^63 is negative."""
        n = self._last(field, 0)
        return n - (1 << 64) if n >> 63 else n

    def data(self, field: int) -> bytes:
        return self._last(field, b"")

    def text(self, field: int) -> str:
        try:
            return self.data(field).decode()
        except UnicodeDecodeError:
            raise WireError("bad-text", f"field {field}") from None

    def message(self, field: int) -> "Reader":
        return Reader(self.data(field))

    def repeated(self, field: int) -> list[bytes]:
        found = self._fields.get(field, [])
        entries = [value for value in found if isinstance(value, bytes)]
        if len(entries) != len(found):
            raise WireError("bad-field", f"field {field} is of another type")
        return entries

    def time_ns(self, field: int) -> int:
        stamp = self.message(field)
        return stamp.number(1) * 1_000_000_000 + stamp.number(2)

    def _last(self, field: int, default: _T) -> _T:
        found = self._fields.get(field)
        if found is None:
            return default
        value = found[-1]
        if not isinstance(value, type(default)):
            raise WireError("bad-field", f"field {field} is of another type")
        return value
