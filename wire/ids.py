"""Who a key is: kid and id, as bytes and as text.

Owns: kids, ids as text (RFC 4648 base32, lower case, no padding). Refuses: a key that is no uncompressed point.
Invariant: an id as text has one form only.
"""

from hashlib import sha256

from wire.errors import WireError

# SubjectPublicKeyInfo of a P-256 key in front of its 65 bytes (RFC 5480).
SPKI_HEAD = b"\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x03\x42\x00"
_BASE32 = "abcdefghijklmnopqrstuvwxyz234567"


def kid_of(public_key: bytes) -> bytes:
    """The first 8 bytes of SHA-256 of the SubjectPublicKeyInfo. `public_key` is 0x04 ‖ X ‖ Y."""
    if len(public_key) != 65 or public_key[0] != 4:
        raise WireError("bad-key-length", "a public key is 65 bytes and begins with 04")
    return sha256(SPKI_HEAD + public_key).digest()[:8]


def id_text(id: bytes) -> str:
    """RFC 4648 base32, lower case, no padding: 13 characters."""
    bits = int.from_bytes(id, "big") << 1
    return "".join([_BASE32[bits >> shift & 31] for shift in range(60, -1, -5)])


def id_bytes(text: str) -> bytes:
    if len(text) != 13:
        raise WireError("bad-field", "an id has 13 characters")
    bits = 0
    for letter in text:
        digit = _BASE32.find(letter)
        if digit < 0:
            raise WireError("bad-field", "%r is no letter of an id" % letter)
        bits = bits << 5 | digit
    if bits & 1:
        raise WireError("not-minimal", "the last letter of an id is even")
    return (bits >> 1).to_bytes(8, "big")
