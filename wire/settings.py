"""What can be changed on a device from afar, and the message that changes it.

Owns: settings of a gateway, guarded settings (keys and safety limits) of a registrar, configuration.
Refuses: (by fields) anything out of range.
Invariant: a configuration travels in a COSE_Mac0 from the gateway; what is guarded stands in it under the registrar's
COSE_Sign1.
"""

from wire.fields import ID, PUBLIC_KEY, Bytes, Int, Map, Message, OrNull, Text, Uint

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

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
