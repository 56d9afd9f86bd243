"""From TOML values to the dataclasses of `model`, every mistake noted, none raised.

Owns: `Reading`, which keeps what could be read and what could not. Refuses: relations between tables (`check`).
Invariants: a row with a mistake of its own is left out and its dataclass counts as broken, so that no check takes a
mistake's consequence for a second mistake.
"""

import dataclasses
import difflib
from collections.abc import Iterable
from typing import Any, TypeVar

from .fields import BadValue, Rule
from .lines import Path

T = TypeVar("T")


@dataclasses.dataclass(frozen=True)
class Problem:
    """One mistake: where it is, what is wrong, what to do."""

    path: Path
    cause: str
    remedy: str


class Reading:
    """What a file gave: rows by dataclass, each with its path, and the problems met."""

    def __init__(self) -> None:
        self.rows: dict[type, list[tuple[Path, Any]]] = {}
        self.problems: list[Problem] = []
        self._broken: set[type] = set()

    def of(self, rows: type[T]) -> list[tuple[Path, T]]:
        return self.rows.get(rows, [])

    def whole(self, *rows: type) -> bool:
        """Whether every row of these tables could be read, so that what is missing is really missing."""
        return not self._broken.intersection(rows)

    def problem(self, path: Path, cause: str, remedy: str) -> None:
        self.problems.append(Problem(path, cause, remedy))

    def build(self, rows: type[T], value: Any, path: Path) -> T | None:
        """The row, or None after noting everything that is wrong with it."""
        before = len(self.problems)
        if not isinstance(value, dict):
            self.problem(
                path,
                f"{value!r} is not a table",
                "write its keys in one table, in lines under [name] or as { key = value }",
            )
            self._broken.add(rows)
            return None
        fields = {_key(field): field for field in dataclasses.fields(rows)}  # type: ignore[arg-type]
        for key in value:
            if key not in fields:
                self.problem((*path, key), f"unknown key '{key}'", _suggest(key, fields))
        made: dict[str, Any] = {}
        for key, field in fields.items():
            if key in value:
                made[field.name] = self._value(field, value[key], (*path, key))
            elif field.default is dataclasses.MISSING:
                self.problem(path, f"'{key}' is missing", f"add a line: {key} = …")
        if len(self.problems) > before:
            self._broken.add(rows)
            return None
        row = rows(**made)
        self.rows.setdefault(rows, []).append((path, row))
        return row

    def _value(self, field: "dataclasses.Field[Any]", value: Any, path: Path) -> Any:
        rule: Rule = field.metadata["rule"]
        if rule.rows is None:
            try:
                return rule.read(value)
            except BadValue as bad:
                self.problem(path, f"'{path[-1]}': {bad.cause}", bad.remedy)
                return None
        if field.default != ():
            return self.build(rule.rows, value, path)
        if not isinstance(value, list):
            self.problem(path, f"'{path[-1]}' is not a list of tables", f"write [[…{path[-1]}]] in double brackets")
            self._broken.add(rule.rows)
            return None
        return tuple(self.build(rule.rows, each, (*path, position)) for position, each in enumerate(value))


def _key(field: "dataclasses.Field[Any]") -> str:
    rule: Rule = field.metadata["rule"]
    return rule.key or field.name


def _suggest(key: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(key, known, 1)
    return f"did you mean '{close[0]}'?" if close else f"remove it; known here are: {', '.join(known)}"
