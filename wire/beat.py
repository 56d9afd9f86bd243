"""The talk of device and gateway: hello, beat, configuration.

Owns: what a device says on connecting, the acknowledgement that frees its journal, and changes of its settings.
Refuses: (by fields) anything out of range; `newer` a numbered message whose number is not above the last taken.
Invariant: a beat and a configuration travel in a COSE_Mac0 from the gateway; keys and safety limits change only inside
a COSE_Sign1 of the registrar.
"""

from wire.errors import WireError
from wire.fields import HASH, ID, REGISTERS, SEQ, TIME, Bytes, Int, Map, Message, OrNull, Text, Uint
from wire.report import QUALITY

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

NONCE = Bytes(16)
PUBLIC_KEY = Bytes(65)  # 0x04 ‖ X ‖ Y
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


# Settings that a gateway may change: key, name, kind.
SETTINGS = (
    (1, "name", Text(64)),
    (2, "row_s", Int(1, 3600)),
    (3, "sample_ms", Int(100, 5000)),
    (4, "seal_rows", Int(1, 60)),
    (5, "seal_s", Int(1, 3600)),
    (6, "save_s", Int(1, 3600)),  # how often the registers are saved
    (7, "ntp_host", Text(64)),  # empty: time comes from the beat alone
)
# Settings that only a registrar may change, besides the USB port.
GUARDED = (
    (32, "registrar_key", PUBLIC_KEY),
    (33, "gateway_key", PUBLIC_KEY),
    (34, "dispatch_key", PUBLIC_KEY),
    (40, "soc_min_milli", Int(0, 1000)),
    (41, "soc_max_milli", Int(0, 1000)),
    (42, "charge_w_max", Uint(31)),
    (43, "discharge_w_max", Uint(31)),
    (44, "voltage_mv_min", Uint(31)),
    (45, "voltage_mv_max", Uint(31)),
    (46, "current_ma_max", Uint(31)),
    (47, "temperature_dc_min", Int(-600, 1500)),
    (48, "temperature_dc_max", Int(-600, 1500)),
    (49, "relay_on_s_min", Uint(16)),
    (50, "relay_off_s_min", Uint(16)),
    (51, "ramp_w_per_s", Uint(31)),
    (52, "frozen_samples", Uint(16)),
)


class Configuration(Message):
    """Changed settings by key; `guarded` is a COSE_Sign1 of the registrar over a `Guarded`."""

    DOMAIN = "tallygrid/configuration/1"
    id: bytes
    version: int
    settings: "dict[int, Any]"
    guarded: "bytes | None"
    FIELDS = (
        (1, "id", ID),
        (2, "version", Uint(32)),
        (3, "settings", Map({key: kind for key, _, kind in SETTINGS})),
        (4, "guarded", OrNull(Bytes(1, 1024))),
    )


class Guarded(Message):
    DOMAIN = "tallygrid/guarded/1"
    id: bytes
    version: int
    settings: "dict[int, Any]"
    FIELDS = (
        (1, "id", ID),
        (2, "version", Uint(32)),  # the configuration's: one signature serves one configuration
        (3, "settings", Map({key: kind for key, _, kind in GUARDED})),
    )


def newer(number: int, last: int, name: str) -> None:
    """Protocol: a numbered message is taken only with a higher number than the last."""
    if number <= last:
        raise WireError("bad-field", "%s %d is not above %d" % (name, number, last))
