"""Deterministic CBOR (RFC 8949 section 4.2), cut down to what is signed here.

Owns: the one encoder and the one decoder of integers (to 64 bits), byte strings, text, arrays, maps with integer keys,
and null. Runs on MicroPython, where dicts keep no order, so maps are sorted here.
Refuses: everything else, by reason; above all a second way to write the same value.
Invariant: what `decode` takes, `encode` gives back byte for byte.
"""

from wire.errors import WireError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Value = int | bytes | str | list[Any] | dict[int, Any] | None

MAX_DEPTH = 8
MAX_SIZE = 1 << 20

UINT, NINT, BYTES, TEXT, ARRAY, MAP = 0x00, 0x20, 0x40, 0x60, 0x80, 0xA0
NULL = 0xF6

_MAJOR = ("uint", "nint", "bytes", "text", "array", "map", "tag", "simple")


# ---------------------------------------------------------------- encoding


def head(major: int, n: int) -> bytes:
    """The first bytes of an item: its major type and `n` in as few bytes as possible."""
    if n < 24:
        return bytes((major | n,))
    if n < 0x100:
        return bytes((major | 24, n))
    if n < 0x10000:
        return bytes((major | 25, n >> 8, n & 255))
    if n <= 0xFFFFFFFF:
        return bytes((major | 26,)) + n.to_bytes(4, "big")
    assert n <= 0xFFFFFFFFFFFFFFFF, "integers have at most 64 bits"
    return bytes((major | 27,)) + n.to_bytes(8, "big")


def put_head(buf: bytearray, pos: int, major: int, n: int) -> int:
    """`head` into a given buffer; returns the position behind it. For devices that must not allocate."""
    if n < 24:
        buf[pos] = major | n
        return pos + 1
    if n < 0x100:
        buf[pos] = major | 24
        buf[pos + 1] = n
        return pos + 2
    if n < 0x10000:
        buf[pos] = major | 25
        buf[pos + 1] = n >> 8
        buf[pos + 2] = n & 255
        return pos + 3
    more = head(major, n)
    buf[pos : pos + len(more)] = more
    return pos + len(more)


def put_int(buf: bytearray, pos: int, value: int) -> int:
    return put_head(buf, pos, UINT, value) if value >= 0 else put_head(buf, pos, NINT, -1 - value)


def encode(value: "Value") -> bytes:
    out = bytearray()
    _put(out, value)
    return bytes(out)


def _put(out: bytearray, value: "Value") -> None:
    kind = type(value)
    if kind is int:
        out.extend(head(UINT, value) if value >= 0 else head(NINT, -1 - value))  # type: ignore[operator,arg-type]
    elif isinstance(value, (bytes, bytearray, memoryview)):
        out.extend(head(BYTES, len(value)))
        out.extend(value)
    elif isinstance(value, str):
        raw = value.encode()
        out.extend(head(TEXT, len(raw)))
        out.extend(raw)
    elif isinstance(value, (list, tuple)):
        out.extend(head(ARRAY, len(value)))
        for item in value:
            _put(out, item)
    elif isinstance(value, dict):
        out.extend(head(MAP, len(value)))
        for key in sorted(value, key=_key_order):
            _put(out, key)
            _put(out, value[key])
    else:
        assert value is None, "not a value that is signed here: %r" % (value,)
        out.append(NULL)


def _key_order(key: int) -> tuple[bool, int]:
    return (key < 0, abs(key))


# ---------------------------------------------------------------- decoding


def decode(data: bytes, depth: int = MAX_DEPTH, size: int = MAX_SIZE) -> "Value":
    """The one value that `data` is; raises WireError for anything else."""
    value, end = item(data, 0, depth, size)
    if end != len(data):
        raise WireError("trailing", "%d bytes too many" % (len(data) - end), end)
    return value


def item(data: bytes, pos: int, depth: int = MAX_DEPTH, size: int = MAX_SIZE) -> "tuple[Value, int]":
    """The value that begins at `pos`, and the position behind it."""
    if len(data) > size:
        raise WireError("too-big", "%d bytes, at most %d" % (len(data), size), size)
    try:
        return read(data, pos, depth)
    except IndexError:
        raise WireError("truncated", "", len(data)) from None


def read(data: bytes, pos: int, depth: int) -> "tuple[Value, int]":
    """`item` for who takes IndexError for truncation himself."""
    first = data[pos]
    if first < 24:
        return first, pos + 1
    if first == NULL:
        return None, pos + 1
    major = first & 0xE0
    if major > MAP:
        raise WireError("tag" if major == 0xC0 else "float", _MAJOR[major >> 5], pos)
    n, end = argument(data, pos)
    if major == UINT:
        return n, end
    if major == ARRAY:
        return array(data, end, n, depth - 1)
    if major == NINT:
        return -1 - n, end
    if major == MAP:
        return _map(data, end, n, depth - 1)
    if n > len(data) - end:
        raise WireError("truncated", "", len(data))
    raw = bytes(data[end : end + n])
    if major == BYTES:
        return raw, end + n
    return _text(raw, end), end + n


def argument(data: bytes, pos: int) -> "tuple[int, int]":
    """The integer in an item's head, and the position behind it. Clause 4.2.1: as few bytes as possible."""
    info = data[pos] & 0x1F
    if info < 24:
        return info, pos + 1
    if info == 24:
        n = data[pos + 1]
        end = pos + 2
        least = 24
    elif info == 25:
        n = data[pos + 1] << 8 | data[pos + 2]
        end = pos + 3
        least = 0x100
    elif info < 28:
        width = 4 if info == 26 else 8
        end = pos + 1 + width
        if end > len(data):
            raise WireError("truncated", "", len(data))
        n = int.from_bytes(data[pos + 1 : end], "big")
        least = 0x10000 if info == 26 else 0x100000000
    else:
        raise WireError("indefinite" if info == 31 else "not-minimal", "", pos)
    if n < least:
        raise WireError("not-minimal", "", pos)
    return n, end


def array(data: bytes, pos: int, count: int, depth: int) -> "tuple[list[Any], int]":
    """The `count` values from `pos` on. May raise IndexError, as `read`."""
    if depth < 0:
        raise WireError("too-deep", "", pos)
    if count > len(data) - pos:
        raise WireError("truncated", "", len(data))
    values: "list[Any]" = []
    for _ in range(count):
        value, pos = read(data, pos, depth)
        values.append(value)
    return values, pos


def rows(data: bytes, pos: int, count: int, depth: int) -> "tuple[list[list[Any]], list[bytes], int]":
    """`count` arrays from `pos` on, each with its own bytes. May raise IndexError, as `read`.

    The hot path of every reader of reports: their cells are integers below 2^32, read here since a call costs more.
    """
    found: "list[list[Any]]" = []
    raws: "list[bytes]" = []
    for _ in range(count):
        start = pos
        first = data[pos]
        if not ARRAY <= first < ARRAY + 24:
            raise WireError("bad-field", "a row is an array", pos)
        pos += 1
        row: "list[Any]" = []
        for _ in range(first - ARRAY):
            first = data[pos]
            if first < 24:
                row.append(first)
                pos += 1
            elif first == 0x19:
                n = data[pos + 1] << 8 | data[pos + 2]
                if n < 0x100:
                    raise WireError("not-minimal", "", pos)
                row.append(n)
                pos += 3
            elif first == 0x1A:
                n = (data[pos + 1] << 8 | data[pos + 2]) << 16 | data[pos + 3] << 8 | data[pos + 4]
                if n < 0x10000:
                    raise WireError("not-minimal", "", pos)
                row.append(n)
                pos += 5
            elif first == 0x18:
                n = data[pos + 1]
                if n < 24:
                    raise WireError("not-minimal", "", pos)
                row.append(n)
                pos += 2
            else:
                value, pos = read(data, pos, depth)
                row.append(value)
        found.append(row)
        raws.append(data[start:pos])
    return found, raws, pos


def _map(data: bytes, pos: int, count: int, depth: int) -> "tuple[dict[int, Any], int]":
    if depth < 0:
        raise WireError("too-deep", "", pos)
    if 2 * count > len(data) - pos:
        raise WireError("truncated", "", len(data))
    values: "dict[int, Any]" = {}
    last = b""
    for _ in range(count):
        start = pos
        if data[pos] >= BYTES:
            raise WireError("bad-key", "", pos)
        key, pos = read(data, pos, depth)
        encoded = data[start:pos]
        if encoded <= last:  # clause 4.2.1: keys rise in the order of their bytes
            raise WireError("key-order", "", start)
        last = encoded
        values[key], pos = read(data, pos, depth)  # type: ignore[index]
    return values, pos


def _text(raw: bytes, at: int) -> str:
    """MicroPython decodes overlong forms and surrogates without a word, so the bytes are judged here."""
    i = 0
    size = len(raw)
    while i < size:
        first = raw[i]
        if first < 0x80:
            i += 1
            continue
        more = 1 if first < 0xE0 else 2 if first < 0xF0 else 3
        if first < 0xC2 or first > 0xF4 or i + more >= size:
            raise WireError("bad-text", "", at + i)
        low, high = _SECOND.get(first, (0x80, 0xBF))
        if not low <= raw[i + 1] <= high:
            raise WireError("bad-text", "", at + i)
        for k in range(i + 2, i + 1 + more):
            if raw[k] & 0xC0 != 0x80:
                raise WireError("bad-text", "", at + i)
        i += 1 + more
    return raw.decode()


# RFC 3629 section 4: where the second byte of a sequence is narrower than 80..BF (overlong forms, surrogates, the end).
_SECOND = {0xE0: (0xA0, 0xBF), 0xED: (0x80, 0x9F), 0xF0: (0x90, 0xBF), 0xF4: (0x80, 0x8F)}
