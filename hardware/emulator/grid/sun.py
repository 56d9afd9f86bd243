"""How much power a roof could give, second by second of one day.

Owns: `Sky`, pvlib's sun and clear sky with the clouds of a seed in front of it.
Refuses: measured weather and the network. Invariants: the same seed and day give the same sky; never more than the
inverter can pass on.
"""

import datetime

import numpy as np
import pandas as pd  # type: ignore[import-untyped]
import pvlib  # type: ignore[import-untyped]

from hardware.site.model import Panels, Site

from .demand import DAY_S, Watts, seeded

# weather -> share of the clear sky's light in the gaps and under the clouds, mean length of both in seconds
SKIES = {"clear": (1.0, 0.97, 3600, 300), "broken": (0.98, 0.35, 700, 420), "overcast": (0.3, 0.18, 900, 900)}
TURBIDITY = 3.0
AIR_C = 20.0
CELL_C_PER_W_M2 = 0.03
PER_C = -0.004
INVERTER = 0.96
EDGE_S = 30


class Sky:
    """The sun and the clouds over a site on one day."""

    def __init__(self, site: Site, seed: int, day: datetime.date) -> None:
        zone = datetime.timezone(datetime.timedelta(minutes=site.utc_offset_min))
        minutes = pd.date_range(datetime.datetime.combine(day, datetime.time(), zone), periods=1441, freq="1min")
        latitude, longitude = site.latitude_mdeg / 1000, site.longitude_mdeg / 1000
        self._sun = pvlib.solarposition.get_solarposition(minutes, latitude, longitude)
        zenith = self._sun["apparent_zenith"]
        airmass = pvlib.atmosphere.get_absolute_airmass(pvlib.atmosphere.get_relative_airmass(zenith))
        self._light = pvlib.clearsky.ineichen(zenith, airmass, TURBIDITY)
        self._through = _clouds(site.weather, seeded(seed, "clouds", day))

    def roof_w(self, panels: Panels) -> Watts:
        """Alternating-current power of one field of panels, at least zero."""
        plane = pvlib.irradiance.get_total_irradiance(
            panels.tilt_deg,
            panels.azimuth_deg,
            self._sun["apparent_zenith"],
            self._sun["azimuth"],
            self._light["dni"],
            self._light["ghi"],
            self._light["dhi"],
        )["poa_global"].fillna(0.0)
        on_plane = np.interp(np.arange(DAY_S), np.arange(1441) * 60, plane.to_numpy()) * self._through
        direct = pvlib.pvsystem.pvwatts_dc(on_plane, AIR_C + on_plane * CELL_C_PER_W_M2, panels.peak_w, PER_C)
        passed: Watts = np.minimum(direct * INVERTER, float(panels.inverter_w or panels.peak_w))
        return np.maximum(passed, 0.0)


def _clouds(weather: str, chance: np.random.Generator) -> Watts:
    """The share of the clear sky's light that comes through, for each second."""
    bright, dark, gap_s, cloud_s = SKIES[weather]
    count = DAY_S // min(gap_s, cloud_s) * 2
    lengths = chance.exponential(1, 2 * count) * np.tile([gap_s, cloud_s], count) + EDGE_S
    shares = np.tile([bright, dark], count) * chance.uniform(0.93, 1.0, 2 * count)
    sky = np.repeat(shares, lengths.astype(int))
    sky = np.pad(sky, (0, DAY_S), mode="edge")[: DAY_S + EDGE_S - 1]
    softened: Watts = np.convolve(sky, np.ones(EDGE_S) / EDGE_S, mode="valid")
    return softened
