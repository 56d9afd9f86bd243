"""SunSpec plans against emulated inverters and batteries, register by register, and against stranger devices."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from fractions import Fraction
from typing import Any, TypeVar

import pytest

from gateway import sunspec
from gateway.meters import Fault, Order, Question, Sample, meter
from gateway.sunspec import Found
from hardware import catalog
from hardware.catalog import Register
from hardware.catalog.part import Part
from hardware.emulator.parts.modbus import Refused, Registers
from hardware.emulator.parts.sunspec_battery import BatteryInverter
from hardware.emulator.parts.sunspec_inverter import PvInverter
from tests.firmware.bench_drivers import Plant

T = TypeVar("T")
START_US = 1_800_000_000_000_000


class Site:
    """Time, and one device on it."""

    def __init__(self, device: Registers) -> None:
        self.device = device
        self.now_us = START_US
        self.written: list[Order] = []

    def carry(self, plan: Generator[Question | Order, Sequence[int], T]) -> T:
        answer: Any = None
        try:
            while True:
                step = plan.throw(answer) if isinstance(answer, Fault) else plan.send(answer)
                try:
                    answer = self._one(step)
                except Refused as refused:
                    answer = Fault("refused", code=refused.code)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]

    def _one(self, step: Question | Order) -> Sequence[int]:
        if isinstance(step, Order):
            self.written.append(step)
            self.device.write(step.address, step.values, self.now_us)
            return ()
        return self.device.read(step.function, step.address, step.size, self.now_us)

    def wait(self, seconds: float) -> None:
        self.now_us += int(seconds * 1e6)


def inverter(power_w: float = 6_000.0) -> Site:
    plant = Plant(power_w)
    return Site(PvInverter(plant, plant, 8_000))


def battery(without: Sequence[int] = ()) -> Site:
    plant = Plant(capacity_wh=10_000)
    return Site(BatteryInverter(plant, plant, 5_000, without=without))


def test_an_inverter_is_found_and_read() -> None:
    site = inverter()
    found = site.carry(sunspec.scan())
    assert set(found.blocks) == {1, 103, 120, 121, 122, 123} or set(found.blocks) == {1, 101, 120, 121, 122, 123}
    assert found.rated_w == 8_000
    sample = site.carry(sunspec.sample(found))
    assert abs(sample.power_mw + 6_000_000) < 6_000
    assert sample.import_wh is None and sample.export_wh is not None
    assert 49_900 < sample.more[1] < 50_100


def test_a_batterys_state_is_read() -> None:
    site = battery()
    found = site.carry(sunspec.scan())
    health = site.carry(sunspec.health(found))
    assert health.capacity_wh == 10_000 and health.soc_milli is not None and 0 <= health.soc_milli <= 1_000
    assert site.carry(sunspec.sample(found)).more[3] == health.soc_milli


@pytest.mark.parametrize(
    "make, limit_w",
    [
        pytest.param(inverter, -2_000, id="model 123"),
        pytest.param(battery, -2_000, id="model 704, discharging"),
        pytest.param(battery, 1_500, id="model 704, charging"),
        pytest.param(lambda: battery(without=(704,)), -2_000, id="model 124, discharging"),
        pytest.param(lambda: battery(without=(704,)), 1_500, id="model 124, charging"),
    ],
)
def test_an_order_is_taken_read_back_and_falls_back_by_itself(make: Any, limit_w: int) -> None:
    site = make()
    found = site.carry(sunspec.scan())
    assert site.carry(sunspec.in_force(found)) is None
    site.carry(sunspec.tell(found, limit_w, 60))
    held = site.carry(sunspec.in_force(found))
    assert held is not None and abs(held) <= abs(limit_w) and abs(held - limit_w) <= 50
    site.wait(30)
    assert site.carry(sunspec.in_force(found)) == held
    site.wait(31)
    assert site.carry(sunspec.in_force(found)) in (None, 0), "its own timer ran out"


def test_no_order_is_the_devices_own_rule() -> None:
    for site in (inverter(), battery(), battery(without=(704,))):
        found = site.carry(sunspec.scan())
        site.carry(sunspec.tell(found, -1_000, 60))
        site.carry(sunspec.tell(found, None, 60))
        assert site.carry(sunspec.in_force(found)) in (None, 0)


def test_a_battery_under_local_control_is_not_told() -> None:
    site = battery()
    found = site.carry(sunspec.scan())
    site.device.local = True  # type: ignore[attr-defined]
    with pytest.raises(Fault, match="local"):
        site.carry(sunspec.tell(found, 1_000, 60))


def test_the_heartbeat_keeps_a_battery_alive() -> None:
    site = battery()
    found = site.carry(sunspec.scan())
    first = site.carry(sunspec.heartbeat(found, 1))
    site.wait(30)
    assert site.carry(sunspec.heartbeat(found, 2)) != first
    site.wait(61)
    assert site.carry(sunspec.health(found)).store_alarms, "it takes us for dead"


class Strange(Registers):
    """A register map of any shape: what it lacks it refuses."""

    def __init__(self, base: int, blocks: list[tuple[int, list[int]]], end: bool = True) -> None:
        self.words: dict[int, int] = dict(enumerate(sunspec.MARK, base))
        at = base + 2
        for model, words in blocks:
            for offset, word in enumerate([model, len(words), *words]):
                self.words[at + offset] = word
            at += 2 + len(words)
        if end:
            self.words[at], self.words[at + 1] = sunspec.END, 0

    def read(self, function: int, address: int, count: int, now_us: int) -> Sequence[int]:
        try:
            return [self.words[place] for place in range(address, address + count)]
        except KeyError:
            raise Refused(2) from None


def ac(**raw: int) -> tuple[int, list[int]]:
    values: dict[str, int | str | None] = {"W": 1_234, "W_SF": 0, "V_SF": -1, "A_SF": -2, "Hz_SF": -2, **raw}
    return 101, catalog.models()[101].image(values)[2:]


COMMON = (1, [0] * 66)


@pytest.mark.parametrize("base", sunspec.BASES)
@pytest.mark.parametrize("end", [True, False], ids=["with its end mark", "without"])
def test_a_device_is_found_wherever_it_begins_and_however_it_is_ordered(base: int, end: bool) -> None:
    blocks = [ac(), (64_999, [7] * 33), COMMON, (17, [])]
    found = Site(Strange(base, blocks, end)).carry(sunspec.scan())
    assert set(found.blocks) == {1, 101, 17, 64_999}
    assert found.blocks[101] == (base + 2, 50)


def test_what_is_no_sunspec_device_says_so() -> None:
    with pytest.raises(Fault, match="no SunSpec mark"):
        Site(Strange(123, [COMMON])).carry(sunspec.scan())
    with pytest.raises(Fault, match="none of"):
        Site(Strange(0, [COMMON])).carry(sunspec.scan())


def test_silence_ends_a_scan_and_the_next_one_begins_elsewhere() -> None:
    plan = sunspec.scan(0)
    assert next(plan) == Question(3, 40_000, 2)
    with pytest.raises(Fault, match="silent"):
        plan.throw(Fault("silent"))
    assert next(sunspec.scan(1)) == Question(3, 0, 2)


@pytest.mark.parametrize(
    "raw, power_mw",
    [
        ({"W": 250, "W_SF": 1}, -2_500_000),
        ({"W": 250, "W_SF": -2}, -2_500),
        ({"W": -250, "W_SF": 0}, 250_000),
    ],
)
def test_scale_factors(raw: dict[str, int], power_mw: int) -> None:
    site = Site(Strange(40_000, [COMMON, ac(**raw)]))
    assert site.carry(sunspec.sample(site.carry(sunspec.scan()))).power_mw == power_mw


@pytest.mark.parametrize("raw", [{"W": -0x8000}, {"W_SF": -0x8000}, {"W_SF": 77}], ids=["point", "factor", "absurd"])
def test_what_is_not_implemented_is_no_number(raw: dict[str, int]) -> None:
    site = Site(Strange(40_000, [COMMON, ac(**raw)]))
    with pytest.raises(Fault, match="no-number"):
        site.carry(sunspec.sample(site.carry(sunspec.scan())))


def test_models_that_moved_are_noticed() -> None:
    device = Strange(40_000, [COMMON, ac()])
    site = Site(device)
    found = site.carry(sunspec.scan())
    device.words = Strange(40_000, [ac(), COMMON]).words
    with pytest.raises(Fault, match="no-model"):
        site.carry(sunspec.sample(found))


def test_an_order_is_never_more_than_was_asked_for() -> None:
    found = Found(rated_w=7_777)
    for limit_w in range(-7_777, 1, 111):
        share, full = sunspec._share(found, limit_w, -2)
        assert Fraction(share * 7_777, full) <= -limit_w


# ---------------------------------------------------------------- meters of the catalog


class Floats(Registers):
    def __init__(self, part: Part, values: dict[str, float]) -> None:
        self.words: dict[tuple[int, int], int] = {}
        for register in part.registers:
            for place, word in enumerate(register.encode(values.get(register.name, 0.0))):
                self.words[register.function, register.address + place] = word

    def read(self, function: int, address: int, count: int, now_us: int) -> Sequence[int]:
        return [self.words.get((function, place), 0) for place in range(address, address + count)]


def test_a_meter_is_read_also_with_its_words_turned() -> None:
    part = catalog.load("sdm630")
    values = {"total_power": -1_234.5, "import_energy": 42.125, "export_energy": 7.5, "voltage_l2": 231.5}
    device = Floats(part, values)
    straight: Sample = Site(device).carry(meter(part))
    assert (straight.power_mw, straight.import_wh, straight.export_wh) == (-1_234_500, 42_125, 7_500)
    assert straight.voltage_mv == (0, 231_500, 0)
    for register in part.registers:
        _turn(device, register)
    turned: Sample = Site(device).carry(meter(part, low_first=True))
    assert turned._replace(raw=b"") == straight._replace(raw=b"")


def _turn(device: Floats, register: Register) -> None:
    if register.words == 2:
        first, second = (register.function, register.address), (register.function, register.address + 1)
        device.words[first], device.words[second] = device.words[second], device.words[first]


def test_a_float_that_is_no_number_is_no_reading() -> None:
    part = catalog.load("sdm120")
    device = Floats(part, {})
    device.words[4, part.register("power").address] = 0x7FC0
    with pytest.raises(Fault, match="no-number"):
        Site(device).carry(meter(part))
