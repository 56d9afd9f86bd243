"""Who a key belongs to: enrolment by the device, assignment by the account, entry by the registrar.

Owns: ids, kids, enrolment, rotation, assignment, registry entry.
Refuses: a key that is no point in uncompressed form; an id that is not its key's.
Invariant: a device, gateway or account keeps the id of its first key for life; `kid` names the key in use.
"""

from hashlib import sha256

from wire.beat import GUARDED, PUBLIC_KEY
from wire.errors import WireError
from wire.fields import HASH, ID, TIME, Bytes, Map, Message, Name, OrNull, Text, Uint

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# SubjectPublicKeyInfo of a P-256 key in front of its 65 bytes (RFC 5480).
SPKI_HEAD = b"\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x03\x42\x00"
_BASE32 = "abcdefghijklmnopqrstuvwxyz234567"

ROLES = Name("meter", "station", "gateway")
ALLIANCES = Name("source", "grid", "service", "load")
STATUS = Name("active", "rotated", "revoked")
ENROLMENT_MAX = 512


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


class Enrolment(Message):
    """Self-signed: whoever sends it holds the key. A rotation is the new key's, wrapped in a `Rotation` by the old."""

    DOMAIN = "tallygrid/enrolment/1"
    ROTATION_DOMAIN = (
        "tallygrid/rotation/1"  # COSE_Sign1 of the old key whose payload is the new key's signed enrolment
    )
    id: bytes
    public_key: bytes
    role: int
    board: str
    firmware: bytes
    FIELDS = (
        (1, "id", ID),
        (2, "public_key", PUBLIC_KEY),
        (3, "role", ROLES),
        (4, "board", Text(32)),
        (5, "firmware", HASH),
    )


class Assignment(Message):
    """Signed by the account: this device measures for me. Counts only inside an entry of the registrar."""

    DOMAIN = "tallygrid/assignment/1"
    device: bytes
    account: bytes
    serial: int
    FIELDS = ((1, "device", ID), (2, "account", ID), (3, "serial", Uint(32)))


class Entry(Message):
    """The registrar's word on a device; a later serial replaces an earlier one."""

    DOMAIN = "tallygrid/entry/1"
    serial: int
    device: bytes
    enrolment: bytes
    name: str
    alliance: int
    gateway: bytes
    limits: "dict[int, Any]"
    status: int
    from_time: int
    assignment: "bytes | None"
    FIELDS = (
        (1, "serial", Uint(32)),
        (2, "device", ID),
        (3, "enrolment", Bytes(1, ENROLMENT_MAX)),  # the signed message, unchanged
        (4, "name", Text(64)),  # a label, never identity
        (5, "alliance", ALLIANCES),
        (6, "gateway", ID),  # the one gateway that the device belongs to
        (7, "limits", Map({key: kind for key, _, kind in GUARDED if key >= 40})),
        (8, "status", STATUS),
        (9, "from_time", TIME),
        (10, "assignment", OrNull(Bytes(1, ENROLMENT_MAX))),  # the account's signed word, unchanged
    )
