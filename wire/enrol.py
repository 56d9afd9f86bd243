"""Who a key belongs to: enrolment by the device, assignment by the account, entry by the registrar.

Owns: enrolment, rotation, assignment, registry entry.
Refuses: (by fields) anything out of range.
Invariant: a device, gateway or account keeps the id of its first key for life; `kid` names the key in use.
"""

from wire.fields import HASH, ID, PUBLIC_KEY, TIME, Bytes, Map, Message, Name, OrNull, Text, Uint
from wire.settings import GUARDED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

ROLES = Name("meter", "station", "gateway")
ALLIANCES = Name("source", "grid", "service", "load")
STATUS = Name("active", "rotated", "revoked")
ENROLMENT_MAX = 512


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
