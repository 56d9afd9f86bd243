"""The talk of device and gateway: hello and beat.

Owns: what a device says on connecting, and the acknowledgement that frees its journal.
Refuses: (by fields) anything out of range; `newer` a numbered message whose number is not above the last taken.
Invariant: a beat travels in a COSE_Mac0 from the gateway.
"""

from wire.errors import WireError
from wire.fields import HASH, ID, REGISTERS, SEQ, TIME, Bytes, Int, Message, Uint
from wire.rows import QUALITY

NONCE = Bytes(16)
PERIOD_S = 10


class Hello(Message):
    """First on each connection."""

    DOMAIN = "tallygrid/hello/1"
    id: bytes
    boot: int
    nonce: bytes
    oldest_seq: int
    next_seq: int
    head: bytes
    registers: "list[int]"
    configuration: int
    FIELDS = (
        (1, "id", ID),
        (2, "boot", Uint(32)),
        (3, "nonce", NONCE),
        (4, "oldest_seq", SEQ),
        (5, "next_seq", SEQ),  # on flash: what is not yet sealed is not told
        (6, "head", HASH),
        (7, "registers", REGISTERS),
        (8, "configuration", Uint(32)),  # the version in force
    )


class Beat(Message):
    """Time, and the position up to which the gateway holds everything durably."""

    DOMAIN = "tallygrid/beat/1"
    id: bytes
    nonce: bytes
    count: int
    time_s: int
    quality: int
    next_seq: int
    head: bytes
    period_s: int
    FIELDS = (
        (1, "id", ID),
        (2, "nonce", NONCE),  # of the device's last hello
        (3, "count", Uint(32)),
        (4, "time_s", TIME),
        (5, "quality", QUALITY),
        (6, "next_seq", SEQ),
        (7, "head", HASH),
        (8, "period_s", Int(1, 3600)),
    )


def newer(number: int, last: int, name: str) -> None:
    """Protocol: a numbered message is taken only with a higher number than the last."""
    if number <= last:
        raise WireError("bad-field", "%s %d is not above %d" % (name, number, last))
