"""HMAC-SHA256 (RFC 2104) and HKDF-SHA256 (RFC 5869), which MicroPython lacks.

Owns: both, by what a device has: a SHA-256 that can be updated and finished once, but not copied.
Refuses: keys of 33 to 64 bytes, which nothing here has, so that one quick way serves all; over 255 blocks of HKDF.
"""

from hashlib import sha256

# A key is 32 bytes of a block of 64; as a number it is xored in one go, which is the quickest here.
_INNER = int.from_bytes(b"\x36" * 32, "big")
_OUTER = int.from_bytes(b"\x5c" * 32, "big")
_INNER_REST = b"\x36" * 32
_OUTER_REST = b"\x5c" * 32


def hmac_sha256(key: bytes, *parts: bytes) -> bytes:
    """The MAC of the parts, one after another."""
    if len(key) != 32:
        key = _of_32_bytes(key)
    number = int.from_bytes(key, "big")
    inner = sha256((number ^ _INNER).to_bytes(32, "big"))
    inner.update(_INNER_REST)
    for part in parts:
        inner.update(part)
    outer = sha256((number ^ _OUTER).to_bytes(32, "big"))
    outer.update(_OUTER_REST)
    outer.update(inner.digest())
    return outer.digest()


def hkdf_sha256(secret: bytes, salt: bytes, info: bytes, length: int) -> bytes:
    """Extract, then expand to length bytes; an empty salt counts as 32 zero bytes."""
    assert 0 < length <= 255 * 32
    key = hmac_sha256(salt, secret)
    block = result = b""
    for number in range(1, -(-length // 32) + 1):
        block = hmac_sha256(key, block, info, bytes((number,)))
        result += block
    return result[:length]


def _of_32_bytes(key: bytes) -> bytes:
    assert len(key) < 32 or len(key) > 64
    return sha256(key).digest() if len(key) > 64 else key + bytes(32 - len(key))
