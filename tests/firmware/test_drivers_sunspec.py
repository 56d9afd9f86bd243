"""SunSpec inverters and batteries over RTU: discovery, measurements, orders with revert timers, read-back."""

from collections.abc import Callable, Sequence

import pytest

from hardware.emulator.parts.build import SunSpecSlave
from hardware.emulator.parts.gauge import Failure
from hardware.emulator.parts.modbus import ILLEGAL_ADDRESS, Refused, Registers, RtuSlave
from hardware.emulator.parts.sunspec_battery import CONTROLLER_LOST, BatteryInverter
from hardware.emulator.parts.sunspec_inverter import PvInverter
from tests.firmware.bench_drivers import Bench, Plant, Runtime, World

BAUD = 19200


def inverter(
    runtime: Runtime, sun_w: float = 6_000.0, phases: int = 3, rated_w: int = 8_000
) -> tuple[Bench, Plant, SunSpecSlave]:
    world, plant = World(), Plant(sun_w, phases=phases)
    part = SunSpecSlave(PvInverter(plant, plant, rated_w, wake=world.at), 1, BAUD)
    world.uart(BAUD, part)
    return Bench(runtime, world, "sunspec_inverter", f"SunSpecInverter(Line(uart, {BAUD}))"), plant, part


def battery(runtime: Runtime, without: Sequence[int] = ()) -> tuple[Bench, Plant, BatteryInverter]:
    world, plant = World(), Plant(capacity_wh=10_000)
    device = BatteryInverter(plant, plant, 5_000, without=without, wake=world.at)
    world.uart(BAUD, SunSpecSlave(device, 1, BAUD))
    return Bench(runtime, world, "sunspec_battery", f"SunSpecBattery(Line(uart, {BAUD}))"), plant, device


def second(bench: Bench, count: int = 1) -> None:
    """Readings at 1 Hz."""
    for _ in range(count):
        began_ms = bench.world.now_ms
        bench.reading()
        bench.world.advance(max(0, began_ms + 1_000 - bench.world.now_ms))


def test_an_inverter_is_found_and_read(runtime: Runtime) -> None:
    bench, _, _ = inverter(runtime)
    sample = bench.reading()
    assert abs(sample.power_mw + 6_000_000) <= 2_000 and sample.power_w <= -5_998
    assert len(sample.voltage_mv) == 3 and all(abs(mv - 230_000) <= 300 for mv in sample.voltage_mv)
    assert all(abs(ma - 8_696) <= 10 for ma in sample.current_ma)
    assert (sample.import_wh, sample.soc_permille) == (None, None) and sample.export_wh is not None
    assert abs(sample.frequency_mhz - 50_000) <= 20 and sample.power_factor_milli >= 998
    assert abs(sample.temperature_dc - 437) <= 2
    assert bench.call("(d.state, d.alarms, d.read_back())") == (4, 0, None)


def test_the_chain_is_walked_once(runtime: Runtime) -> None:
    bench, _, _ = inverter(runtime)
    bench.reading()
    asked = len(bench.world.sent)
    began_ms = bench.world.now_ms
    bench.reading()
    assert len(bench.world.sent) - asked == 2, "the AC model and the control"
    assert bench.world.now_ms - began_ms <= 250


def test_a_single_phase_inverter(runtime: Runtime) -> None:
    bench, _, _ = inverter(runtime, 1_500.0, 1, 2_000)
    sample = bench.reading()
    assert isinstance(sample.voltage_mv, int) and abs(sample.current_ma - 6_522) <= 10
    assert abs(sample.power_mw + 1_500_000) <= 1_000, "watts have a decimal where they fit"


@pytest.mark.parametrize("rated_w", [8_000, 100_000])
def test_a_limit_holds_is_read_back_and_reverts(runtime: Runtime, rated_w: int) -> None:
    bench, plant, _ = inverter(runtime, 0.75 * rated_w, rated_w=rated_w)
    second(bench)
    bench.call("d.set(-2345)")
    second(bench, 6)
    assert -2_345 <= bench.call("d.read_back()") <= -2_345 + rated_w // 10_000 + 1
    assert abs(bench.reading().power_w + 2_345) <= rated_w // 10_000 + 15
    assert bench.call("d.state") == 5
    bench.world.advance(70_000)  # nobody renews it: the device itself goes back, though nobody asks
    assert plant.limits[-1][1] is None
    assert plant.limits[-1][0] // 1_000_000 - 60 in range(11, 20)
    assert bench.reading().power_w < -0.74 * rated_w
    assert bench.call("d.read_back()") is None


def test_off_and_free(runtime: Runtime) -> None:
    bench, plant, _ = inverter(runtime)
    bench.call("d.set(0)")
    second(bench, 7)
    assert bench.reading().power_w == 0 and bench.call("d.read_back()") == 0
    bench.call("d.set(500)")  # charging is not its trade
    second(bench, 2)
    assert plant.limits[-1][1] == 0.0
    bench.call("d.set(None)")
    second(bench, 2)
    assert plant.limits[-1][1] is None and bench.call("d.read_back()") is None


def test_an_order_that_is_renewed_does_not_wear_registers(runtime: Runtime) -> None:
    bench, plant, _ = inverter(runtime)
    for _ in range(200):
        bench.call("d.set(-3000)")
        second(bench)
    writes = [frame for frame in bench.world.sent if frame[1] == 16]
    assert 200 // 15 <= len(writes) <= 200 // 15 + 2, "once in a quarter of the revert time"
    assert plant.limits[-1][1] is not None


def test_a_battery_is_read(runtime: Runtime) -> None:
    bench, plant, _ = battery(runtime)
    plant.stored_wh = 7_654
    sample = bench.reading()
    assert (sample.soc_permille, sample.stored_wh, sample.temperature_dc) == (765, 7_650, 315)
    assert sample.power_w == 0 and sample.import_wh is sample.export_wh is None
    assert bench.call("(d.capacity_wh, d.store_state, d.store_alarms)") == (10_000, 4, 0)


@pytest.mark.parametrize("without", [(), (704,), (802,), (704, 802)])
@pytest.mark.parametrize("limit_w", [2_000, -1_500, 0])
def test_a_battery_charges_and_discharges(runtime: Runtime, without: Sequence[int], limit_w: int) -> None:
    bench, plant, _ = battery(runtime, without)
    second(bench)
    bench.call("d.set(-700)")
    second(bench, 2)
    bench.call(f"d.set({limit_w})")
    second(bench, 4)
    assert plant.orders[-1][1] == limit_w
    sample = bench.reading()
    assert abs(sample.power_w - limit_w) <= 2 and sample.soc_permille == 500
    assert bench.call("(d.read_back(), d.refused)") == (limit_w, 0)


@pytest.mark.parametrize("without, after", [((), 0.0), ((704,), None)])
def test_a_battery_falls_back_by_itself(runtime: Runtime, without: Sequence[int], after: float | None) -> None:
    bench, plant, _ = battery(runtime, without)
    bench.call("d.set(2000)")
    second(bench, 6)
    assert plant.orders[-1][1] == 2_000.0
    bench.world.advance(90_000)  # the board is dead
    falls = [(us // 1000 - 10_000, watts) for us, watts in plant.orders if us // 1000 > 10_000 + 30_000]
    assert after in [watts for ms, watts in falls if 60_000 <= ms <= 63_000], "when the revert time is over"


def test_the_heart_of_both_beats(runtime: Runtime) -> None:
    bench, _, device = battery(runtime)
    second(bench, 2)
    assert device.settings[802, "CtrlHb"] == 0, "nothing is ordered"
    bench.call("d.set(100)")
    second(bench, 5)
    assert device.settings[802, "CtrlHb"] == 5
    device.heart_stands = True
    second(bench, 8)
    bench.world.advance(3_000)
    assert bench.fault().reason == "stalled"


def test_a_controller_that_died_is_noticed_by_the_battery(runtime: Runtime) -> None:
    bench, plant, device = battery(runtime)
    bench.call("d.set(100)")
    second(bench, 5)
    bench.world.advance(130_000)
    assert device.store_alarms == CONTROLLER_LOST and plant.orders[-1][1] == 0.0


def test_a_refusal_costs_no_reading(runtime: Runtime) -> None:
    bench, plant, device = battery(runtime)
    second(bench)
    bench.call("d.set(9000)")  # more than the device is rated for
    sample = bench.reading()
    assert sample.soc_permille == 500
    assert bench.call("(d.refused, d.read_back())") == (3, None)
    device.local = True
    bench.call("d.set(1000)")
    second(bench, 2)
    assert bench.call("d.refused") and bench.call("d.read_back()") is None and not plant.orders


def test_a_disconnected_battery_is_connected_first(runtime: Runtime) -> None:
    bench, plant, device = battery(runtime)
    device.settings[802, "SetOp"] = 2
    second(bench)
    assert bench.call("d.store_state") == 1
    bench.call("d.set(1000)")
    second(bench, 4)
    assert device.settings[802, "SetOp"] == 1 and plant.orders[-1][1] == 1_000.0


def test_alarms_stop_it_and_are_told(runtime: Runtime) -> None:
    bench, plant, device = battery(runtime)
    bench.call("d.set(1000)")
    second(bench, 3)
    device.store_alarms = 1 << 1  # over-temperature
    second(bench, 4)
    assert plant.orders[-1][1] == 0.0
    assert bench.call("(d.store_alarms, d.store_state, d.state)") == (2, 99, 7)


def test_an_order_survives_a_dead_line(runtime: Runtime) -> None:
    bench, plant, _ = battery(runtime)
    second(bench)
    assert bench.world.line is not None
    bench.world.line.dead = True
    bench.call("d.set(1500)")
    assert bench.fault().reason == "silent"
    bench.world.line.dead = False
    bench.world.advance(1_000)
    second(bench, 4)
    assert plant.orders[-1][1] == 1_500.0


def test_a_frozen_device_says_the_same(runtime: Runtime) -> None:
    world, plant = World(), Plant(4_000.0)
    part = SunSpecSlave(PvInverter(plant, plant, 5_000), 1, BAUD)
    world.uart(BAUD, part)
    bench = Bench(runtime, world, "sunspec_inverter", f"SunSpecInverter(Line(uart, {BAUD}))")
    bench.reading()
    part.fail(Failure.FROZEN, world.now_us())
    raws = {bench.reading().raw for _ in range(3) if not world.advance(700)}
    part.fail(Failure.NONE, world.now_us())
    world.advance(700)
    assert len(raws) == 1 and bench.reading().raw not in raws


class Odd(Registers):
    """The registers of some device, as tolerant or not as the test wants."""

    def __init__(self, words: dict[int, int], whole: bool = True) -> None:
        self.words = words

    def read(self, function: int, address: int, count: int, now_us: int) -> Sequence[int]:
        if function != 3 or any(at not in self.words for at in range(address, address + count)):
            raise Refused(ILLEGAL_ADDRESS)
        return [self.words[at] for at in range(address, address + count)]


def odd(runtime: Runtime, change: Callable[[list[int]], list[int]], base: int = 40000) -> Bench:
    """A copy of the emulated inverter's registers, changed."""
    plant = Plant(6_000.0)
    device = PvInverter(plant, plant, 8_000)
    words = [device.read(3, at, 1, 1_000_000)[0] for at in range(40000, device._end + 2)]
    registers = Odd({base + at: word for at, word in enumerate(change(words))})
    world = World()
    world.uart(BAUD, RtuSlave(registers, 1, BAUD, 10_000))
    return Bench(runtime, world, "sunspec_inverter", f"SunSpecInverter(Line(uart, {BAUD}))")


@pytest.mark.parametrize("base", [40000, 0, 50000])
def test_every_base_register(runtime: Runtime, base: int) -> None:
    assert odd(runtime, lambda words: words, base).reading().power_w <= -5_990


def test_unknown_models_and_another_order(runtime: Runtime) -> None:
    def change(words: list[int]) -> list[int]:
        strange = [64_001, 3, 7, 7, 7]
        common, rest = words[2:70], words[70:-2]
        return [*words[:2], *common, *strange, *rest[52:], *rest[:52], 0xFFFF, 0]

    assert odd(runtime, change).reading().power_w <= -5_990


def test_no_end_mark(runtime: Runtime) -> None:
    assert odd(runtime, lambda words: words[:-2]).reading().power_w <= -5_990


def test_points_that_are_not_implemented(runtime: Runtime) -> None:
    def change(words: list[int]) -> list[int]:
        at = 70  # model 103
        for point in (11, 12, 16, 22, 33):  # phases B and C, frequency, power factor, temperature
            words[at + point] = 0x8000 if point in (22, 33) else 0xFFFF
        words[at + 6] = 0x8000  # the currents' scale factor
        return words

    sample = odd(runtime, change).reading()
    assert sample.power_w <= -5_990
    assert sample.voltage_mv[1:] == (None, None) and sample.voltage_mv[0] is not None
    assert sample.current_ma == (None, None, None)
    assert sample.frequency_mhz is sample.power_factor_milli is sample.temperature_dc is None


def test_a_device_that_is_no_sunspec(runtime: Runtime) -> None:
    assert odd(runtime, lambda words: [0x1234, *words[1:]]).fault().reason == "model"
    assert odd(runtime, lambda words: [*words[:2], 0xFFFF, 0]).fault().reason == "model"


def test_a_device_that_changed_its_order_is_scanned_anew(runtime: Runtime) -> None:
    bench = odd(runtime, lambda words: words)
    bench.reading()
    assert bench.world.line is not None
    registers = bench.world.line.parts[0].registers  # type: ignore[attr-defined]
    words = [registers.words[at] for at in sorted(registers.words)]
    moved = [*words[:70], 64_001, 1, 9, *words[70:]]
    registers.words = {40000 + at: word for at, word in enumerate(moved)}
    assert bench.fault().reason == "model"
    assert bench.reading().power_w <= -5_990
