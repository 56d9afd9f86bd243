"""The Eastron meters, the chips on I2C and the pulse input, each against its emulated part."""

import itertools
import struct
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware.drivers import Fault
from firmware.drivers.eastron import scaled
from hardware import catalog
from hardware.catalog.part import half_away
from hardware.emulator.parts.ade7953 import Ade7953
from hardware.emulator.parts.eastron import Sdm
from hardware.emulator.parts.gauge import Failure
from hardware.emulator.parts.ina226 import Ina226
from hardware.emulator.parts.s0 import S0Pulse
from tests.firmware.bench_drivers import Bench, House, Runtime, World


def words(value: float) -> tuple[int, int]:
    high, low = struct.unpack(">HH", struct.pack(">f", value))
    return high, low


@given(st.floats(-4e6, 4e6, width=32), st.sampled_from([1, 10, 1000]))
def test_floats_become_integers_without_a_float(value: float, scale: int) -> None:
    exact = catalog.load("sdm120").register("voltage").raw(words(value))
    assert scaled(*words(value), scale) == half_away(exact * scale)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf"), 3e38, -5e9])
def test_what_is_no_measurement_is_refused(value: float) -> None:
    with pytest.raises(Fault, match="range"):
        scaled(*words(value), 1000)


def test_floats_on_boards(runtime: Runtime) -> None:
    """The same values on the interpreters of boards, whose integers are not those of a host."""
    values = [0.0, -0.0, 1e-40, 229.94, -1e-3, 0.0005, 0.00049999, 16_777_216.0, -3_999_999.75, 50.0125, 123_456.789]
    runtime.do("make eastron scaled")
    for value in values:
        high, low = words(value)
        exact = catalog.load("sdm120").register("voltage").raw((high, low))
        assert runtime.do(f"eval d({high}, {low}, 1000)") == half_away(exact * 1000)


def sdm120(runtime: Runtime, house: House, **kw: Any) -> tuple[Bench, Sdm]:
    part = Sdm("sdm120", house, **kw)
    world = World()
    world.uart(2400, part)
    return Bench(runtime, world, "sdm120", "SDM120(Line(uart, 2400))"), part


def test_sdm120(runtime: Runtime) -> None:
    house = House(-1_500.5)
    house.reactive_var = 300.0
    bench, _ = sdm120(runtime, house, import_wh=12_345_678, export_wh=1_000.2)
    sample = bench.reading()
    assert abs(sample.voltage_mv - 230_000) <= 250
    assert abs(sample.current_ma - 6_653) <= 5
    assert abs(sample.power_mw + 1_500_500) <= 300 and sample.power_w in (-1500, -1501)
    assert abs(sample.import_wh - 12_345_678) <= 1, "a float32 of kWh has steps of 1 Wh up there"
    assert sample.export_wh == 1_000
    assert abs(sample.frequency_mhz - 50_000) <= 10
    assert abs(sample.power_factor_milli - 981) <= 2
    assert bench.world.now_ms - 10_000 <= 700, "five questions at 2,400 baud"


def test_sdm120_is_asked_only_for_what_it_has(runtime: Runtime) -> None:
    bench, _ = sdm120(runtime, House(100.0))
    bench.reading()
    part = catalog.load("sdm120")
    has = {r.address + word for r in part.registers if r.function == 4 for word in (0, 1)}
    for question in bench.world.sent:
        address, count = struct.unpack(">HH", question[2:6])
        assert question[1] == 4 and set(range(address, address + count)) <= has
    assert {(q[1], *struct.unpack(">HH", q[2:6])) for q in bench.world.sent} == {
        (b.function, b.address, b.count) for b in part.blocks
    }


def test_sdm630(runtime: Runtime) -> None:
    world = World()
    world.uart(9600, Sdm("sdm630", House(9_000.0, phases=3), address=17, import_wh=5_000))
    sample = Bench(runtime, world, "sdm630", "SDM630(Line(uart, 9600), 17)").reading()
    assert len(sample.voltage_mv) == len(sample.current_ma) == 3
    assert all(abs(mv - 230_000) <= 250 for mv in sample.voltage_mv)
    assert all(abs(ma - 13_043) <= 5 for ma in sample.current_ma)
    assert abs(sample.power_mw - 9_000_000) <= 2_000
    assert (sample.import_wh, sample.export_wh) == (5_000, 0) and sample.power_factor_milli >= 998


def test_a_reading_of_several_questions_is_whole_or_none(runtime: Runtime) -> None:
    """Dead in the middle of a reading: no sample of it, and the next begins anew."""
    bench, part = sdm120(runtime, House(100.0))
    bench.start()
    for _ in range(50):
        bench.world.advance()
        assert bench.poll() is None
    part.fail(Failure.DEAD, bench.world.now_us())
    with pytest.raises(Fault, match="silent"):
        bench.finish()
    assert bench.poll() is None
    part.fail(Failure.NONE, bench.world.now_us())
    assert bench.reading().power_w == 100


def ade7953(runtime: Runtime, house: House, invert: bool = False) -> tuple[Bench, Ade7953]:
    part = Ade7953(house, 400_000, 100_000)
    world = World()
    world.i2c(part)
    return Bench(runtime, world, "ade7953", f"ADE7953(i2c, 400_000, 100_000, invert={invert})"), part


@pytest.mark.parametrize("invert", [False, True])
def test_ade7953(runtime: Runtime, invert: bool) -> None:
    house = House(20_000.0)
    bench, _ = ade7953(runtime, house, invert)
    sign = -1 if invert else 1
    for second in range(100):
        sample = bench.reading()
        bench.world.advance(995)
        if second == 49:
            house.load(-5_000.0, bench.world.now_us())
    assert abs(sample.power_mw + sign * 5_000_000) <= 2_000
    assert abs(sample.voltage_mv - 230_000) <= 250 and abs(sample.current_ma - 21_739) <= 10
    assert abs(sample.frequency_mhz - 50_000) <= 15 and sample.power_factor_milli >= 998
    energies = (sample.import_wh, sample.export_wh)[::sign]
    assert abs(energies[0] - 20_000 * 50 / 3600) <= 2 and abs(energies[1] - 5_000 * 49 / 3600) <= 2


def test_ade7953_counts_over_the_roll(runtime: Runtime) -> None:
    """24 bits are full after 40 s at full scale; at half of it a minute rolls over once."""
    bench, _ = ade7953(runtime, House(20_000.0))
    readings = []
    for _ in range(13):
        readings.append(bench.reading().import_wh)
        bench.world.advance(9_995)
    assert readings == sorted(readings) and abs(readings[-1] - 20_000 * 120 / 3600) <= 2


def test_ade7953_set_up_again_after_a_brown_out(runtime: Runtime) -> None:
    bench, part = ade7953(runtime, House(10_000.0))
    bench.reading()
    bench.world.advance(10_000)
    assert bench.reading().import_wh == 27
    part.restart(bench.world.now_us())
    assert bench.fault().reason == "bus", "it is starting up"
    bench.world.advance(100)
    assert bench.reading().import_wh == 0, "its registers begin anew, as the port says"
    assert part.kept["reserved"] == 0x30 and part.kept["lcycmode"] == 0
    bench.world.advance(3_600)
    assert bench.reading().import_wh == 10


def test_ina226(runtime: Runtime) -> None:
    world = World()
    part = Ina226(House(-480.0, voltage_v=24.0), 500)
    world.i2c(part)
    bench = Bench(runtime, world, "ina226", "INA226(i2c, 500)")
    sample = bench.reading()
    assert abs(sample.voltage_mv - 24_000) <= 30 and abs(sample.current_ma - 20_000) <= 30
    assert abs(sample.power_mw + 480_000) <= 1_000 and sample.power_w in (-480, -481, -479)
    assert sample.import_wh is sample.export_wh is sample.frequency_mhz is None
    assert part.kept["config"] == 0x4927


def test_ina226_never_gives_a_conversion_twice(runtime: Runtime) -> None:
    world = World()
    part = Ina226(House(100.0, voltage_v=24.0), 500)
    world.i2c(part)
    bench = Bench(runtime, world, "ina226", "INA226(i2c, 500)")
    times = []
    for _ in range(5):
        bench.reading()
        times.append(world.now_ms)
    assert min(b - a for a, b in itertools.pairwise(times[1:])) >= 275
    part.fail(Failure.FROZEN, world.now_us())
    assert bench.fault().reason == "stalled"


@pytest.mark.parametrize("module, make", [("ina226", "INA226(i2c, 500)"), ("ade7953", "ADE7953(i2c, 400000, 10000)")])
def test_a_chip_that_is_not_there(runtime: Runtime, module: str, make: str) -> None:
    bench = Bench(runtime, World(), module, make)
    assert bench.fault().reason == "bus"
    bench.world.bus.dead = True
    fault = bench.fault()
    assert (fault.reason, fault.detail) == ("bus", 110)


def test_another_chip_at_the_address(runtime: Runtime) -> None:
    world = World()
    part = Ina226(House(), 500)
    part.kept["die"] = 0x2270
    world.i2c(part)
    assert Bench(runtime, world, "ina226", "INA226(i2c, 500)").fault().reason == "model"


def pulses(bench: Bench, source: S0Pulse, for_ms: int, on: Callable[[], None] = lambda: None) -> None:
    """Play a pulse output's edges to the driver's interrupt."""
    world = bench.world
    end_ms = world.now_ms + for_ms
    level = source.level(world.now_us())
    while (edge_us := source.next_edge_us(world.now_us())) is not None and edge_us <= end_ms * 1000:
        world.now_ms = -(-edge_us // 1000)
        now = source.level(world.now_us())
        if now < level:
            bench.call("edge(7)")
            on()
        level = now
    world.now_ms = max(world.now_ms, end_ms)


def s0(runtime: Runtime, house: House, make: str = "S0(pin(7), 1000, ticks_ms)") -> tuple[Bench, S0Pulse]:
    return Bench(runtime, World(), "s0", make), S0Pulse(house, 1000)


def test_s0(runtime: Runtime) -> None:
    house = House(3_600.0)
    bench, source = s0(runtime, house)
    assert bench.reading().power_w == 0
    pulses(bench, source, 20_500)
    sample = bench.reading()
    assert abs(sample.import_wh - 20) <= 1 and abs(sample.power_mw - 3_600_000) <= 4_000
    assert (sample.export_wh, sample.voltage_mv, sample.raw) == (None, None, None)
    house.load(0.0, bench.world.now_us())
    pulses(bench, source, 10_000)
    assert bench.reading().power_w <= 360, "the next pulse is overdue"
    pulses(bench, source, 700_000)
    assert bench.reading().power_w == 0


def test_s0_of_a_generator(runtime: Runtime) -> None:
    bench, source = s0(runtime, House(3_600.0), "S0(pin(7), 1000, ticks_ms, export=True)")
    pulses(bench, source, 5_500)
    sample = bench.reading()
    assert abs(sample.power_w + 3600) <= 4 and sample.import_wh is None and sample.export_wh in (4, 5)


def test_s0_counts_no_bounces(runtime: Runtime) -> None:
    bench, source = s0(runtime, House(3_600.0))
    pulses(bench, source, 10_500)
    counted = bench.reading().import_wh

    def bounce() -> None:
        bench.world.now_ms += 8
        bench.call("edge(7)")

    pulses(bench, source, 10_000, bounce)
    assert bench.reading().import_wh - counted == 10
