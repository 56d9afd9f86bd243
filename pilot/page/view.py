"""What one page shows at one moment, as plain strings: the template prints it, the live stream sends what changed.

Owns: texts, attributes, ages and table rows by key; the difference between two moments.
Refuses: formatting and layout. Invariant: applying `changes` to the page of `old` gives the page of `new`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple


class Row(NamedTuple):
    """Of a table whose columns the template names. `state` is for its style and never the only carrier of a fact."""

    key: str
    cells: tuple[str, ...]
    state: str = ""


@dataclass(frozen=True)
class View:
    text: dict[str, str] = field(default_factory=dict)
    attr: dict[str, dict[str, str]] = field(default_factory=dict)
    at_s: dict[str, int] = field(
        default_factory=dict
    )  # when a value was measured: its age is counted from it; 0 unknown
    table: dict[str, list[Row]] = field(default_factory=dict)


def changes(old: View, new: View) -> dict[str, Any]:
    """As static/live.js applies it: t texts, a attributes, m moments, r rows.

    Rows are [[keys in order], {key: [state, cells]}], the latter of those that are new or different.
    """
    found = {
        "t": {key: text for key, text in new.text.items() if old.text.get(key) != text},
        "a": {key: attr for key, attr in new.attr.items() if old.attr.get(key) != attr},
        "m": {key: at_s for key, at_s in new.at_s.items() if old.at_s.get(key) != at_s},
        "r": {
            key: _rows(old.table.get(key, []), rows) for key, rows in new.table.items() if old.table.get(key) != rows
        },
    }
    return {part: values for part, values in found.items() if values}


def _rows(old: list[Row], new: list[Row]) -> list[Any]:
    known = set(old)
    return [[row.key for row in new], {row.key: [row.state, row.cells] for row in new if row not in known}]
