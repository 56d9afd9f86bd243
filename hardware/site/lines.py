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
    """Line numbers, counted from 1, of every table and key written out on a line of its own."""
    lines: dict[Path, int] = {}
    counts: dict[Path, int] = {}
    here: Path = ()
    for line, statement in _statements(text):
        if statement[0] == "[":
            array = statement.startswith("[[")
            path = _table(statement.strip("[] \t"), counts, new=array)
            here = path
            lines.setdefault(path, line)
            if array:
                lines.setdefault(path[:-1], line)
        else:
            path = here
            for key in _keys(statement):
                path = (*path, key)
                lines.setdefault(path, line)
    return lines


def at(lines: dict[Path, int], path: Path) -> int:
    """The line of `path`, or of what it lies in (a missing key has no line of its own)."""
    while path and path not in lines:
        path = path[:-1]
    return lines.get(path, 1)


def _statements(text: str) -> Iterator[tuple[int, str]]:
    """Each header or `key` (without its value) with the line it begins on; values may span lines."""
    line, start, depth, left, in_value = 1, 1, 0, "", False
    for token in TOKEN.findall(text + "\n"):
        if token == "\n" and depth == 0:
            if left.strip():
                yield start, left.strip()
            left, in_value = "", False
        elif token == "=" and depth == 0:
            in_value = True
        elif not in_value and not token.startswith("#"):
            if not left.strip():
                start = line
            left += token
        if token in "[{":
            depth += 1
        elif token in "]}":
            depth -= 1
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
