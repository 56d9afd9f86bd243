"""HMAC-SHA256 (RFC 2104) and HKDF-SHA256 (RFC 5869), which MicroPython lacks.

Owns: both, by what a device has: a SHA-256 that can be updated and finished once, but not copied.
Refuses: more than 255 blocks of HKDF.
"""

from hashlib import sha256

from firmware.crypto.points import kind


def hmac_sha256(key: bytes, *parts: bytes) -> bytes:
    """The MAC of the parts, one after another."""
    if len(key) > 64:
        key = sha256(key).digest()
    inner = sha256(kind.pad(key, 0x36))
    for part in parts:
        inner.update(part)
    outer = sha256(kind.pad(key, 0x5C))
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
