"""Units, signs, and what a value may be at all.

Owns: the limits of every measured value, the reasons for `suspect`, the one check that device, gateway and chain run.
Refuses: nothing. What is rightly signed and in sequence is kept whatever it says; a suspect row backs no claim.
Invariant: integers only. Import (consumption, charging) is positive; energy in Wh, power in W, voltage in mV, current
in mA (a magnitude), frequency in mHz, power factor and state of charge in thousandths, temperature in tenths of °C,
time in seconds, tokens in thousandths (mT), rights in Wh.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

POWER_W_MAX = 1_000_000
VOLTAGE_MV_MAX = 1_000_000
CURRENT_MA_MAX = 4_000_000
FREQUENCY_MHZ = (40_000, 70_000)
POWER_FACTOR_MILLI = (-1_000, 1_000)
SOC_MILLI = (0, 1_000)
TEMPERATURE_DC = (-600, 1_500)

# Why a row is suspect; its place in the list is its number.
SUSPECT = (
    "",
    "power-range",
    "voltage-range",
    "current-range",
    "frequency-range",
    "power-factor-range",
    "soc-range",
    "temperature-range",
    "register-fell",
    "energy-exceeds-rating",
    "energy-against-power",
)

# The `more` map of a row: key, name, the values it may have, the reason if it has another.
MORE = (
    (1, "frequency_mhz", FREQUENCY_MHZ, 4),
    (2, "power_factor_milli", POWER_FACTOR_MILLI, 5),
    (3, "soc_milli", SOC_MILLI, 6),
    (4, "temperature_dc", TEMPERATURE_DC, 7),
)


def suspect_values(row: "Any") -> int:
    """0, or why the values of a row cannot be what a meter saw (an index into SUSPECT)."""
    power_w, voltage_mv, current_ma = row[3], row[4], row[5]
    if not -POWER_W_MAX <= power_w <= POWER_W_MAX:
        return 1
    if (voltage_mv if type(voltage_mv) is int else max(voltage_mv)) > VOLTAGE_MV_MAX:
        return 2
    if (current_ma if type(current_ma) is int else max(current_ma)) > CURRENT_MA_MAX:
        return 3
    if len(row) > 7:
        more = row[7]
        for key, _, limits, reason in MORE:
            if key in more and not limits[0] <= more[key] <= limits[1]:
                return reason
    return 0


def suspect_step(before: "tuple[int, int]", row: "Any", rating_w: int = POWER_W_MAX) -> int:
    """0, or why a row cannot follow registers `before` (import, export): they fell, or energy, power and time disagree.

    Allowed: one second on the time, two steps on the registers, a twentieth of the mean power (which the part averages
    in its own way). What the part measured while the device was down comes in on the first row of a boot: there power
    says nothing about the interval, and dt says it (0), so only the fall is checked.
    """
    imported = row[1] - before[0]
    exported = row[2] - before[1]
    if imported < 0 or exported < 0:
        return 8
    dt, power_w = row[0], row[3]
    if dt == 0:
        return 0
    if (imported + exported - 2) * 3600 > rating_w * (dt + 1):
        return 9
    meant = power_w * dt
    allowed = 2 * 3600 + abs(power_w) + abs(meant) // 20
    if abs((imported - exported) * 3600 - meant) > allowed:
        return 10
    return 0
