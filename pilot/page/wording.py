"""Numbers as people read them. The only place that formats.

Owns: units, rounding, ages, times of day, and the words for codes that devices and chains use.
Refuses: a sign in front of a power: direction is a word.
Invariant: an unknown value is a dash and never a zero. static/age.js says ages in the same words.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

UNKNOWN = "–"
_THIN = "\N{NARROW NO-BREAK SPACE}"
_NBSP = "\N{NO-BREAK SPACE}"
_AGES = ((1, "s", 120), (60, "min", 7_200), (3_600, "h", 172_800), (86_400, "days", 0))


def power(power_w: int | None) -> str:
    """The magnitude."""
    if power_w is None:
        return UNKNOWN
    size_w = abs(power_w)
    if size_w < 1_000:
        return f"{size_w}{_NBSP}W"
    if size_w < 9_999_950:
        return f"{grouped(size_w / 1_000, 1)}{_NBSP}kW"
    return f"{grouped(size_w / 1_000_000, 1)}{_NBSP}MW"


def energy(energy_wh: int | None) -> str:
    """Always in kWh, as on a bill, to the Wh that a register shows."""
    return UNKNOWN if energy_wh is None else f"{grouped(energy_wh / 1_000, 3)}{_NBSP}kWh"


def amount(amount_mt: int | None) -> str:
    """Of tokens."""
    return UNKNOWN if amount_mt is None else grouped(amount_mt / 1_000, 3)


def tokens(amount_mt: int | None) -> str:
    return f"{amount(amount_mt)}{_NBSP}tokens"


def voltage(voltage_mv: int | None) -> str:
    return UNKNOWN if voltage_mv is None else f"{voltage_mv / 1_000:.1f}{_NBSP}V"


def percent(milli: int | None) -> str:
    return UNKNOWN if milli is None else f"{milli / 10:.0f}{_NBSP}%"


def grouped(value: float, places: int) -> str:
    return f"{value:,.{places}f}".replace(",", _THIN)


def clock(at_s: int | None, offset_min: int) -> str:
    if at_s is None:
        return UNKNOWN
    return _local(at_s, offset_min).strftime("%H:%M:%S")


def day(at_s: int, offset_min: int) -> str:
    return _local(at_s, offset_min).strftime("%-d %B %Y")


def _local(at_s: int, offset_min: int) -> datetime:
    return datetime.fromtimestamp(at_s, UTC) + timedelta(minutes=offset_min)


def age(seconds: int) -> str:
    if seconds < 1:
        return "now"
    for size, unit, below in _AGES:
        if seconds < below or not below:
            return f"{seconds // size}{_NBSP}{unit} ago"
    raise AssertionError


def duration(seconds: int) -> str:
    """Between two moments that are known to the second."""
    if seconds < 1:
        return f"within 1{_NBSP}s"
    return f"{seconds}{_NBSP}s" if seconds < 120 else f"{seconds // 60}{_NBSP}min"


def count(number: int, one: str, many: str = "") -> str:
    return f"{grouped(number, 0)} {one if number == 1 else many or one + 's'}"


def listed(words: list[str]) -> str:
    """a, b and c"""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


EVENTS = {
    "start": "started",
    "stop": "stopped",
    "tamper": "its case was opened",
    "power fail": "lost its supply",
    "safe entered": "went to its safe state",
    "safe left": "left its safe state",
    "clock step": "set its clock",
    "configuration": "took a new configuration",
    "takeover": "was taken over by another gateway",
    "coarsened": "gave up details to make room",
    "command": "took a command",
    "sensor lost": "lost its sensor",
    "sensor back": "has its sensor back",
    "session start": "closed its relay",
    "session end": "opened its relay",
}
ALARMS = ("tamper", "power fail", "safe entered", "sensor lost")
STARTING = ("reset", "no-clock", "no-hello")  # reasons of a safe state that every start goes through

REASONS = {
    "safe-state": "it is in its safe state",
    "soc": "its state of charge",
    "power": "its power",
    "voltage": "the voltage",
    "current": "the current",
    "temperature": "the temperature",
    "door": "its door is open",
    "sensor": "its sensor",
    "lease-ended": "its lease ended",
    "link-lost": "the link was lost",
    "reset": "it has only just started",
    "stuck-relay": "its relay does not move",
    "no-clock": "it has no clock yet",
    "no-hello": "the gateway has not answered yet",
    "replaced": "replaced by the next one",
}


def reason(name: str) -> str:
    return REASONS.get(name, name)
