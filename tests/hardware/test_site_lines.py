"""Where a key stands in a TOML text: the line index knows every table and key that is written out."""

import tomllib
from collections.abc import Iterator
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from hardware.site import EXAMPLES
from hardware.site.lines import Path, at, index

TRICKY = '''\
# [not.a.table]
"quoted key" = 1
a.b = "x = 1 # [no]"
text = """
[inside]
key = 1
"""
plain = \'\'\'
  [also] = 'inside'
\'\'\'
list = [
  1, # a comment with ] and }
  "]",
]
rows = [
  { one = 1, two = [ { three = 3 } ] },

  { one = 2 }, { one = 3 },
]
[ table . "sub table" ]
z = 1
[[many]]
[[many.inner]]
v = 1
[[many]]
[[many.inner]]
v = 2
[[many.inner]]
v = 3
[many.inner.deep]
w = 4
'''


def test_tricky_text() -> None:
    tomllib.loads(TRICKY)
    lines = TRICKY.splitlines()
    found = index(TRICKY)
    expected: dict[Path, int] = {
        ("quoted key",): 2, ("a", "b"): 3, ("text",): 4, ("plain",): 8, ("list",): 11, ("rows", 0): 16, ("rows", 1): 18,
        ("rows", 2): 18, ("table", "sub table"): 20, ("table", "sub table", "z"): 21, ("many", 0): 22,
        ("many", 0, "inner", 0, "v"): 24, ("many", 1): 25, ("many", 1, "inner", 0, "v"): 27,
        ("many", 1, "inner", 1): 28, ("many", 1, "inner", 1, "v"): 29, ("many", 1, "inner", 1, "deep", "w"): 31,
    }  # fmt: skip
    assert {path: found[path] for path in expected} == expected
    assert at(found, ("rows", 0, "two", 0, "three")) == 16
    assert at(found, ("nowhere",)) == 1
    assert lines[found[("many", 1, "inner", 1, "deep", "w")] - 1] == "w = 4"


def _written(value: Any, path: Path = ()) -> Iterator[Path]:
    if isinstance(value, dict):
        for key, inside in value.items():
            yield (*path, key)
            yield from _written(inside, (*path, key))
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        for position, inside in enumerate(value):
            yield (*path, position)
            yield from _written(inside, (*path, position))


def test_in_the_examples_every_key_is_on_the_line_it_is_said_to_be_on() -> None:
    for file in EXAMPLES.glob("*.toml"):
        text = file.read_text(encoding="utf-8")
        found, lines = index(text), text.splitlines()
        for path in _written(tomllib.loads(text)):
            line = lines[at(found, path) - 1]
            assert str(path[-1]) in line or isinstance(path[-1], int) or path not in found, (file.name, path, line)


KEYS = st.sampled_from(["a", "b-1", "c_2"])
VALUES = st.sampled_from(
    ["1", '"t # ["', "[1,\n 2]", '"""x\n[y]\n"""', "{ p = 1 }", "07:30:00", "[{ p = 1 },\n{ p = 2 }]"]
)


@given(st.lists(st.tuples(KEYS, st.dictionaries(KEYS, VALUES, max_size=3)), max_size=6))
def test_any_array_of_tables(tables: list[tuple[str, dict[str, str]]]) -> None:
    text, expected, counts = "", {}, dict.fromkeys(["a", "b-1", "c_2"], 0)
    for name, keys in tables:
        row: Path = (name, counts[name])
        counts[name] += 1
        expected[row] = text.count("\n") + 1
        text += f"[[{name}]]\n"
        for key, value in keys.items():
            expected[*row, key] = text.count("\n") + 1
            text += f"  {key} = {value} # end\n"
    tomllib.loads(text)
    found = index(text)
    assert {path: found.get(path) for path in expected} == expected
