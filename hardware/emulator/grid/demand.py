"""How much power a household, farm or business wants, second by second of one day.

Owns: `day_w`. The quarter-hour means are BDEW's profiles of 2025 as demandlib ships them; what a meter really sees
(a fridge, kettles, an oven) is drawn around them, so that many days come out at the profile.
Refuses: weather and prices. Invariants: the same seed, name and day give the same curve.
"""

import datetime
import zlib
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd  # type: ignore[import-untyped]
from demandlib import bdew  # type: ignore[import-untyped]

DAY_S = 86_400
PROFILES: dict[str, Any] = {"household": bdew.H25, "farm": bdew.L25, "business": bdew.G25}

# What is switched on by hand: power, how long, and how often of a hundred times.
APPLIANCES = ((2000, 150, 30), (1200, 240, 15), (2200, 1500, 10), (1800, 1200, 10), (900, 1800, 10), (150, 7200, 25))
BY_HAND = 0.6
FRIDGE_S = 2400

Watts = npt.NDArray[np.float64]


def seeded(seed: int, name: str, day: datetime.date) -> np.random.Generator:
    """Chance that hangs on nothing but the site's seed, a name and a day."""
    return np.random.default_rng([seed, zlib.crc32(name.encode()), day.toordinal()])


def day_w(seed: int, name: str, profile: str, annual_kwh: int, day: datetime.date) -> Watts:
    mean_w = _mean_w_per_mwh(profile, day) * (annual_kwh / 1000)
    chance = seeded(seed, name, day)
    return _standing(mean_w * (1 - BY_HAND), chance) + _by_hand(mean_w * BY_HAND, annual_kwh, chance)


@lru_cache(maxsize=8)
def _mean_w_per_mwh(profile: str, day: datetime.date) -> Watts:
    """The profile's mean power for a thousand kWh a year; demandlib gives kW for a million."""
    quarters = pd.date_range(day, periods=96, freq="15min")
    return np.repeat(PROFILES[profile](quarters).to_numpy(), 900)


def _standing(mean_w: Watts, chance: np.random.Generator) -> Watts:
    """The share that nobody switches: a fridge that runs a third of its time, and everything's small unrest."""
    phase = (np.arange(DAY_S) + chance.integers(FRIDGE_S)) % FRIDGE_S
    unrest = 1 + np.repeat(chance.normal(0, 0.02, DAY_S // 5), 5)
    return np.maximum(mean_w * np.where(phase < FRIDGE_S // 3, 1.6, 0.7) * unrest, 0.0)


def _by_hand(mean_w: Watts, annual_kwh: int, chance: np.random.Generator) -> Watts:
    """Appliances, started when the profile says that people use power; as many as give the profile's energy."""
    power_w, length_s, weight = np.array(APPLIANCES, dtype=float).T
    power_w = power_w * max(1.0, annual_kwh / 8000)
    share = weight / weight.sum()
    count = chance.poisson(mean_w.sum() / (power_w * length_s * share).sum())
    kinds = chance.choice(len(share), count, p=share)
    starts = np.searchsorted(np.cumsum(mean_w) / mean_w.sum(), chance.random(count)) % DAY_S
    steps = np.zeros(2 * DAY_S + 1)
    np.add.at(steps, starts, power_w[kinds])
    np.add.at(steps, starts + length_s[kinds].astype(int), -power_w[kinds])
    two_days = np.cumsum(steps)[: 2 * DAY_S]
    # What runs past midnight is laid at the day's beginning, so that a day is whole in itself.
    wrapped: Watts = two_days[:DAY_S] + two_days[DAY_S:]
    return np.maximum(wrapped, 0.0)
