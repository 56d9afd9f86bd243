"""A site file is read whole or not at all, and every mistake is told with its line, its cause and a remedy."""

import dataclasses
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hardware.site import EXAMPLES, SiteError, load, model, parts
from hardware.site.load import parse

GATEWAY = """\
[gateway]
name = "cabinet"
alliance = "yard-one"
polled = [{ name = "inverter", part = "sunspec-inverter", address = 126, at = "roof" }]
"""
LAMP = '[[board.actor]]\nname = "lamp"\npart = "relay"\n'
GOOD = """\
name = "yard"
title = "One house, one store"
start = 2026-06-15T10:00:00Z
cable = [
  { name = "street", start = "busbar", end = "corner", length_m = 80 },
  { name = "drop", start = "corner", end = "house", length_m = 20 },
]
house = [{ name = "house", node = "house", annual_kwh = 3000 }]
panels = [{ name = "roof", house = "house", peak_w = 5000 }]
charger = [{ name = "car", house = "house", power_w_max = 3600, energy_wh = 9000, arrive = 18:00:00 }]
tariff = [
  { name = "day", from = 06:00:00, price_mt_per_kwh = 1000 },
  { name = "night", from = 22:00:00, price_mt_per_kwh = 700 },
]

[[station]]
name = "store"
node = "corner"
capacity_wh = 10000
charge_w_max = 3000
discharge_w_max = 3000
setpoint_w = -2000

[[board]]
name = "meter"
kind = "esp32-c3"
role = "meter"
[[board.sensor]]
name = "main"
part = "sdm120"
bus = "uart0"
address = 1
at = "house"

[[board]]
name = "keeper"
kind = "esp32-s3"
role = "station"
[[board.sensor]]
name = "main"
part = "sdm120"
bus = "uart0"
address = 1
at = "store"
[[board.actor]]
name = "contactor"
part = "relay"
bus = "gpio0"
at = "store"

[[fault]]
name = "cut"
kind = "power-cut"
on = "meter"
at_s = 60

{GATEWAY}
[ledger]
unit_wh = 10
[[ledger.participant]]
name = "company"
role = "company"
rights_wh = 1000
[[ledger.participant]]
name = "anna"
role = "user"
device = "meter"
loss_permille = { depot = 20 }
[[ledger.participant]]
name = "depot"
role = "station"
device = "keeper"
""".replace("{GATEWAY}", GATEWAY)


def line_of(text: str, part: str) -> int:
    return text[: text.index(part)].count("\n") + 1


def told(text: str) -> list[str]:
    with pytest.raises(SiteError) as caught:
        parse(text, "yard.toml")
    return str(caught.value).splitlines()


def test_the_good_file_is_good() -> None:
    site = parse(GOOD, "yard.toml")
    assert [each.name for each in site.boards] == ["meter", "keeper"]
    assert site.tariffs[1].from_s == 22 * 3600
    assert site.start_s == 1781517600
    assert site.ledger is not None
    assert site.ledger.participants[1].loss_permille == (("depot", 20),)


@pytest.mark.parametrize("name", sorted(file.stem for file in EXAMPLES.glob("*.toml")))
def test_examples_load_by_name_and_by_path(name: str) -> None:
    site = load(name)
    assert site.name == name
    assert site == load(EXAMPLES / f"{name}.toml")


def test_examples_have_the_boards_they_are_known_for() -> None:
    assert {name: len(load(name).boards) for name in ("two-houses", "street", "village")} == {
        "two-houses": 3, "street": 12, "village": 50,
    }  # fmt: skip


# what is replaced, by what, what the message says, and (if not where it was replaced) on the line of which text
MISTAKES = [
    ('name = "yard"', 'nam = "yard"', ["'name' is missing", "unknown key 'nam'", "did you mean 'name'?"], None),
    ('name = "yard"', 'name = "Yard 1"', ["'Yard 1' is not a name", "lower-case letters"], None),
    ('title = "One house, one store"', "title = 7", ["7 is not a text"], None),
    ("start = 2026-06-15T10:00:00Z", 'start = "monday"', ["monday is not a moment", "2026-06-15T08:00:00Z"], None),
    ("start = 2026-06-15T10:00:00Z", "start = 2026-06-15T10:00:00", ["is not a moment"], None),
    ("length_m = 80", "length_m = 80.5", ["80.5 is not a whole number"], None),
    ("length_m = 80", 'length_m = "80"', ["'80' is not a whole number"], None),
    ("length_m = 80", "length_m = 0", ["0 is out of range", "from 1 to 3000"], None),
    ('node = "house", ', 'node = "house", phases = 1.0, ', ["1.0 is not one of the choices", "1, 3"], None),
    ("length_m = 80", 'length_m = 80, kind = "string"', ["'string' is not one of the choices", "NAYY 4x50 SE"], None),
    ("length_m = 80", "length_m = 80, closed = 1", ["1 is neither true nor false"], None),
    ("length_m = 80", "length_km = 1", ["'length_m' is missing", "unknown key 'length_km'"], None),
    ("06:00:00", '"6 o\'clock"', ["is not a time of day", "07:30:00"], None),
    ("06:00:00", "22:00:00", ["begins when another does"], None),
    ("[ledger]", "[[ledger]]", ["is not a table"], None),
    ("[[fault]]", "[fault]", ["is not a list of tables", "double brackets"], None),
    ('name = "drop", ', 'name = "street", ', ["the name 'street' is taken", "cable"], None),
    ('name = "roof"', 'name = "house"', ["the name 'house' is taken", "place"], None),
    ('name = "keeper"', 'name = "meter"', ["the name 'meter' is taken"], None),
    ('name = "store"', 'name = "grid"', ["the name 'grid' is taken"], None),
    ('end = "house"', 'end = "corner"', ["ends where it starts"], None),
    ('end = "house"', 'end = "hause"', ["'house' is an island", "node 'house'"], "house = ["),
    ('end = "corner"', 'end = "corner", closed = false', ["'store' is an island", "'house' is an island"], "house = ["),
    ("  { name = \"drop\"", '  { name = "ring", start = "busbar", end = "corner", length_m = 9 },\n  { name = "drop"',
     ["cable 'ring' closes a loop", "closed = false"], None),
    ('panels = [{ name = "roof", house = "house"', 'panels = [{ name = "roof", house = "barn"',
     ["there is no house 'barn'", "write one of: house"], None),
    ("peak_w = 5000", "peak_w = 50000", ["'roof' can have 50000 W behind 1 × 63 A"], None),
    ("power_w_max = 3600", "power_w_max = 22000", ["'car' can have 22000 W"], None),
    ("arrive = 18:00:00", "arrive = 07:00:00", ["leaves when it arrives"], None),
    ("setpoint_w = -2000", "setpoint_w = -4000", ["cannot run at setpoint_w = -4000", "from -3000"], None),
    ("setpoint_w = -2000", "soc_min_permille = 960", ["'store' has no window"], None),
    ("setpoint_w = -2000", "soc_start_permille = 10", ["'store' starts outside its window", "from 50 to 950"], None),
    ('kind = "esp32-c3"', 'kind = "arduino-uno"', ["'arduino-uno' is not one of the choices", "esp32-s3"], None),
    ('bus = "uart0"\naddress = 1\nat = "house"', 'bus = "uart1"\naddress = 1\nat = "house"',
     ["and esp32-c3 has no uart named 'uart1'", "write one of: uart0"], None),
    ('bus = "gpio0"', 'bus = "uart1"', ["relay needs gpio"], None),
    ('bus = "gpio0"', 'bus = "gpio0"\naddress = 3', ["relay has no address", "remove the line"], "address = 3"),
    ("address = 1\n", "address = 300\n", ["300 is out of range"], None),
    ("address = 1\n", "", ["sdm120 'main' has no address", "add a line: address"], '[[board.sensor]]'),
    ("address = 1\n", "address = 0\n", ["sdm120 cannot have address 0", "from 1 to 247"], None),
    ('at = "house"\n', 'at = "hut"\n', ["there is no place 'hut'", "grid, house"], None),
    ('part = "sdm120"', 'part = "pzem004t-v3"', ["counts one direction", "export register"], None),
    ('part = "sdm120"', 'part = "ina226"', ["ina226 cannot work at 'house', a house", "needs i2c"], 'at = "house"'),
    ('node = "house", ', 'node = "house", phases = 3, ', ["sdm120 has 1 phase, and 'house' has 3"], 'part = "sdm120"'),
    ("charge_w_max = 3000", "charge_w_max = 20000", ["sdm120 takes 45 A, and 'store' can have 20000 W"],
     'part = "sdm120"\nbus = "uart0"\naddress = 1\nat = "store"'),
    ('name = "contactor"', 'name = "main"', ["two parts named 'main'"], None),
    ('[[board.actor]]\n', LAMP + 'bus = "gpio0"\nat = "store"\n[[board.actor]]\n',
     ["'contactor' and 'lamp' are both at gpio0"], '[[board.actor]]\nname = "contactor"'),
    ('[[board.actor]]\n', LAMP + 'bus = "gpio1"\nat = "car"\n[[board.actor]]\n',
     ["'keeper' acts at more than one place"], '[[board]]\nname = "keeper"'),
    ('role = "station"\n[[board', 'role = "meter"\n[[board', ["meter with something to act with"], None),
    ('role = "meter"', 'role = "station"', ["'meter' is a station with nothing to act with"], None),
    ('at = "roof" }', 'at = "roof" }, { name = "twin", part = "sdm120", address = 126, at = "car" }',
     ["'twin' and 'inverter' have the same address"], None),
    ('kind = "power-cut"', 'kind = "earthquake"', ["'earthquake' is not one of the choices", "brown-out"], None),
    ('on = "meter"', 'on = "stranger"', ["power-cut strikes a board", "'stranger' is none", "meter, keeper"], None),
    ('on = "meter"\n', "", ["power-cut strikes a board, and 'on' is missing"], "[[fault]]"),
    ('kind = "power-cut"', 'kind = "broker-restart"', ["strikes the whole site"], 'on = "meter"'),
    ('kind = "power-cut"\non = "meter"', 'kind = "bus-dead"\non = "meter/uart9"', ["meter/uart0, keeper/gpio0"],
     'on = "meter/uart9"'),
    ('role = "company"', 'role = "regulator"', ["there are 0 companies"], "[ledger]"),
    ("rights_wh = 1000", "rights_wh = 1005", ["'company' begins with a part of a unit", "unit_wh, 10"], None),
    ("rights_wh = 1000", 'device = "meter"', ["a company has no device"], 'device = "meter"'),
    ('device = "keeper"', 'device = "keepr"', ["there is no device 'keepr'", "meter, keeper, inverter"], None),
    ('device = "keeper"', 'device = "meter"', ["'meter' is a meter, and 'depot' a station"], None),
    ('device = "keeper"\n', "", ["nothing measures for 'depot'"], '[[ledger.participant]]\nname = "depot"'),
    ('name = "depot"\n', 'name = "twin"\nrole = "user"\ndevice = "meter"\n[[ledger.participant]]\nname = "depot"\n',
     ["'meter' measures for more than one account"], 'device = "meter"'),
    ("{ depot = 20 }", "{ depot = 1000 }", ["depot = 1000 is not a loss", "0 to 999"], None),
    ("{ depot = 20 }", "{ company = 20 }", ["'company', which is no participant"], None),
    ("rights_wh = 1000", "rights_wh = 1000\nloss_permille = { depot = 20 }", ["'company' is no user"], "loss_permille"),
    ('device = "keeper"', 'device = "keeper"\ntokens_mt = 1', ["account begins with its enrolment"],
     '[[ledger.participant]]\nname = "depot"'),
    (GATEWAY, "", ["no gateway to bring it readings"], "[ledger]"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "said", "place"), MISTAKES, ids=[f"{m[1][:40]!r}" for m in MISTAKES])
def test_each_mistake_is_told_with_line_cause_and_remedy(
    old: str, new: str, said: list[str], place: str | None
) -> None:
    assert old in GOOD
    text = GOOD.replace(old, new, 1)
    message = told(text)
    for part in said:
        assert part in "\n".join(message)
    line = line_of(text, place) if place else line_of(GOOD, old)
    assert any(re.match(rf"  line {line}: .+: .+", each) for each in message[1:]), message


def test_one_mistake_is_one_line() -> None:
    """A mistake's consequences are not told as mistakes of their own."""
    text = GOOD.replace('name = "house", node', 'nam = "house", node')
    assert [each.split(": ")[1] for each in told(text)[1:]] == ["'name' is missing", "unknown key 'nam'"]


def test_all_mistakes_are_in_one_message_in_the_order_of_lines() -> None:
    text = GOOD.replace("length_m = 80", "length_m = 0").replace("peak_w = 5000", "peak = 1").replace("at_s = 60", "")
    message = told(text)
    assert message[0] == "yard.toml: 4 mistakes, nothing was started"
    lines = [int(re.findall(r"line (\d+)", each)[0]) for each in message[1:]]
    assert lines == sorted(lines)
    assert len(lines) == 4


def test_no_toml_no_file_no_text(tmp_path: Path) -> None:
    assert "this is not TOML" in told("name = \n")[1]
    assert "line 1" in told("name = \n")[1]
    with pytest.raises(SiteError, match="there is no such file: give a path, or one of street, two-houses, village"):
        load("nowhere")
    folder = tmp_path
    (folder / "latin.toml").write_bytes(b'name = "caf\xe9"')
    with pytest.raises(SiteError, match="cannot be read"):
        load(folder / "latin.toml")
    with pytest.raises(SiteError, match="cannot be read"):
        load(folder)


VALUES = ["1", "-1", "1.5", "inf", "nan", "true", '""', '"x"', '"house"', "[]", "[1]", "{}", "[{}]", "{ a = 1 }",
          "07:30:00", "2026-06-15", "2026-06-15T10:00:00Z", "9" * 30]  # fmt: skip


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 200), st.sampled_from(["drop", "twice", "value"]), st.sampled_from(VALUES)), max_size=4
    )
)
def test_no_text_gets_more_than_a_message(edits: list[tuple[int, str, str]]) -> None:
    """Lines lost, doubled, given any other value: it is a site, or it is told why not."""
    lines = GOOD.splitlines()
    for position, what, value in edits:
        spot = position % len(lines)
        if what == "drop":
            del lines[spot]
        elif what == "twice":
            lines.insert(spot, lines[spot])
        elif " = " in lines[spot]:
            lines[spot] = re.sub(r" = [^,}]+", f" = {value} ", lines[spot], count=1)
    try:
        parse("\n".join(lines), "yard.toml")
    except SiteError as refused:
        assert all(re.match(r"  (line \d+|this is not TOML): .+: .+", each) for each in str(refused).splitlines()[1:])


def test_a_line_that_leads_nowhere_may_be_written_as_inf() -> None:
    site = parse(GOOD.replace("{ depot = 20 }", "{ depot = inf }"), "yard.toml")
    assert site.ledger is not None
    assert site.ledger.participants[1].loss_permille == ()


def test_the_page_about_the_site_file_knows_every_key_and_choice() -> None:
    page = (EXAMPLES.parents[2] / "docs" / "site.md").read_text(encoding="utf-8")
    rows = [each for each in vars(model).values() if dataclasses.is_dataclass(each)]
    keys = {field.metadata["rule"].key or field.name for row in rows for field in dataclasses.fields(row)}
    assert [key for key in sorted(keys) if not re.search(rf"`(\[+(\w+\.)?)?{key}\]*`", page)] == []
    choices = {*parts.SENSORS, *parts.ACTORS, *parts.BOARDS, *parts.FAULTS, *parts.PROFILES, *parts.WEATHERS}
    assert [choice for choice in sorted(choices) if f"`{choice}`" not in page] == []


def test_the_example_on_the_page_is_a_site() -> None:
    page = (EXAMPLES.parents[2] / "docs" / "site.md").read_text(encoding="utf-8")
    examples = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    assert examples
    assert parse(examples[0], "docs/site.md").houses
