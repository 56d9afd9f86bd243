"""What a measuring part sees of its terminal: now and then, with a little noise, and wrongly when it fails.

Owns: refresh, noise, drift, freezing, and the energy the part itself counted.
Refuses: registers and units (the parts). Invariants: counted energy never falls; noise has no mean and no effect on
energy; the same seed gives the same noise.
"""

import random
from dataclasses import replace
from enum import StrEnum

from ..port import Phase, Reading, Terminal

NOISE = 1.5e-4  # of the value; a steady house still moves a meter's last digits
VOLTAGE_NOISE = 1e-3  # mains are never still, and captured lines of real meters show it at every reading
DRIFT_PER_S = 1e-4


class Failure(StrEnum):
    NONE = "none"
    DEAD = "dead"  # says nothing
    BABBLING = "babbling"  # answers everything with noise, also what was not for it
    FROZEN = "frozen"  # says the same for ever, and counts nothing
    DRIFTING = "drifting"  # its scale runs away, 1 % in 100 s


class Gauge:
    """One measuring front end. Its readings stay for `refresh_us`, as a part's do between its own updates."""

    def __init__(self, terminal: Terminal, refresh_us: int, seed: int = 0) -> None:
        self._terminal = terminal
        self._refresh_us = refresh_us
        self._random = random.Random(seed)
        self._failure = Failure.NONE
        self._failed_us = 0
        self._gain = 1.0
        self._seen: Reading | None = None  # the terminal's, at _seen_us
        self._seen_us = 0
        self._shown: Reading | None = None  # the part's

    def fail(self, failure: Failure, now_us: int) -> None:
        if self._failure is Failure.FROZEN:
            self._seen = self._terminal.at(now_us)  # what flowed meanwhile was not counted
        self._failure = failure
        self._failed_us = now_us
        self._gain = 1.0

    def at(self, now_us: int) -> Reading:
        shown = self._shown
        if shown is not None and (self._failure is Failure.FROZEN or now_us - self._seen_us < self._refresh_us):
            return shown
        seen = self._terminal.at(now_us)
        before, counted = self._seen or seen, shown or seen
        if self._failure is Failure.DRIFTING:
            self._gain = 1 + DRIFT_PER_S * (now_us - self._failed_us) / 1e6
        phases = tuple(
            self._phase(now, then, count)
            for now, then, count in zip(seen.phases, before.phases, counted.phases, strict=True)
        )
        self._seen, self._seen_us = seen, now_us
        self._shown = Reading(phases, seen.frequency_hz * (1 + self._noise()))
        return self._shown

    def _phase(self, now: Phase, then: Phase, counted: Phase) -> Phase:
        gain = self._gain
        return replace(
            now,
            voltage_v=now.voltage_v * (1 + self._random.uniform(-VOLTAGE_NOISE, VOLTAGE_NOISE)),
            current_a=now.current_a * gain * (1 + self._noise()),
            power_w=now.power_w * gain * (1 + self._noise()),
            reactive_var=now.reactive_var * gain,
            import_wh=counted.import_wh + max(0.0, now.import_wh - then.import_wh) * gain,
            export_wh=counted.export_wh + max(0.0, now.export_wh - then.export_wh) * gain,
        )

    def _noise(self) -> float:
        return self._random.uniform(-NOISE, NOISE)


def power_factor(power_w: float, voltage_v: float, current_a: float) -> float:
    """Magnitude, 1 where nothing flows (as meters show it)."""
    apparent = voltage_v * current_a
    return min(1.0, abs(power_w) / apparent) if apparent > 1e-9 else 1.0
