"""Reads a site file, or one of the examples by name, whole or not at all.

Owns: `load`, `SiteError`, and the words of the message. Refuses: a site with any mistake.
Invariants: every mistake that can be seen is in the one message, in the order of the lines, each with a remedy.
"""

import tomllib
from pathlib import Path as File

from . import check, lines, model
from .read import Problem, Reading

EXAMPLES = File(__file__).parents[1] / "emulator" / "sites"


class SiteError(Exception):
    """Why a file is no site: one text, a line for each mistake."""

    def __init__(self, file: str, mistakes: list[str]) -> None:
        count = "1 mistake" if len(mistakes) == 1 else f"{len(mistakes)} mistakes"
        super().__init__("\n".join([f"{file}: {count}, nothing was started", *(f"  {each}" for each in mistakes)]))


def load(path_or_name: str | File) -> model.Site:
    """The site of a file; a bare name (`street`) is one of the examples."""
    file = File(path_or_name)
    if file.suffix != ".toml" and not file.exists():
        file = EXAMPLES / f"{path_or_name}.toml"
    try:
        source = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        known = ", ".join(sorted(each.stem for each in EXAMPLES.glob("*.toml")))
        raise SiteError(str(path_or_name), [f"there is no such file: give a path, or one of {known}"]) from None
    except (OSError, UnicodeDecodeError) as error:
        raise SiteError(str(file), [f"it cannot be read ({error}): give a UTF-8 file that you may read"]) from None
    return parse(source, file.name)


def parse(source: str, file: str) -> model.Site:
    """The site of a text; `file` is what the message calls it."""
    try:
        values = tomllib.loads(source)
    except tomllib.TOMLDecodeError as error:
        raise SiteError(file, [f"this is not TOML: {error}: correct the syntax there"]) from None
    reading = Reading()
    site = reading.build(model.Site, values, ())
    check.relations(reading)
    if reading.problems:
        raise SiteError(file, _told(reading.problems, source))
    assert site is not None
    return site


def _told(problems: list[Problem], source: str) -> list[str]:
    index = lines.index(source)
    found = sorted((lines.at(index, each.path), each.cause, each.remedy) for each in problems)
    return [f"line {line}: {cause}: {remedy}" for line, cause, remedy in found]
