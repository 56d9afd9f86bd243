"""What a station is told to do, and what it answers.

Owns: the command (signed by the chain's dispatch key, then the payload of a COSE_Mac0) and the receipt.
Refuses: (by fields) anything out of range.
Invariant: a command is the station's whole order and replaces the one before; limit and energy are sums over grants.
"""

from wire.fields import ENERGY, ID, REGISTERS, SEQ, TIME, Bytes, Int, List, Message, Name, OrNull, Uint

COMMAND_ID = Bytes(16)
MAC_DOMAIN = "tallygrid/order/1"  # of the COSE_Mac0 around the signed command

ACTIONS = Name("idle", "charge", "discharge")
PARTS = (1, 2)
# Part 1 says what became of the command, part 2 what became of the energy.
OUTCOMES = Name("taken", "refused", "expired", "done", "partial", "failed-safe")
REASONS = Name(
    "",
    "malformed",
    "bad-mac",
    "foreign",  # for another station
    "replayed",  # counter not above the last
    "early",  # before not_before
    "late",  # after lease_until
    "no-clock",
    "no-hello",  # no beat yet since the boot
    "safe-state",
    "soc",
    "power",
    "voltage",
    "current",
    "temperature",
    "relay-rest",  # minimum on or off time
    "door",
    "sensor",
    "replaced",  # by the next command
    "lease-ended",
    "link-lost",
    "reset",
    "stuck-relay",
    "retained",
)


class Command(Message):
    DOMAIN = "tallygrid/command/1"
    station: bytes
    id: bytes
    counter: int
    grants: "list[int]"
    action: int
    limit_w: int
    energy_wh: int
    not_before: int
    lease_until: int
    FIELDS = (
        (1, "station", ID),
        (2, "id", COMMAND_ID),
        (3, "counter", SEQ),  # per station, kept on chain
        (4, "grants", List(SEQ, 64)),
        (5, "action", ACTIONS),
        (6, "limit_w", Uint(31)),
        (7, "energy_wh", ENERGY),
        (8, "not_before", TIME),
        (9, "lease_until", TIME),
    )


class Receipt(Message):
    DOMAIN = "tallygrid/receipt/1"
    station: bytes
    command: "bytes | None"
    counter: int
    part: int
    outcome: int
    reason: int
    before: "list[int]"
    after: "list[int]"
    first_seq: int
    last_seq: int
    time_s: int
    FIELDS = (
        (1, "station", ID),
        (2, "command", OrNull(COMMAND_ID)),  # null where it could not be read
        (3, "counter", SEQ),  # of the command; of refusals without one: how many were refused so far
        (4, "part", Int(1, 2)),
        (5, "outcome", OUTCOMES),
        (6, "reason", REASONS),
        (7, "before", REGISTERS),
        (8, "after", REGISTERS),
        (9, "first_seq", SEQ),  # the rows that show it
        (10, "last_seq", SEQ),
        (11, "time_s", TIME),
    )
