"""A battery inverter with its store: models 1, 101 or 103, 120-122, 124, 704, 802.

Owns: power by model 704 (watts) and by model 124 (rates), revert timers, heartbeats, its states and alarms.
Refuses: power beyond its rating, control while switched to local.
Invariants: without an order it does what the grid's own rule says; the last order given, by either model, holds; a
controller whose heartbeat stopped is taken for dead.
"""

from collections.abc import Mapping, Sequence

from ..port import Converter, StoreState, Terminal
from .modbus import ILLEGAL_VALUE, Refused
from .sunspec import FAULT, MPPT, OFF, STANDBY, Raw, Revert, SunSpecDevice, Wake, exponent, scaled

CONTROLLER_LOST = 1  # Evt1 of model 802: COMMUNICATION_ERROR
CONTROLLER_SILENT_S = 60
VOLTAGE_V = 51.2  # of the store
_SCALE = 100  # rates in hundredths of a per cent
_STATE_DISCONNECTED, _STATE_CONNECTED, _STATE_STANDBY, _STATE_FAULT = 1, 3, 4, 99
_EMPTY, _DISCHARGING, _CHARGING, _FULL, _HOLDING = 2, 3, 4, 5, 6

_START_704 = {
    "WMaxLimPctEna": 0, "WMaxLimPct": 10_000, "WMaxLimPctRvrt": 10_000, "WMaxLimPctEnaRvrt": 0,
    "WMaxLimPctRvrtTms": 0, "WSetEna": 0, "WSetMod": 1, "WSet": 0, "WSetRvrt": 0, "WSetPct": 0, "WSetPctRvrt": 0,
    "WSetEnaRvrt": 0, "WSetRvrtTms": 0,
}  # fmt: skip
_START_124 = {
    "StorCtl_Mod": 0, "MinRsvPct": 500, "OutWRte": 10_000, "InWRte": 10_000, "InOutWRte_WinTms": 0,
    "InOutWRte_RvrtTms": 0, "InOutWRte_RmpTms": 0, "ChaGriSet": 1,
}  # fmt: skip


class BatteryInverter(SunSpecDevice):
    """`without=(704,)` or `(802,)` makes it an older device."""

    def __init__(
        self, terminal: Terminal, converter: Converter, rated_w: int, serial: str = "BAT-1",
        without: Sequence[int] = (), wake: Wake | None = None, seed: int = 0,
    ) -> None:  # fmt: skip
        super().__init__("sunspec-battery", terminal, converter, rated_w, serial, without, wake, seed)
        self.store_alarms = 0  # Evt1 of model 802
        self.heart_stands = False
        self._by = 0  # the model of the last order
        self._set = Revert()
        self._rates = Revert()
        self._controller = Revert()
        self._beat = 0
        self.settings.update({(704, name): value for name, value in _START_704.items()})
        self.settings.update({(124, name): value for name, value in _START_124.items()})
        self.settings.update({(802, "CtrlHb"): 0, (802, "AlmRst"): 0, (802, "SetOp"): 1, (802, "SetInvState"): 3})

    def values(self, model: int, now_us: int) -> Mapping[str, int | str | None]:
        store = self.converter.store(now_us)
        assert store is not None, "a battery inverter needs a store"
        if model == 1:
            return self.common("Battery inverter")
        if model == self._ac_model:
            return self.ac(now_us, self._inverter_state(now_us), store.temperature_c)
        if model == 120:
            return self._nameplate(store)
        if model == 121:
            return self.basic_settings()
        if model == 122:
            return {"PVConn": 0, "StorConn": 7 if self._connected() else 2, "ECPConn": 1, "ActWh": 0}
        if model == 124:
            return self._model_124(store)
        if model == 704:
            scale = {"WMaxLimPct_SF": -2, "WSet_SF": 0, "WSetPct_SF": -2}
            return scale | {"WSetRvrtRem": self._set.left_s(now_us), "WMaxLimPctRvrtRem": 0}
        return self._model_802(store, now_us)

    def _nameplate(self, store: StoreState) -> Raw:
        wh, watts = exponent(store.capacity_wh), exponent(max(store.charge_w_max, store.discharge_w_max))
        return self.nameplate(82) | {
            "WHRtg": scaled(store.capacity_wh, wh), "WHRtg_SF": wh,
            "MaxChaRte": scaled(store.charge_w_max, watts), "MaxChaRte_SF": watts,
            "MaxDisChaRte": scaled(store.discharge_w_max, watts), "MaxDisChaRte_SF": watts,
        }  # fmt: skip

    def _model_124(self, store: StoreState) -> Raw:
        watts = exponent(store.charge_w_max)
        return {
            "WChaMax": scaled(store.charge_w_max, watts), "WChaGra": 100, "WDisChaGra": 100, "WChaMax_SF": watts,
            "WChaDisChaGra_SF": 0, "MinRsvPct_SF": -2, "ChaState": _soc(store), "ChaState_SF": -2,
            "ChaSt": self._charge_status(store), "InOutWRte_SF": -2,
        }  # fmt: skip

    def _model_802(self, store: StoreState, now_us: int) -> Raw:
        power_w = -self.gauge.at(now_us).power_w  # discharging is positive
        if not self.heart_stands:
            self._beat = now_us // 1_000_000 % 0x8000
        wh, ah = exponent(store.capacity_wh), exponent(store.capacity_wh / VOLTAGE_V)
        limit, watts = exponent(max(store.charge_w_max, store.discharge_w_max)), exponent(1.5 * self.rated_w)
        amps = exponent(1.5 * self.rated_w / VOLTAGE_V)
        return {
            "AHRtg": scaled(store.capacity_wh / VOLTAGE_V, ah), "AHRtg_SF": ah,
            "WHRtg": scaled(store.capacity_wh, wh), "WHRtg_SF": wh,
            "WChaRteMax": scaled(store.charge_w_max, limit), "WDisChaRteMax": scaled(store.discharge_w_max, limit),
            "WChaDisChaMax_SF": limit, "SoCMax": 10_000, "SoCMin": 0, "SoC": _soc(store), "SoC_SF": -2, "SoH": 1000,
            "SoH_SF": -1, "ChaSt": self._charge_status(store), "LocRemCtl": int(self.local), "Hb": self._beat, "Typ": 4,
            "State": self._store_state(), "Evt1": self.store_alarms, "Evt2": 0, "EvtVnd1": 0, "EvtVnd2": 0,
            "V": scaled(VOLTAGE_V, -1), "V_SF": -1, "A": scaled(power_w / VOLTAGE_V, amps), "A_SF": amps,
            "W": scaled(power_w, watts), "W_SF": watts,
        }  # fmt: skip

    def _connected(self) -> bool:
        return self.settings[802, "SetOp"] == 1

    def _inverter_state(self, now_us: int) -> int:
        if self.alarms or self.store_alarms & ~CONTROLLER_LOST:
            return FAULT
        if not self._connected():
            return OFF
        return MPPT if abs(self.gauge.at(now_us).power_w) > 1 else STANDBY

    def _store_state(self) -> int:
        if self.store_alarms & ~CONTROLLER_LOST:
            return _STATE_FAULT
        if not self._connected():
            return _STATE_DISCONNECTED
        return _STATE_CONNECTED if self._power_w else _STATE_STANDBY

    def _charge_status(self, store: StoreState) -> int:
        power_w = self._power_w or 0
        if store.stored_wh <= 0.001 * store.capacity_wh:
            return _EMPTY
        if store.stored_wh >= 0.999 * store.capacity_wh:
            return _FULL
        return _CHARGING if power_w > 0 else _DISCHARGING if power_w < 0 else _HOLDING

    # ---- orders

    def check(self, model: int, taken: Mapping[str, int]) -> None:
        if model == 704 and abs(taken.get("WSet", 0)) > self.rated_w:
            raise Refused(ILLEGAL_VALUE)
        if model == 124 and any(abs(taken.get(name, 0)) > 10_000 for name in ("InWRte", "OutWRte")):
            raise Refused(ILLEGAL_VALUE)
        if model == 802 and taken.get("SetOp", 1) not in (1, 2):
            raise Refused(ILLEGAL_VALUE)

    def ordered(self, model: int, taken: Mapping[str, int], now_us: int) -> None:
        if model == 704 and ("WSet" in taken or "WSetEna" in taken):
            self._by = 704
            on = self.settings[704, "WSetEna"]
            self._set.start(self.settings[704, "WSetRvrtTms"] if on else 0, now_us)
        if model == 124:
            self._by = 124
            on = self.settings[124, "StorCtl_Mod"]
            self._rates.start(self.settings[124, "InOutWRte_RvrtTms"] if on else 0, now_us)
        if "CtrlHb" in taken:
            self._controller.start(CONTROLLER_SILENT_S, now_us)
            self.store_alarms &= ~CONTROLLER_LOST
        if taken.get("AlmRst"):
            self.settings[802, "AlmRst"] = 0
            self.alarms = self.store_alarms = 0

    def target(self, now_us: int) -> float | None:
        if self._set.ran_out(now_us):
            self.settings[704, "WSetEna"] = self.settings[704, "WSetEnaRvrt"]
            self.settings[704, "WSet"] = self.settings[704, "WSetRvrt"]
        if self._rates.ran_out(now_us):
            self.settings[124, "StorCtl_Mod"] = 0
        if self._controller.ran_out(now_us):
            self.store_alarms |= CONTROLLER_LOST
        if self.alarms or self.store_alarms or not self._connected():
            return 0.0
        if self._by == 704 and self.settings[704, "WSetEna"]:
            if self.settings[704, "WSetMod"] == 1:
                return float(-self.settings[704, "WSet"])
            return -self.rated_w * self.settings[704, "WSetPct"] / _SCALE / 100
        if self._by == 124:
            return self._rate_w(now_us)
        return None

    def _rate_w(self, now_us: int) -> float | None:
        """Model 124: a window from -OutWRte to InWRte; the device's own wish, 0, is brought into it."""
        store = self.converter.store(now_us)
        mode = self.settings[124, "StorCtl_Mod"]
        if store is None or not mode:
            return None
        highest = store.charge_w_max * self.settings[124, "InWRte"] / _SCALE / 100 if mode & 1 else store.charge_w_max
        lowest = -store.charge_w_max * self.settings[124, "OutWRte"] / _SCALE / 100 if mode & 2 else -self.rated_w
        return max(lowest, min(highest, 0.0))

    def apply(self, power_w: float | None, now_us: int) -> None:
        self.converter.order(power_w, now_us)

    def from_w(self, now_us: int) -> float:
        return self.gauge.at(now_us).power_w

    def timers(self) -> Sequence[Revert]:
        return (self._set, self._rates, self._controller)


def _soc(store: StoreState) -> int:
    """Hundredths of a per cent."""
    return round(10_000 * store.stored_wh / store.capacity_wh)
