"""On which line of a TOML text each table and key stands. `tomllib` reads the values but keeps no positions.

Owns: `index`, for texts that `tomllib` has already taken. Refuses: judging TOML; what it cannot follow has no line.
Invariants: a path is keys and, inside arrays of tables, positions: `("board", 0, "sensor", 1, "bus")`.
"""

import re
from collections.abc import Iterator

Path = tuple[str | int, ...]

TOKEN = re.compile(
    r'"""(?:\\.|[^\\])*?"{3,5}|\'\'\'.*?\'{3,5}|"(?:\\.|[^"\\\n])*"|\'[^\'\n]*\'|#[^\n]*|[\[\]{}=\n]|[^\[\]{}=\n"\'#]+',
    re.DOTALL,
)
KEY = re.compile(r'"((?:\\.|[^"\\])*)"|\'([^\']*)\'|([A-Za-z0-9_-]+)')


def index(text: str) -> dict[Path, int]:
    """Line numbers, counted from 1, of every table, every key and every inline table in an array of them."""
    lines: dict[Path, int] = {}
    counts: dict[Path, int] = {}
    here: Path = ()
    for line, statement, rows in _statements(text):
        if statement[0] == "[":
            array = statement.startswith("[[")
            path = here = _table(statement.strip("[] \t"), counts, new=array)
            lines.setdefault(path, line)
            if array:
                lines.setdefault(path[:-1], line)
        else:
            path = here
            for key in _keys(statement):
                path = (*path, key)
                lines.setdefault(path, line)
            lines.update({(*path, position): row for position, row in enumerate(rows)})
    return lines


def at(lines: dict[Path, int], path: Path) -> int:
    """The line of `path`, or of what it lies in (a missing key has no line of its own)."""
    while path and path not in lines:
        path = path[:-1]
    return lines.get(path, 1)


def _statements(text: str) -> Iterator[tuple[int, str, list[int]]]:
    """Each header or `key` with the line it begins on, and the lines of the inline tables in its value's array."""
    line, start, depth, left, in_value = 1, 1, 0, "", False
    rows: list[int] = []
    for token in TOKEN.findall(text + "\n"):
        if token == "\n" and depth == 0:
            if left.strip():
                yield start, left.strip(), rows
            left, in_value, rows = "", False, []
        elif token == "=" and depth == 0:
            in_value = True
        elif in_value and token == "{" and depth == 1:
            rows.append(line)
        elif not in_value and not token.startswith("#"):
            start = start if left.strip() else line
            left += token
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(token, 0)
        line += token.count("\n")


def _keys(dotted: str) -> list[str]:
    return [basic or literal or bare for basic, literal, bare in KEY.findall(dotted)]


def _table(dotted: str, counts: dict[Path, int], new: bool) -> Path:
    """The path of a header: each array of tables on the way stands at its last element, a new one at its next."""
    path: Path = ()
    keys = _keys(dotted)
    for position, key in enumerate(keys):
        path = (*path, key)
        if new and position == len(keys) - 1:
            counts[path] = counts.get(path, 0) + 1
        if path in counts:
            path = (*path, counts[path] - 1)
    return path
