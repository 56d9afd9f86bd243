"""What a station says of itself.

Owns: the station state. Refuses: (by fields) anything out of range.
Invariant: its number rises; what rows before its `seq` show is in it already.
"""

from wire.fields import ENERGY, ID, SEQ, TIME, Int, Message, OrNull
from wire.rows import QUALITY


class State(Message):
    """What a station says of itself to the schedule chain: only when a flag flips, its store moved, or it connects."""

    DOMAIN = "tallygrid/state/1"
    id: bytes
    number: int
    seq: int
    stored_wh: int
    capacity_wh: int
    soc_milli: int
    temperature_dc: "int | None"
    supply_ok: int
    acquire_ok: int
    time_s: int
    quality: int
    FIELDS = (
        (1, "id", ID),
        (2, "number", SEQ),  # rises, kept on flash
        (3, "seq", SEQ),  # of its next row
        (4, "stored_wh", ENERGY),
        (5, "capacity_wh", ENERGY),
        (6, "soc_milli", Int(0, 1000)),
        (7, "temperature_dc", OrNull(Int(-600, 1500))),
        (8, "supply_ok", Int(0, 1)),
        (9, "acquire_ok", Int(0, 1)),
        (10, "time_s", TIME),
        (11, "quality", QUALITY),
    )
