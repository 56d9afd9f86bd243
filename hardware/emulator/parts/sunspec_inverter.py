"""A PV inverter: models 1, 101 or 103, 120-123.

Owns: limiting, disconnecting, the revert timer, its states. Refuses: limits above 100 %, charging.
Invariants: a limit is in per cent of WMax; without an order the inverter feeds in what the sun gives.
"""

from collections.abc import Mapping, Sequence

from ..port import Converter, Terminal
from .modbus import ILLEGAL_VALUE, Refused
from .sunspec import FAULT, MPPT, OFF, SLEEPING, THROTTLED, Raw, Revert, SunSpecDevice, Wake

_SCALE = 100  # hundredths of a per cent


class PvInverter(SunSpecDevice):
    def __init__(
        self, terminal: Terminal, converter: Converter, rated_w: int, serial: str = "PV-1", wake: Wake | None = None,
        seed: int = 0,
    ) -> None:  # fmt: skip
        super().__init__("sunspec-inverter", terminal, converter, rated_w, serial, (), wake, seed)
        self._limit = Revert()
        self._connect = Revert()
        self.settings.update(
            {(123, name): 0 for name in ("Conn_WinTms", "Conn_RvrtTms", "WMaxLimPct_WinTms", "WMaxLimPct_RvrtTms",
                                         "WMaxLimPct_RmpTms", "WMaxLim_Ena", "OutPFSet_Ena", "VArPct_Ena")}
        )  # fmt: skip
        self.settings.update({(123, "Conn"): 1, (123, "WMaxLimPct"): 100 * _SCALE, (123, "OutPFSet"): 100})

    def values(self, model: int, now_us: int) -> Mapping[str, int | str | None]:
        if model == 1:
            return self.common("PV inverter")
        if model == self._ac_model:
            load = abs(self.gauge.at(now_us).power_w) / self.rated_w
            return self.ac(now_us, self._state(now_us), 25 + 25 * load)
        if model == 120:
            return self.nameplate(4)
        if model == 121:
            return self.basic_settings()
        if model == 122:
            return self._status(now_us)
        return {"WMaxLimPct_SF": -2, "OutPFSet_SF": -2}

    def _status(self, now_us: int) -> Raw:
        connected = self.settings[123, "Conn"]
        running = self._state(now_us) in (MPPT, THROTTLED)
        return {
            "PVConn": connected | 2 | 4 * running, "StorConn": 0, "ECPConn": connected,
            "ActWh": int(self.gauge.at(now_us).export_wh), "StActCtl": self.settings[123, "WMaxLim_Ena"],
        }  # fmt: skip

    def _state(self, now_us: int) -> int:
        if self.alarms:
            return FAULT
        if not self.settings[123, "Conn"]:
            return OFF
        available_w = self.converter.available_w(now_us)
        if available_w < 1:
            return SLEEPING
        return THROTTLED if self._power_w is not None and self._power_w < available_w else MPPT

    def check(self, model: int, taken: Mapping[str, int]) -> None:
        if model != 123 or taken.get("WMaxLimPct", 0) > 100 * _SCALE:
            raise Refused(ILLEGAL_VALUE)
        if any(taken.get(name, 0) not in (0, 1) for name in ("Conn", "WMaxLim_Ena")):
            raise Refused(ILLEGAL_VALUE)

    def ordered(self, model: int, taken: Mapping[str, int], now_us: int) -> None:
        if "WMaxLimPct" in taken or "WMaxLim_Ena" in taken:
            on = self.settings[123, "WMaxLim_Ena"]
            self._limit.start(self.settings[123, "WMaxLimPct_RvrtTms"] if on else 0, now_us)
        if "Conn" in taken:
            off = not taken["Conn"]
            self._connect.start(self.settings[123, "Conn_RvrtTms"] if off else 0, now_us)

    def target(self, now_us: int) -> float | None:
        if self._limit.ran_out(now_us):
            self.settings[123, "WMaxLim_Ena"] = 0
        if self._connect.ran_out(now_us):
            self.settings[123, "Conn"] = 1
        if self.alarms or not self.settings[123, "Conn"]:
            return 0.0
        if not self.settings[123, "WMaxLim_Ena"]:
            return None
        return self.rated_w * self.settings[123, "WMaxLimPct"] / _SCALE / 100

    def apply(self, power_w: float | None, now_us: int) -> None:
        self.converter.limit(power_w, now_us)

    def from_w(self, now_us: int) -> float:
        return min(self.rated_w, self.converter.available_w(now_us))

    def timers(self) -> Sequence[Revert]:
        return (self._limit, self._connect)
