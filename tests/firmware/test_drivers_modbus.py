"""Modbus RTU and the PZEM-004T: a captured frame of a real meter, and everything a line can do to it.

Each case runs on CPython and on MicroPython of both widths.
"""

from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware.drivers import Fault
from firmware.drivers.modbus import crc16
from hardware.emulator.parts import modbus as slave
from hardware.emulator.parts.gauge import Failure
from hardware.emulator.parts.pzem004t import Pzem004t
from tests.firmware.bench_drivers import Bench, House, Runtime, ScriptedLine, World

Script = Callable[[bytes], Sequence[tuple[int, bytes]]]

CAPTURED = bytes.fromhex("01041408D1006C000000F40000002600 0001F4006400005134".replace(" ", ""))
QUESTION = bytes.fromhex("01040000000A700D")
ANSWER_MS = 40


def scripted(runtime: Runtime, script: Script, make: str = "PZEM004T(Line(uart, 9600))") -> Bench:
    world = World()
    world.line = ScriptedLine(world, script)  # type: ignore[assignment]
    return Bench(runtime, world, "pzem004t", make)


def framed(body: bytes) -> bytes:
    return body + slave.crc16(body)


def test_a_captured_frame(runtime: Runtime) -> None:
    bench = scripted(runtime, lambda question: [(ANSWER_MS, CAPTURED)])
    sample = bench.reading()
    assert bench.world.sent == [QUESTION]
    assert (sample.voltage_mv, sample.current_ma, sample.power_w, sample.power_mw) == (225_700, 108, 24, 24_400)
    assert (sample.import_wh, sample.export_wh) == (38, None)
    assert (sample.frequency_mhz, sample.power_factor_milli, sample.raw) == (50_000, 1000, CAPTURED)


def test_on_a_generator_it_counts_the_other_way(runtime: Runtime) -> None:
    make = "PZEM004T(Line(uart, 9600), export=True)"
    sample = scripted(runtime, lambda question: [(ANSWER_MS, CAPTURED)], make).reading()
    assert (sample.power_w, sample.power_mw, sample.import_wh, sample.export_wh) == (-24, -24_400, None, 38)


def test_byte_by_byte(runtime: Runtime) -> None:
    pieces = [(ANSWER_MS + i, CAPTURED[i : i + 1]) for i in range(len(CAPTURED))]
    assert scripted(runtime, lambda question: pieces).reading().import_wh == 38


def test_high_words(runtime: Runtime) -> None:
    words = (2300, 0x86A0, 1, 0x0000, 2, 0xE240, 1, 500, 99, 0)  # 100,000 mA, 13,107.2 W, 123,456 Wh
    answer = framed(bytes((1, 4, 20)) + b"".join(word.to_bytes(2, "big") for word in words))
    sample = scripted(runtime, lambda question: [(ANSWER_MS, answer)]).reading()
    assert (sample.current_ma, sample.power_w, sample.power_mw) == (100_000, 13_107, 13_107_200)
    assert sample.import_wh == 123_456


@pytest.mark.parametrize("length", [0, 1, 3, 5, 24])
def test_a_frame_that_stops_early(runtime: Runtime, length: int) -> None:
    bench = scripted(runtime, lambda question: [(ANSWER_MS, CAPTURED[:length])])
    assert bench.fault().reason in ("silent" if not length else "short", "crc")
    assert bench.world.now_ms - 10_000 <= 320


def test_no_single_bit_flip_passes(runtime: Runtime) -> None:
    flips = range(8 * len(CAPTURED))
    answers = iter([_flipped(CAPTURED, bit) for bit in flips])
    bench = scripted(runtime, lambda question: [(ANSWER_MS, next(answers))])
    assert {bench.fault().reason for _ in flips} <= {"crc", "slave", "function", "short"}


def _flipped(data: bytes, bit: int) -> bytes:
    flipped = bytearray(data)
    flipped[bit // 8] ^= 1 << bit % 8
    return bytes(flipped)


WRONG = {
    "trailing garbage": (CAPTURED + b"\x00\xff", "babble", 27),
    "another slave": (framed(b"\x02" + CAPTURED[1:-2]), "slave", 2),
    "another function": (framed(b"\x01\x03" + CAPTURED[2:-2]), "function", 3),
    "another length": (framed(b"\x01\x04\x12" + CAPTURED[3:-4]), "short", 23),
    "an exception": (framed(b"\x01\x84\x02"), "exception", 2),
    "an exception of another slave": (framed(b"\x07\x84\x02"), "slave", 7),
    "a broken exception": (b"\x01\x84\x02\x00\x00", "crc", 5),
    "volts it cannot measure": (framed(CAPTURED[:3] + b"\xff\xff" + CAPTURED[5:-2]), "range", 0),
}


@pytest.mark.parametrize("name", WRONG)
def test_an_answer_that_is_none(runtime: Runtime, name: str) -> None:
    answer, reason, detail = WRONG[name]
    answers = iter([answer, CAPTURED])
    bench = scripted(runtime, lambda question: [(ANSWER_MS, next(answers))])
    fault = bench.fault()
    assert (fault.reason, fault.detail) == (reason, detail)
    bench.world.advance(500)
    assert bench.reading().import_wh == 38, "the next reading is none the worse"


def test_an_exception_is_known_long_before_the_time_out(runtime: Runtime) -> None:
    bench = scripted(runtime, lambda question: [(ANSWER_MS, framed(b"\x01\x84\x02"))])
    assert bench.fault().reason == "exception"
    assert bench.world.now_ms - 10_000 < 100


@pytest.mark.parametrize("late_ms", [320, 450, 590])
def test_a_late_answer_is_not_taken_for_the_next_one(runtime: Runtime, late_ms: int) -> None:
    """The answer to the first question comes after its time-out; the second reading asked at once all the same."""
    new = framed(bytes((1, 4, 20)) + bytes.fromhex("08FC") + CAPTURED[5:-2])
    answers = iter([(late_ms, CAPTURED), (ANSWER_MS, new)])
    bench = scripted(runtime, lambda question: [next(answers)])
    assert bench.fault().reason == "silent"
    assert bench.reading().voltage_mv == 230_000


def test_a_dropped_question_gives_no_answer_to_the_next(runtime: Runtime) -> None:
    new = framed(bytes((1, 4, 20)) + bytes.fromhex("08FC") + CAPTURED[5:-2])
    answers = iter([(200, CAPTURED), (ANSWER_MS, new)])
    bench = scripted(runtime, lambda question: [next(answers)])
    bench.start()
    bench.world.advance(20)
    assert bench.reading().voltage_mv == 230_000


def test_noise_before_the_question_is_thrown_away(runtime: Runtime) -> None:
    bench = scripted(runtime, lambda question: [(ANSWER_MS, CAPTURED)])
    bench.world.heard += b"\x00" * 9
    assert bench.reading().import_wh == 38


def test_a_line_that_is_never_quiet(runtime: Runtime) -> None:
    bench = scripted(runtime, lambda question: [])
    for ms in range(0, 2_000, 10):
        bench.world.at(bench.world.now_us() + ms * 1000, lambda: bench.world.heard.extend(b"\x55\xaa"))
    assert bench.fault().reason in ("babble", "crc")
    faults = [bench.fault().reason for _ in range(2)]
    assert faults == ["babble", "babble"]
    assert bench.world.now_ms - 10_000 < 1_500


def test_time_wraps(runtime: Runtime) -> None:
    world = World((1 << 30) - 20)
    world.line = ScriptedLine(world, lambda question: [(ANSWER_MS, CAPTURED)])  # type: ignore[assignment]
    bench = Bench(runtime, world, "pzem004t", "PZEM004T(Line(uart, 9600))")
    assert bench.reading().import_wh == 38


def test_the_emulated_meter(runtime: Runtime) -> None:
    world, house = World(), House(1_234.5)
    world.uart(9600, Pzem004t(house))
    bench = Bench(runtime, world, "pzem004t", "PZEM004T(Line(uart, 9600))")
    for _ in range(12):
        sample = bench.reading()
        world.advance(1_000)
    assert abs(sample.power_mw - 1_234_500) <= 300
    assert abs(sample.voltage_mv - 230_000) <= 300
    assert abs(sample.import_wh - 1_234.5 * (world.now_ms - 11_000) / 3.6e6) <= 1


@pytest.mark.parametrize("failure", [Failure.DEAD, Failure.BABBLING])
def test_a_part_that_fails_and_comes_back(runtime: Runtime, failure: Failure) -> None:
    reasons = {"silent"} if failure is Failure.DEAD else {"babble", "crc", "short"}
    world = World()
    part = Pzem004t(House(100.0))
    world.uart(9600, part)
    bench = Bench(runtime, world, "pzem004t", "PZEM004T(Line(uart, 9600))")
    part.fail(failure, world.now_us())
    assert {bench.fault().reason for _ in range(3)} <= reasons
    part.fail(Failure.NONE, world.now_us())
    world.advance(1_000)
    assert bench.reading().power_w == 100


def test_a_dead_slave_keeps_nobody_waiting(runtime: Runtime) -> None:
    """Two meters on a line, one dead: the other loses at most one time-out and its silence to it, and soon almost
    nothing, since the dead one is asked ever less often."""
    world = World()
    world.uart(9600, Pzem004t(House(100.0), address=1))
    bench = Bench(runtime, world, "pzem004t", "[PZEM004T(l, 1) for l in [Line(uart, 9600)]][0]")
    runtime.do("make pzem004t [(PZEM004T(l, 1), PZEM004T(l, 2)) for l in [Line(uart, 9600)]][0]")
    took, rests = [], 0
    for _ in range(40):
        began_ms = world.now_ms
        ticks = began_ms & 0x3FFFFFFF
        bench.call(f"d[1].start({ticks})")
        bench.call(f"d[0].start({ticks})")
        alive = dead = None
        while (alive is None or dead is None) and world.now_ms < began_ms + 1_000:
            world.advance()
            if dead is None:
                try:
                    assert runtime.sample(f"d[1].poll({world.now_ms & 0x3FFFFFFF})") is None
                except Fault as fault:
                    dead = fault.reason
                    rests += dead == "resting"
            if alive is None:
                alive = runtime.sample(f"d[0].poll({world.now_ms & 0x3FFFFFFF})")
                took.append(world.now_ms - began_ms)
        assert alive is not None and alive.power_w == 100
        world.advance(1_000 - (world.now_ms - began_ms))
    assert max(took) <= 700
    assert rests >= 30
    assert sorted(took)[30] <= 60


def test_a_transceiver_is_switched_around_the_question(runtime: Runtime) -> None:
    world = World()
    world.line = ScriptedLine(world, lambda question: [(ANSWER_MS, CAPTURED)])  # type: ignore[assignment]
    bench = Bench(runtime, world, "pzem004t", "PZEM004T(Line(uart, 9600, pin(4)))")
    assert bench.reading().import_wh == 38
    assert [level for _, _, level in world.drives] == [1, 0]


@given(st.binary(max_size=300))
def test_the_crc_is_that_of_the_other_end(data: bytes) -> None:
    assert crc16(data).to_bytes(2, "little") == slave.crc16(data)
    assert crc16(data + slave.crc16(data)) == 0


@pytest.mark.parametrize("kind", ["modbus", "crc_plain", "crc_native"])
def test_the_crc_on_boards(runtime: Runtime, kind: str) -> None:
    """Native or not, it is the same; `modbus` takes the native one where there is native code."""
    if runtime.on_cpython and kind == "crc_native":
        with pytest.raises(AssertionError, match="broke"):
            Runtime(None).do("make crc_native remainder")
        return
    runtime.do(f"make {kind} remainder")
    for data in (b"", b"\xff", CAPTURED, bytes(range(256)), *(bytes((1 << bit,)) for bit in range(8))):
        assert runtime.do(f"eval d({data!r}, {len(data)})") == int.from_bytes(slave.crc16(data), "little")
