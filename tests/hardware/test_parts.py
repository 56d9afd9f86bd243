"""What emulated parts do beside answering: silence, exceptions, resets, energy that adds up, failures."""

import itertools
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hardware import catalog
from hardware.emulator.bus import UartLine
from hardware.emulator.parts.ade7953 import Ade7953
from hardware.emulator.parts.build import SunSpecSlave, i2c_sensor, pulse_sensor, relay, sunspec, uart_sensor
from hardware.emulator.parts.chip import Chip
from hardware.emulator.parts.eastron import Sdm
from hardware.emulator.parts.gauge import Failure
from hardware.emulator.parts.ina226 import Ina226
from hardware.emulator.parts.modbus import RtuSlave, crc16
from hardware.emulator.parts.pzem004t import Pzem004t
from hardware.emulator.parts.relay import LatchingRelay, Relay
from hardware.emulator.parts.s0 import S0Pulse
from hardware.emulator.port import I2cPart, PinSink, PinSource, UartPart, UartPort
from hardware.site.parts import ACTORS, SENSORS
from tests.firmware.bench_drivers import House, Plant, World

S = 1_000_000


def ask(part: RtuSlave, request: str, now_us: int = S) -> str | None:
    """The answer's hex without CRC, None for silence. The request has none either."""
    body = bytes.fromhex(request)
    answers = part.receive(body + crc16(body), now_us)
    if not answers:
        return None
    ((at_us, frame),) = answers
    assert at_us >= now_us + part.gap_us or at_us - now_us == part.turnaround_us
    assert crc16(frame[:-2]) == frame[-2:]
    return frame[:-2].hex()


def energy_wh(part: RtuSlave, now_us: int) -> int:
    answer = ask(part, "010400050002", now_us)
    assert answer is not None
    low, high = struct.unpack(">HH", bytes.fromhex(answer)[3:])
    return int(high << 16 | low)


def test_every_part_of_a_site_file_can_be_built() -> None:
    """And meets the port it is wired to."""
    house, plant = House(100.0), Plant(1_000.0, 5_000.0)
    for name in (*SENSORS, *ACTORS):
        part = catalog.load(name)
        if part.bus == "modbus":
            assert isinstance(uart_sensor(name, House(1.0, part.phases), 7), UartPart)
        elif part.bus == "i2c":
            chip: I2cPart = i2c_sensor(name, house, part.addresses[0])
            assert chip.write(b"\0\0", S) and chip.read(1, S) is not None
        elif part.bus == "pulse":
            source: PinSource = pulse_sensor(house)
            assert source.level(S) == 1
        elif part.bus == "contact":
            built = relay(name, Circuit())
            sink: PinSink = built.set_coil if isinstance(built, LatchingRelay) else built
            sink.drive(0, S)
        else:
            device = sunspec(name, plant, plant, 5_000, "1")
            assert isinstance(SunSpecSlave(device, 3), UartPart)


class Circuit:
    closed = False

    def set(self, closed: bool, now_us: int) -> None:
        self.closed = closed


# ---- frames


@pytest.mark.parametrize(
    "request_, answer",
    [
        ("01040000000a", "010414"),  # the whole block
        ("0104000a0001", "018402"),  # behind it
        ("010400090002", "018402"),  # half behind it
        ("010400000000", "018403"),
        ("01040000000b", "018403"),  # more than it gives at once
        ("010300010002", "010304" + "08fc" + "0001"),  # alarm threshold, address
        ("010300000001", "018302"),
        ("01060001ffff", "01060001ffff"),  # a threshold
        ("010600090001", "018602"),  # a measurement is not written
        ("010100000001", "018101"),  # coils
        ("014112", "01c101"),  # calibration is the factory's
        ("f8040000000a", "f80414"),  # alone on its line it answers to this too
        ("020400000001", None),  # somebody else's
        ("00060001000a", None),  # broadcast: taken, not answered
        ("0104000000", None),  # not a request at all
    ],
)
def test_pzem_answers_and_silences(request_: str, answer: str | None) -> None:
    found = ask(Pzem004t(House(100.0)), request_)
    assert found is answer is None or (found is not None and answer is not None and found.startswith(answer))


@given(st.binary(max_size=40))
@settings(max_examples=50)
def test_what_is_no_frame_is_not_answered(data: bytes) -> None:
    part = Pzem004t(House(100.0))
    if len(data) < 4 or crc16(data[:-2]) != data[-2:]:
        assert part.receive(data, S) == []


def test_no_bit_flip_of_a_question_is_answered() -> None:
    part = Pzem004t(House(100.0))
    question = bytes.fromhex("01040000000a")
    question += crc16(question)
    for bit in range(8 * len(question)):
        flipped = bytearray(question)
        flipped[bit // 8] ^= 1 << bit % 8
        assert part.receive(bytes(flipped), S) == []


def test_pzem_broadcast_and_new_address() -> None:
    part = Pzem004t(House(100.0))
    assert ask(part, "00060001000a") is None
    assert ask(part, "010300010001") == "010302000a", "the broadcast was taken"
    assert ask(part, "010600020005") == "010600020005"
    assert ask(part, "010300020001") is None and ask(part, "050300020001") == "0503020005"


def test_pzem_reset_of_energy() -> None:
    part = Pzem004t(House(3_600.0), energy_wh=777)
    assert energy_wh(part, S) == 777
    assert energy_wh(part, 11 * S) == 787
    assert ask(part, "0142", 11 * S) == "0142"
    assert energy_wh(part, 12 * S) == 1


def test_pzem_counts_both_ways_and_shows_no_direction() -> None:
    house = House(3_600.0)
    part = Pzem004t(house)
    energy_wh(part, S)
    house.load(-7_200.0, 11 * S)
    assert energy_wh(part, 21 * S) == 30
    answer = ask(part, "010400030002", 22 * S)
    assert answer is not None and abs(int(answer[6:10], 16) - 7_200 * 10 % 65_536) <= 12


def test_pzem_rolls_over_at_its_end() -> None:
    part = Pzem004t(House(3_600.0), energy_wh=9_999_990)
    assert energy_wh(part, S) == 9_999_990
    assert energy_wh(part, 13 * S) == 2


def test_pzem_hangs_on_the_mains_it_measures() -> None:
    house = House(100.0)
    part = Pzem004t(house)
    assert ask(part, "010400000001") is not None
    house.voltage_v = 60.0
    assert ask(part, "010400000001", 3 * S) is None


def test_pzem_does_not_see_a_trickle() -> None:
    answer = ask(Pzem004t(House(0.3)), "01040000000a")
    assert answer is not None and answer[10:30] == "0000" * 5 and answer[38:42] == "0000"


@pytest.mark.parametrize(
    "request_, answer",
    [
        ("010400340002", "018402"),  # a single-phase meter has no total power
        ("010400010002", "018402"),  # half a value
        ("010400000001", "018402"),
        ("010400000050", "0104a0"),  # 40 values, with gaps
        ("010400000052", "018403"),
        ("010300140002", "0103043f800000"),  # node address 1.0
        ("01100014000204" + "40000000", "019002"),  # set with the key on the meter only
        ("0110000c000204" + "42c80000", "0110000c0002"),  # relay pulse width
        ("0106000c42c8", "018603"),  # half of it
    ],
)
def test_sdm120_answers(request_: str, answer: str) -> None:
    found = ask(Sdm("sdm120", House(100.0)), request_)
    assert found is not None and found.startswith(answer)


def test_sdm120_gaps_read_as_zero() -> None:
    answer = ask(Sdm("sdm120", House(100.0)), "010400000008")
    assert answer is not None and answer[14:30] == "00" * 8 and answer[30:38] != "00" * 4


def test_sdm630_single_phases_add_up() -> None:
    part = Sdm("sdm630", House(-9_000.0, 3), export_wh=0)
    part.registers.read(4, 0, 2, S)
    energies = [part.registers.read(4, at, 2, 1201 * S) for at in (0x160, 0x162, 0x164, 0x4A)]
    kwh = [struct.unpack(">f", struct.pack(">HH", *words))[0] for words in energies]
    assert kwh[:3] == pytest.approx([1.0] * 3) and kwh[3] == pytest.approx(3.0)


# ---- energy


@given(st.lists(st.tuples(st.integers(1, 4_000), st.integers(-9_000, 9_000)), min_size=1, max_size=12))
def test_registers_follow_energy_whoever_asks_and_when(steps: list[tuple[int, int]]) -> None:
    """A meter asked at any moments shows what flowed, to its last digit, and never less than before."""
    house = House()
    part = Sdm("sdm120", house)
    now_us, shown, exact = S, [(0, 0)], [0.0, 0.0]
    part.registers.read(4, 0x48, 4, now_us)
    for ms, power_w in steps:
        house.load(power_w, now_us)
        now_us += ms * 1000
        exact[power_w < 0] += abs(power_w) * ms / 3.6e6
        now_us += S  # the part's next update
        exact[power_w < 0] += abs(power_w) / 3600
        words = part.registers.read(4, 0x48, 4, now_us)
        imported, exported = (round(1000 * v) for v in struct.unpack(">ff", struct.pack(">4H", *words)))
        shown.append((imported, exported))
    assert all(a <= b and c <= d for (a, c), (b, d) in itertools.pairwise(shown))
    assert shown[-1][0] in (int(exact[0] + 1e-6), int(exact[0] - 1e-6))
    assert shown[-1][1] in (int(exact[1] + 1e-6), int(exact[1] - 1e-6))


@given(st.lists(st.tuples(st.integers(1, 200_000), st.integers(0, 28_000)), min_size=1, max_size=8))
@settings(max_examples=40, deadline=None)
def test_s0_loses_no_pulse(steps: list[tuple[int, int]]) -> None:
    house = House()
    source = S0Pulse(house, 1000)
    now_us, pulses, energy, level = S, 0, 0.0, source.level(S)
    for ms, power_w in [*steps, (600_000, 0)]:
        house.load(power_w, now_us)
        end_us = now_us + ms * 1000
        energy += power_w * ms / 3.6e6
        while (edge_us := source.next_edge_us(now_us)) is not None and edge_us <= end_us:
            assert edge_us > now_us
            now_us, before = edge_us, level
            level = source.level(now_us)
            pulses += level < before
        now_us = end_us
    assert pulses == int(energy + 1e-6) or pulses == int(energy - 1e-6)


# ---- chips


def register(chip: Chip, name: str, now_us: int) -> int:
    found = chip.part.chip_register(name)
    assert chip.write(found.address.to_bytes(chip.pointer_bytes, "big"), now_us)
    data = chip.read(found.bits // 8, now_us)
    assert data is not None
    return int.from_bytes(data, "big", signed=found.signed)


def set_register(chip: Chip, name: str, value: int, now_us: int) -> None:
    found = chip.part.chip_register(name)
    data = found.address.to_bytes(chip.pointer_bytes, "big") + value.to_bytes(found.bits // 8, "big")
    assert chip.write(data, now_us)


@pytest.mark.parametrize("chip", [Ade7953(House(50.0), 400_000, 100_000), Ina226(House(50.0, voltage_v=24.0), 500)])
def test_chips_serve_their_map(chip: Chip) -> None:
    for found in chip.part.chip:
        value = register(chip, found.name, S)
        if found.writable and found.name not in ("unlock", "mask"):
            assert value == found.default
    chip.fail(Failure.DEAD, S)
    assert not chip.write(b"\0\0", S) and chip.read(2, S) is None


def test_ade7953_counter_restarts_when_read_unless_told_otherwise() -> None:
    chip = Ade7953(House(36_000.0), 400_000, 100_000)
    per_wh = 3600 * 206_900 / 40_000
    register(chip, "aenergya", S)
    counts = [register(chip, "aenergya", at * S) for at in (2, 3)]
    assert all(abs(count - 10 * per_wh) <= 2 for count in counts)
    set_register(chip, "lcycmode", 0, 3 * S)
    counts = [register(chip, "aenergya", at * S) for at in (4, 5)]
    assert abs(counts[0] - 10 * per_wh) <= 2 and abs(counts[1] - 20 * per_wh) <= 2


def test_ade7953_lock() -> None:
    chip = Ade7953(House(), 400_000, 100_000)
    set_register(chip, "reserved", 0x30, S)
    assert register(chip, "reserved", S) == 0
    set_register(chip, "unlock", 0xAD, S)
    set_register(chip, "reserved", 0x30, S)
    assert register(chip, "reserved", S) == 0x30
    set_register(chip, "reserved", 0, S)
    assert register(chip, "reserved", S) == 0x30


def test_ina226_saturates_and_resets() -> None:
    chip = Ina226(House(10_000.0, voltage_v=48.0), 500)
    assert register(chip, "bus", S) == 36_000 * 4 // 5 and register(chip, "shunt", S) == 0x7FFF
    set_register(chip, "config", 0x4927, S)
    set_register(chip, "config", 0x8000, S)
    assert register(chip, "config", S) == 0x4127


def test_ina226_ready_once_a_conversion() -> None:
    chip = Ina226(House(100.0, voltage_v=24.0), 500)
    set_register(chip, "config", 0x4927, S)
    ready = [register(chip, "mask", S + at * 100_000) & 8 for at in (1, 2, 3, 4, 5, 6)]
    assert ready == [0, 0, 8, 0, 0, 8]
    set_register(chip, "calibration", 2048, S)
    bus, current = register(chip, "bus", 3 * S), register(chip, "current", 3 * S)
    assert register(chip, "power", 3 * S) == abs(current) * bus // 20_000


# ---- failures


def test_frozen_says_the_same_and_counts_nothing() -> None:
    part = Pzem004t(House(3_600.0))
    ask(part, "01040000000a", S)
    part.fail(Failure.FROZEN, 11 * S)
    answers = {ask(part, "01040000000a", at * S) for at in range(12, 30)}
    assert len(answers) == 1
    part.fail(Failure.NONE, 31 * S)
    before = energy_wh(part, 31 * S)
    assert energy_wh(part, 41 * S) == before + 10 and before <= 10


def test_a_steady_house_does_not_look_frozen() -> None:
    part = Pzem004t(House(100.0))
    answers = [ask(part, "01040000000a", at * S) for at in range(1, 200)]
    longest = max(len(list(same)) for _, same in itertools.groupby(answers))
    assert longest <= 9


def test_drifting_runs_away_from_the_truth() -> None:
    part = Sdm("sdm120", House(1_000.0))
    part.registers.read(4, 0x0C, 2, S)
    part.fail(Failure.DRIFTING, 2 * S)
    words = part.registers.read(4, 0x0C, 2, 1002 * S)
    (power_w,) = struct.unpack(">f", struct.pack(">HH", *words))
    assert power_w == pytest.approx(1_100, rel=0.005)


def test_babbling_answers_everything() -> None:
    part = Pzem004t(House(100.0))
    part.fail(Failure.BABBLING, S)
    assert part.receive(b"\x07\x04\x00\x00\x00\x01\x00\x00", S) and part.receive(b"x", S)


def test_the_same_seed_gives_the_same_bytes() -> None:
    def run(seed: int) -> list[str | None]:
        part = Sdm("sdm120", House(500.0), seed=seed)
        return [ask(part, "010400000050", at * S) for at in range(1, 30)]

    assert run(5) == run(5) != run(6)


# ---- pace


def test_a_line_keeps_the_pace_of_its_baud_rate() -> None:
    """PZEM at 9,600 baud: 8 bytes out, turnaround, 25 bytes back."""
    world = World()
    heard: list[tuple[int, bytes]] = []
    line = UartLine(world, UartPort((Pzem004t(House(100.0)),)), lambda at_us, data: heard.append((at_us, data)))
    line.configure(9600, -1, -1, 8, -1, 1)
    question = bytes.fromhex("01040000000a")
    began_us = world.now_us()
    line.write(question + crc16(question))
    world.advance(200)
    ((at_us, answer),) = heard
    assert len(answer) == 25 and 38_000 <= at_us - began_us <= 41_000


# ---- relays


@pytest.mark.parametrize("stuck", [False, True])
def test_relay_moves_the_circuit_and_tells_the_truth(stuck: bool) -> None:
    circuit = Circuit()
    built = Relay(circuit)
    built.stuck = stuck
    built.drive(1, S)
    assert circuit.closed is not stuck
    assert built.contact.level(S + 100_000) == int(stuck), "the contact pulls down when closed"


def test_contact_bounces_and_its_edges_are_foretold() -> None:
    built = Relay(Circuit())
    built.drive(1, S)
    now_us, levels = S, [built.contact.level(S)]
    while (edge_us := built.contact.next_edge_us(now_us)) is not None:
        assert edge_us > now_us
        assert built.contact.level(edge_us - 1) == levels[-1], "nothing happens between two edges"
        now_us = edge_us
        levels.append(built.contact.level(now_us))
    assert levels[0] == 1 and levels[-1] == 0 and len(levels) > 3
    assert now_us - S == 13_000


def test_latching_relay_stays() -> None:
    circuit = Circuit()
    built = LatchingRelay(circuit)
    pulses = [(built.set_coil, 30, False), (built.set_coil, 60, True), (built.reset_coil, 60, False)]
    for coil, pulse_ms, closed in pulses:
        coil.drive(1, S)
        coil.drive(0, S + pulse_ms * 1000)
        assert circuit.closed is closed
    built.set_coil.drive(1, 2 * S)
    built.set_coil.drive(0, 3 * S)
    built.stuck = True
    built.reset_coil.drive(1, 4 * S)
    built.reset_coil.drive(0, 5 * S)
    assert circuit.closed
