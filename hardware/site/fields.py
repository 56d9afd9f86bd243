"""The kinds of fields a site file can have: what a value must be, and how to say what it should have been.

Owns: one constructor per kind, used as field defaults in `model`, and `Rule`, which `read` applies.
Refuses: knowledge about more than one field; what two fields must be to each other is `check`'s.
Invariants: a rule turns a TOML value into a plain Python value or raises `BadValue` with a remedy, nothing else.
"""

import dataclasses
import datetime
import re
from collections.abc import Callable, Collection
from typing import Any

NAME = re.compile(r"[a-z][a-z0-9-]{0,30}[a-z0-9]|[a-z]")


class BadValue(Exception):
    """What is wrong with a value, and what would be right."""

    def __init__(self, cause: str, remedy: str) -> None:
        super().__init__(cause, remedy)
        self.cause = cause
        self.remedy = remedy


@dataclasses.dataclass(frozen=True)
class Rule:
    """`read` gives the value of a TOML key; `rows` names the dataclass of a table or an array of tables instead."""

    read: Callable[[Any], Any]
    rows: type | None = None
    key: str | None = None


def _field(rule: Rule, default: Any) -> Any:
    return dataclasses.field(default=default, metadata={"rule": rule})


REQUIRED: Any = dataclasses.MISSING


def number(low: int, high: int, default: Any = REQUIRED) -> Any:
    """A whole number; a fraction is refused, since the unit in the key's name is chosen so that none is needed."""

    def read(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise BadValue(f"{value!r} is not a whole number", f"write a whole number from {low} to {high}, no quotes")
        if not low <= value <= high:
            raise BadValue(f"{value} is out of range", f"write a whole number from {low} to {high}")
        return value

    return _field(Rule(read), default)


def flag(default: Any = REQUIRED) -> Any:
    def read(value: Any) -> bool:
        if not isinstance(value, bool):
            raise BadValue(f"{value!r} is neither true nor false", "write true or false, no quotes")
        return value

    return _field(Rule(read), default)


def text(default: Any = REQUIRED) -> Any:
    def read(value: Any) -> str:
        if not isinstance(value, str) or not value.strip() or len(value) > 200:
            raise BadValue(f"{value!r} is not a text of 1 to 200 characters", "write a short text in quotes")
        return value

    return _field(Rule(read), default)


def name(default: Any = REQUIRED) -> Any:
    """A name that other parts of the file, topics and the page use: letters, digits, hyphens."""

    def read(value: Any) -> str:
        if not isinstance(value, str) or not NAME.fullmatch(value):
            raise BadValue(
                f"{value!r} is not a name", "use 1 to 32 lower-case letters, digits and hyphens, a letter first"
            )
        return value

    return _field(Rule(read), default)


def choice(options: Collection[Any], default: Any = REQUIRED) -> Any:
    def read(value: Any) -> Any:
        if not any(type(value) is type(option) and value == option for option in options):
            raise BadValue(f"{value!r} is not one of the choices", f"write one of: {', '.join(map(str, options))}")
        return value

    return _field(Rule(read), default)


def moment(default: Any = REQUIRED, key: str | None = None) -> Any:
    """A date and time with its offset from UTC, kept as seconds since 1970."""

    def read(value: Any) -> int:
        if not isinstance(value, datetime.datetime) or value.tzinfo is None:
            raise BadValue(f"{value!s} is not a moment", "write date, time and offset: 2026-06-15T08:00:00Z, no quotes")
        return int(value.timestamp())

    return _field(Rule(read, key=key), default)


def time_of_day(default: Any = REQUIRED, key: str | None = None) -> Any:
    """A local time of day, kept as seconds since midnight."""

    def read(value: Any) -> int:
        if not isinstance(value, datetime.time):
            raise BadValue(f"{value!s} is not a time of day", "write hours, minutes, seconds: 07:30:00, no quotes")
        return (value.hour * 60 + value.minute) * 60 + value.second

    return _field(Rule(read, key=key), default)


def names(default: Any = ()) -> Any:
    """A list of names."""

    def read(value: Any) -> tuple[str, ...]:
        if not isinstance(value, list) or not all(isinstance(each, str) and NAME.fullmatch(each) for each in value):
            raise BadValue(f"{value!r} is not a list of names", 'write ["one", "two"]')
        return tuple(value)

    return _field(Rule(read), default)


def losses(default: Any = ()) -> Any:
    """`{station = loss, …}`, sorted; `inf` says in so many words that there is no line, as leaving it out does."""

    def read(value: Any) -> tuple[tuple[str, int], ...]:
        remedy = "write { station = 80 } for a loss of 80 per mille, 0 to 999; inf or nothing means no line"
        if not isinstance(value, dict):
            raise BadValue(f"{value!r} is not a table of losses", remedy)
        for station, loss in value.items():
            if loss != float("inf") and (isinstance(loss, bool) or not isinstance(loss, int) or not 0 <= loss <= 999):
                raise BadValue(f"{station} = {loss!r} is not a loss", remedy)
        return tuple(sorted((station, loss) for station, loss in value.items() if loss != float("inf")))

    return _field(Rule(read), default)


def table(rows: type) -> Any:
    """One table `[key]`, every key of which has a default."""
    return _field(Rule(lambda value: value, rows), rows())


def optional_table(rows: type) -> Any:
    """One table `[key]`, or None where it is left out."""
    return _field(Rule(lambda value: value, rows), None)


def tables(rows: type, key: str | None = None) -> Any:
    """An array of tables `[[key]]`; none is an empty tuple."""
    return _field(Rule(lambda value: value, rows, key), ())
