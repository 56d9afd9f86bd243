"""HMAC-SHA256 (RFC 2104) and HKDF-SHA256 (RFC 5869), which MicroPython lacks.

Owns: both, by what a device has: a SHA-256 that can be updated and finished once, but not copied.
Refuses: more than 255 blocks of HKDF.
"""

from hashlib import sha256

_INNER = int.from_bytes(b"\x36" * 64, "big")
_OUTER = int.from_bytes(b"\x5c" * 64, "big")


def hmac_sha256(key: bytes, *parts: bytes) -> bytes:
    """The MAC of the parts, one after another."""
    if len(key) > 64:
        key = sha256(key).digest()
    padded = int.from_bytes(key, "big") << 8 * (64 - len(key))
    inner = sha256((padded ^ _INNER).to_bytes(64, "big"))
    for part in parts:
        inner.update(part)
    outer = sha256((padded ^ _OUTER).to_bytes(64, "big"))
    outer.update(inner.digest())
    return outer.digest()


def hkdf_sha256(secret: bytes, salt: bytes, info: bytes, length: int) -> bytes:
    """Extract, then expand to length bytes; an empty salt counts as 32 zero bytes."""
    assert 0 < length <= 255 * 32
    key = hmac_sha256(salt or bytes(32), secret)
    block = result = b""
    for number in range(1, -(-length // 32) + 1):
        block = hmac_sha256(key, block, info, bytes((number,)))
        result += block
    return result[:length]
