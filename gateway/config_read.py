"""How a table of a TOML file becomes a dataclass, and where a mistake stands in the file.

Owns: the kinds of settings, finding a key's line, collecting mistakes.
Refuses: unknown keys, wrong types, values out of range: all in one go, each with its line and what would be right.
Invariant: what comes out is whole, or there is a mistake that says why not.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import MISSING, Field, dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

from wire.errors import WireError
from wire.ids import kid_of

T = TypeVar("T")
Check = Callable[[Any], Any]  # the value as it is used, or Wrong


class Wrong(Exception):
    """What is wrong with a value, and what is wanted."""


def number(low: int, high: int, default: Any = MISSING) -> Any:
    def check(value: Any) -> int:
        if type(value) is not int or not low <= value <= high:
            raise Wrong(f"is {value!r}; a whole number from {low} to {high} is wanted")
        return value

    return _setting(check, default)


def text(default: Any = MISSING, pattern: str = "", says: str = "") -> Any:
    def check(value: Any) -> str:
        if not isinstance(value, str) or (pattern and not re.fullmatch(pattern, value)):
            raise Wrong(f"is {value!r}; {says or 'a text'} is wanted")
        return value

    return _setting(check, default)


def flag(default: Any = MISSING) -> Any:
    def check(value: Any) -> bool:
        if not isinstance(value, bool):
            raise Wrong(f"is {value!r}; true or false is wanted")
        return value

    return _setting(check, default)


def choice(names: tuple[str, ...], default: Any = MISSING, places: bool = False) -> Any:
    """One of these names; with `places` its place among them."""

    def check(value: Any) -> Any:
        if value not in names:
            raise Wrong(f"is {value!r}; one of {', '.join(names)} is wanted")
        return names.index(value) if places else value

    return _setting(check, default)


def public_keys(required: bool = False) -> Any:
    def check(value: Any) -> list[bytes]:
        if not isinstance(value, list):
            raise Wrong("is no list of public keys in hex")
        found = []
        for one in value:
            try:
                found.append(bytes.fromhex(one))
                kid_of(found[-1])
            except (ValueError, TypeError, WireError) as error:
                raise Wrong(f"{one!r} is no public key of 65 bytes in hex ({error})") from None
        return found

    return field(default=MISSING, metadata={"check": check}) if required else _made(check, list)


def file(default: Any = MISSING) -> Any:
    """A path; relative ones begin where the file lies."""

    def check(value: Any) -> Path:
        if not isinstance(value, str) or not value:
            raise Wrong(f"is {value!r}; a path is wanted")
        return Path(value)

    return field(default=default, metadata={"check": check, "path": True})


def other(check: Check, default: Any = MISSING) -> Any:
    return _setting(check, default)


def table(kind: type[Any], optional: bool = False) -> Any:
    metadata = {"table": kind}
    return field(default=None, metadata=metadata) if optional else field(default_factory=kind, metadata=metadata)


def tables(kind: type[Any]) -> Any:
    return field(default_factory=list, metadata={"tables": kind})


def _setting(check: Check, default: Any) -> Any:
    return field(default=default, metadata={"check": check})


def _made(check: Check, make: Callable[[], Any]) -> Any:
    return field(default_factory=make, metadata={"check": check})


@dataclass
class Reading:
    """One file. `problems` collects what is wrong, in the order of the lines."""

    name: str
    source: str
    folder: Path
    problems: list[tuple[int, str]] = field(default_factory=list)

    def wrong(self, where: tuple[str, ...], cause: str) -> None:
        self.problems.append((self._line(where), f"{'.'.join(part.partition('#')[0] for part in where)} {cause}"))

    def text(self) -> str:
        return "\n".join(f"{self.name}:{line}: {cause}" for line, cause in sorted(self.problems))

    def _line(self, where: tuple[str, ...]) -> int:
        """The line of a key; of its table's header or the file's first where the key is not there."""
        lines = self.source.splitlines()
        start = 0
        for part in where[:-1]:
            name, _, place = part.partition("#")
            headers = [n for n, line in enumerate(lines) if re.match(rf"\s*\[+\s*{re.escape(name)}\s*\]+", line)]
            if headers:
                start = headers[min(int(place or 0), len(headers) - 1)]
        for n in range(start, len(lines)):
            if n > start and where[:-1] and re.match(r"\s*\[", lines[n]):
                break
            if re.match(rf"\s*(\[+\s*)?\"?{re.escape(where[-1].partition('#')[0])}\"?\s*[]=]", lines[n]):
                return n + 1
        return start + 1

    def read(self, kind: type[T], found: Any, where: tuple[str, ...] = ()) -> T | None:
        """The dataclass that this table is; None where something is wrong with it."""
        if not isinstance(found, dict):
            self.wrong(where, f"is a table: [{'.'.join(where)}]")
            return None
        before = len(self.problems)
        known = {one.name: one for one in fields(kind)}  # type: ignore[arg-type]
        for key in sorted(set(found) - set(known)):
            self.wrong((*where, key), f"is unknown; there are {', '.join(known)}")
        values = {}
        for name, one in known.items():
            if name in found:
                values[name] = self._value(one, found[name], (*where, name))
            elif one.default is MISSING and one.default_factory is MISSING:
                self.wrong((*where, name), "is missing")
        return kind(**values) if len(self.problems) == before else None

    def _value(self, one: Field[Any], value: Any, where: tuple[str, ...]) -> Any:
        if "table" in one.metadata:
            return self.read(one.metadata["table"], value, where)
        if "tables" in one.metadata:
            if not isinstance(value, list):
                self.wrong(where, f"comes as [[{where[-1]}]], one for each")
                return []
            names = [(*where[:-1], f"{where[-1]}#{place}") for place in range(len(value))]
            return [self.read(one.metadata["tables"], each, name) for each, name in zip(value, names, strict=True)]
        try:
            found = one.metadata["check"](value)
        except Wrong as error:
            self.wrong(where, str(error))
            return None
        return self.folder / found if one.metadata.get("path") else found
