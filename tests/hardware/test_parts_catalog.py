"""The register maps: whole, sourced, refused with line and cause where wrong, and what the emulated parts serve."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardware import catalog
from hardware.catalog.loader import parse
from hardware.catalog.part import WORDS, NotANumber
from hardware.emulator.parts.eastron import Sdm
from hardware.emulator.parts.modbus import Refused
from hardware.emulator.parts.pzem004t import Pzem004t
from hardware.site.parts import ACTORS, SENSORS
from tests.firmware.bench_drivers import House

GOOD = '''title = "A meter"
bus = "modbus"
source = "Its data sheet, Registers"
registers = [
  { name = "voltage", address = 0, kind = "float32", quantity = "voltage_mv", times = 1000 },
  { name = "energy", address = 2, kind = "u32" },
]
blocks = [[4, 0, 4]]
[pace]
turnaround_ms = 5
'''


def test_every_part_of_a_site_file_is_in_the_catalog() -> None:
    assert set(catalog.names()) == {*SENSORS, *ACTORS}


@pytest.mark.parametrize("name", catalog.names())
def test_every_part_names_its_source(name: str) -> None:
    part = catalog.load(name)
    assert part.name == name and part.title and len(part.source) > 20
    assert part.addresses[0] <= part.addresses[1] and part.pace


@pytest.mark.parametrize(
    "old, new, line, cause",
    [
        ('title = "A meter"', "", 1, "no 'title'"),
        ('bus = "modbus"', 'bus = "can"', 2, "bus must be one of"),
        ('bus = "modbus"', "bus = 7", 2, "bus must be str"),
        ("[pace]", "colour = 1\n[pace]", 9, "unknown key 'colour'"),
        ("turnaround_ms = 5", "turnaround_ms = 0.5", 10, "whole number"),
        ('"float32"', '"float16"', 5, "kind must be one of"),
        ("address = 2", "address = 1", 6, "energy lies on voltage at 0x0001"),
        ("address = 2", "address = 65535", 6, "address outside"),
        ('"voltage_mv"', '"voltage_v"', 5, "quantity must be one of"),
        ("times = 1000", "times = 0", 5, "times must not be 0"),
        ("times = 1000", "tmies = 1000", 5, "unknown key 'tmies'"),
        ("times = 1000", "phase = 2", 5, "phase must be 1..1"),
        ('kind = "u32"', 'kind = "u32", function = 6', 6, "function must be 3"),
        ("[[4, 0, 4]]", "[[4, 0, 5]]", 8, "asks for 0x0004, which the part has not"),
        ("[[4, 0, 4]]", "[[3, 0, 4]]", 8, "asks for 0x0000"),
        ("[[4, 0, 4]]", "[[4, 0, 126]]", 8, "answers 1..125"),
        ("[[4, 0, 4]]", "[[4, 0]]", 8, "a block is"),
        ("registers = [", "registers = [[", 0, ""),
    ],
)
def test_a_mistake_is_refused_with_line_and_cause(old: str, new: str, line: int, cause: str) -> None:
    parse("meter", GOOD)
    with pytest.raises(catalog.CatalogError) as refused:
        parse("meter", GOOD.replace(old, new))
    assert refused.value.file == "meter.toml" and cause in refused.value.cause
    assert refused.value.line == line or not line
    assert str(refused.value).startswith(f"meter.toml:{refused.value.line}: ")


def test_a_part_that_is_not_there() -> None:
    with pytest.raises(catalog.CatalogError, match=r"no such part; there are .*sdm120"):
        catalog.load("sdm121")


@given(st.sampled_from(sorted(WORDS)), st.integers(-(1 << 31), (1 << 32) - 1))
def test_values_survive_the_registers(kind: str, number: int) -> None:
    bits = 16 * WORDS[kind]
    if kind == "float32":
        (number,) = (int(struct.unpack(">f", struct.pack(">f", number))[0]),)
    else:
        number = (number & (1 << bits) - 1) - ((1 << bits - 1) if kind[0] == "s" else 0)
    register = catalog.Register("x", 0, kind)
    words = register.encode(number)
    assert len(words) == register.words and register.value(words) == number


def test_word_order_and_captured_values() -> None:
    part = catalog.load("pzem004t-v3")
    words = struct.unpack(">10H", bytes.fromhex("08D1006C000000F400000026000001F400640000"))
    assert part.decode({part.blocks[0]: words}) == {
        "voltage_mv": 225_700, "current_ma": 108, "power_mw": 24_400, "import_wh": 38, "frequency_mhz": 50_000,
        "power_factor_milli": 1_000,
    }  # fmt: skip


def test_a_float_that_is_no_number() -> None:
    with pytest.raises(NotANumber):
        catalog.load("sdm120").register("voltage").value((0x7FC0, 0))


@pytest.mark.parametrize("name", ["pzem004t-v3", "pzem004t-v4", "sdm120", "sdm630"])
def test_the_emulated_part_serves_its_map(name: str) -> None:
    """Every listed register answers, every block answers whole, and what is not listed does not."""
    catalog_part = catalog.load(name)
    sign = 1 if name.startswith("pzem") else -1
    house = House(sign * 1_200.0, phases=catalog_part.phases)
    part = Pzem004t(house, version=int(name[-1])) if name.startswith("pzem") else Sdm(name, house)
    registers = part.registers
    for register in catalog_part.registers:
        assert len(registers.read(register.function, register.address, register.words, 1_000_000)) == register.words
    answers = {b: registers.read(b.function, b.address, b.count, 1_000_000) for b in catalog_part.blocks}
    found = catalog_part.decode(answers)
    power = found["power_mw"]
    assert isinstance(power, int) and abs(power - sign * 1_200_000) <= 400
    assert found["power_factor_milli"] in (998, 999, 1000), "its direction is power's"
    assert min(_flat(found["current_ma"])) > 0
    assert {"voltage_mv", "current_ma", "import_wh", "frequency_mhz", "power_factor_milli"} <= set(found)
    listed = {(r.function, r.address + word) for r in catalog_part.registers for word in range(r.words)}
    for function in (3, 4):
        for address in range(0x200):
            if (function, address) not in listed:
                with pytest.raises(Refused):
                    registers.read(function, address, 1, 1_000_000)


def _flat(value: int | tuple[int, ...]) -> tuple[int, ...]:
    return value if isinstance(value, tuple) else (value,)


def test_sunspec_models_have_the_lengths_of_the_specification() -> None:
    lengths = {1: 66, 101: 50, 103: 50, 120: 26, 121: 30, 122: 44, 123: 24, 124: 24, 704: 65, 802: 62}
    assert {id: model.length for id, model in catalog.models().items()} == lengths


@pytest.mark.parametrize("id", sorted(catalog.models()))
def test_sunspec_points_survive_their_block(id: int) -> None:
    model = catalog.models()[id]
    raw: dict[str, int | str | None] = {}
    for number, point in enumerate(model.points):
        small = point.kind == "sf"
        raw[point.name] = f"text {number}" if point.kind.startswith("text") else -2 if small else 100 + number
    values = model.values(model.image(raw))
    for point in model.points:
        value, wrote = values[point.name], raw[point.name]
        if isinstance(wrote, str) or point.scale is None:
            assert value == wrote
        else:
            assert isinstance(wrote, int) and value is not None and value * 100 == wrote  # type: ignore[operator]


def test_sunspec_points_that_are_not_implemented_are_none() -> None:
    for model in catalog.models().values():
        values = model.values(model.image({}))
        assert all(values[p.name] is None for p in model.points if not p.kind.startswith("acc"))
