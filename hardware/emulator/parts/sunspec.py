"""What emulated SunSpec devices share: the chain of models, reads and writes of points, AC measurements, ramps, timers.

Owns: the register image, which points may be written, when something is due that nobody asks for (a revert timer).
Refuses: writes of half a point, of a point that is not writable or does not exist; control while switched to local.
Invariants: a point's register is where the catalog's model says; an order with a revert timer ends with it whether or
not anybody asks; the power in force moves no faster than the ramp.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from hardware.catalog import Model, Part, Point, load, models

from ..port import Converter, Reading, Terminal
from .gauge import Failure, Gauge, power_factor
from .modbus import ILLEGAL_ADDRESS, ILLEGAL_FUNCTION, ILLEGAL_VALUE, Refused, Registers

Wake = Callable[[int, Callable[[], None]], object]
"""Calls back at an instant of site time; the timeline's `at`."""

MARK = (0x5375, 0x6E53)  # "SunS"
END = (0xFFFF, 0)
RAMP_STEP_US = 500_000
OFF, SLEEPING, MPPT, THROTTLED, FAULT, STANDBY = 1, 2, 4, 5, 7, 8  # model 103, St

Raw = dict[str, int | str | None]


@dataclass(slots=True)
class Revert:
    """One revert timer. 0 s: none."""

    due_us: int | None = None

    def start(self, seconds: int, now_us: int) -> None:
        self.due_us = now_us + seconds * 1_000_000 if seconds else None

    def left_s(self, now_us: int) -> int:
        return 0 if self.due_us is None else max(0, -(-(self.due_us - now_us) // 1_000_000))

    def ran_out(self, now_us: int) -> bool:
        if self.due_us is None or now_us < self.due_us:
            return False
        self.due_us = None
        return True


class SunSpecDevice(Registers):
    """The registers of one device. Subclasses fill the models and act on what is written."""

    def __init__(
        self,
        name: str,
        terminal: Terminal,
        converter: Converter,
        rated_w: int,
        serial: str,
        without: Sequence[int] = (),
        wake: Wake | None = None,
        seed: int = 0,
    ) -> None:
        self.part: Part = load(name)
        self.converter = converter
        self.rated_w = rated_w
        self.serial = serial
        self.max_count = self.part.pace["word_count_max"]
        self.gauge = Gauge(terminal, self.part.pace["refresh_ms"] * 1000, seed)
        self.failure = Failure.NONE
        self.alarms = 0  # Evt1 of the inverter; any bit stops it
        self.local = False  # switched to local control: orders are refused
        self.settings: dict[tuple[int, str], int] = {}
        self._single = len(terminal.at(0).phases) == 1
        self._ac_model = 101 if self._single else 103
        ids = [self._ac_model if id == 103 else id for id in self.part.models if id not in without]
        self.models: list[tuple[int, Model]] = []
        at = self.part.pace["base_register"] + 2
        for id in ids:
            self.models.append((at, models()[id]))
            at += 2 + models()[id].length
        self._end = at
        self._frozen: dict[int, list[int]] = {}
        self._wake = wake
        self._woken_us: int | None = None
        self._power_w: float | None = None  # what the ramp has reached
        self._target_w: float | None = None
        self._ramp_us = 0

    # ---- registers

    def read(self, function: int, address: int, count: int, now_us: int) -> Sequence[int]:
        if function != 3:
            raise Refused(ILLEGAL_FUNCTION)
        base = self.part.pace["base_register"]
        if not base <= address <= address + count <= self._end + 2:
            raise Refused(ILLEGAL_ADDRESS)
        self.tick(now_us)
        words: list[int] = []
        if address < base + 2:
            words += MARK[address - base :]
        for at, model in self.models:
            if at < address + count and address < at + 2 + model.length:
                words += self._image(model, now_us)[max(0, address - at) :]
        if self._end < address + count:
            words += END[max(0, address - self._end) :]
        return words[:count]

    def _image(self, model: Model, now_us: int) -> list[int]:
        if self.failure is Failure.FROZEN:
            return self._frozen[model.id]
        raw: Raw = dict(self.values(model.id, now_us))
        raw.update({point: value for (id, point), value in self.settings.items() if id == model.id})
        return model.image(raw)

    def write(self, address: int, values: Sequence[int], now_us: int) -> None:
        self.tick(now_us)
        for at, model in self.models:
            if at + 2 <= address and address + len(values) <= at + 2 + model.length:
                taken = self._taken(model, address - at, values)
                if self.local and model.id != 802:
                    raise Refused(ILLEGAL_VALUE)
                self.check(model.id, taken)
                self.settings.update({(model.id, name): value for name, value in taken.items()})
                self.ordered(model.id, taken, now_us)
                self.tick(now_us)
                return
        raise Refused(ILLEGAL_ADDRESS)

    def _taken(self, model: Model, at: int, values: Sequence[int]) -> dict[str, int]:
        """The points in a write, each whole and writable. A pad of the device's own marks is written back unharmed."""
        taken = {}
        end = at + len(values)
        while at < end:
            point = next((p for p in model.points if p.at == at), None)
            if point is None or not point.writable or at + point.words > end:
                raise Refused(ILLEGAL_ADDRESS)
            taken[point.name] = _number(point, values[len(values) - (end - at) :])
            at += point.words
        return taken

    # ---- for subclasses

    def values(self, model: int, now_us: int) -> Mapping[str, int | str | None]:
        """The model's raw points now, but for what was written."""
        raise NotImplementedError

    def check(self, model: int, taken: Mapping[str, int]) -> None:
        """Refuse values that the device would not take."""

    def ordered(self, model: int, taken: Mapping[str, int], now_us: int) -> None:
        """Points were written."""

    def target(self, now_us: int) -> float | None:
        """The power or limit that the device should be at; None: its own rule. Also lets timers run out."""
        raise NotImplementedError

    def apply(self, power_w: float | None, now_us: int) -> None:
        """Tell the converter."""
        raise NotImplementedError

    def from_w(self, now_us: int) -> float:
        """Where a ramp begins when there was no order before."""
        raise NotImplementedError

    def timers(self) -> Sequence[Revert]:
        return ()

    # ---- time

    def tick(self, now_us: int) -> None:
        """Let timers and the ramp catch up with the time, and see to it that they do so again."""
        target = self.target(now_us)
        if target is None:
            if self._power_w is not None:
                self.apply(None, now_us)
            self._power_w = self._target_w = None
        else:
            self._ramp(target, now_us)
        due = [timer.due_us for timer in self.timers() if timer.due_us is not None]
        if self._power_w != self._target_w:
            due.append(now_us + RAMP_STEP_US)
        if due and self._wake and (self._woken_us is None or min(due) < self._woken_us):
            woken_us = self._woken_us = min(due)
            self._wake(woken_us, lambda: self._awake(woken_us))

    def _awake(self, due_us: int) -> None:
        if due_us == self._woken_us:  # else an earlier instant took its place
            self._woken_us = None
            self.tick(due_us)

    def _ramp(self, target: float, now_us: int) -> None:
        if self._power_w is None:
            self._power_w = self.from_w(now_us)
        if target != self._target_w:
            self._ramp_us = now_us  # the way begins now, however long it stood
        step = self.rated_w * self.part.pace["ramp_permille_s"] / 1000 * (now_us - self._ramp_us) / 1e6
        before = self._power_w if self._target_w is not None else None
        self._target_w, self._ramp_us = target, now_us
        way = target - self._power_w
        self._power_w = target if abs(way) <= step else self._power_w + (step if way > 0 else -step)
        if self._power_w != before:
            self.apply(self._power_w, now_us)

    def fail(self, failure: Failure, now_us: int) -> None:
        if failure is Failure.FROZEN:
            self._frozen = {model.id: self._image(model, now_us) for _, model in self.models}
        self.failure = failure
        self.gauge.fail(failure, now_us)

    # ---- what every device says

    def common(self, product: str) -> Raw:
        return {"Mn": "Tallygrid", "Md": product, "Vr": "1.0", "SN": self.serial, "DA": 1}

    def ac(self, now_us: int, state: int, temperature_c: float) -> Raw:
        """Models 101 and 103; what is fed in is positive there."""
        reading = self.gauge.at(now_us)
        watts, amps = exponent(1.5 * self.rated_w), exponent(1.5 * self.rated_w / 100)
        raw: Raw = {
            "A": scaled(sum(p.current_a for p in reading.phases), amps), "A_SF": amps, "V_SF": -1,
            "W": scaled(-reading.power_w, watts), "W_SF": watts, "Hz": scaled(reading.frequency_hz, -2), "Hz_SF": -2,
            "PF": round(1000 * _factor(reading)), "PF_SF": -1, "WH": int(reading.export_wh), "WH_SF": 0,
            "TmpCab": scaled(temperature_c, -1), "Tmp_SF": -1, "St": state, "Evt1": self.alarms, "Evt2": 0,
        }  # fmt: skip
        for letter, phase in zip("ABC", reading.phases, strict=False):
            raw[f"Aph{letter}"] = scaled(phase.current_a, amps)
            raw[f"PhVph{letter}"] = scaled(phase.voltage_v, -1)
        return raw

    def nameplate(self, kind: int) -> Raw:
        sf = max(0, exponent(self.rated_w))
        rated, half = scaled(self.rated_w, sf), scaled(self.rated_w / 2, sf)
        amps = self.rated_w / 230 / (1 if self._single else 3)
        return {
            "DERTyp": kind, "WRtg": rated, "WRtg_SF": sf, "VARtg": rated, "VARtg_SF": sf, "VArRtgQ1": half,
            "VArRtgQ2": half, "VArRtgQ3": -half, "VArRtgQ4": -half, "VArRtg_SF": sf,
            "ARtg": scaled(amps, exponent(amps)), "ARtg_SF": exponent(amps), "PFRtgQ1": 80, "PFRtgQ2": 80,
            "PFRtgQ3": -80, "PFRtgQ4": -80, "PFRtg_SF": -2,
        }  # fmt: skip

    def basic_settings(self) -> Raw:
        sf = max(0, exponent(self.rated_w))
        return {
            "WMax": scaled(self.rated_w, sf), "VRef": 230, "VRefOfs": 0, "WMax_SF": sf, "VRef_SF": 0, "VRefOfs_SF": 0,
        }  # fmt: skip


def exponent(highest: float) -> int:
    """The smallest scale factor from -2 on at which values up to `highest` fit a signed register."""
    return next(sf for sf in range(-2, 8) if highest / 10.0**sf <= 32_000)


def scaled(value: float, sf: int) -> int:
    """The register of a value at a scale factor."""
    return round(value / 10.0**sf)


def _number(point: Point, words: Sequence[int]) -> int:
    number = 0
    for word in words[: point.words]:
        number = number << 16 | word
    signed = point.kind in ("s16", "s32") and number >> (16 * point.words - 1)
    return number - (1 << 16 * point.words) if signed else number


def _factor(reading: Reading) -> float:
    apparent = sum(p.voltage_v * p.current_a for p in reading.phases)
    return power_factor(reading.power_w, 1.0, apparent)
