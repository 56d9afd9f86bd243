"""Measure one part against its limits: `tallygrid bench NAME`, where NAME is a file of benches/.

Owns: finding benches (the folder is the registry) and printing their figures.
Refuses: judging. A bench that measured exits 0, also where a goal is missed; the figures say so.

benches/NAME.py has a docstring, `run(args) -> Mapping[str, number | str | list | None]`, and may have
`add_arguments(parser)` and `GOALS`, a dict of figure name to text such as "<= 6". A figure that could not be measured
is None, with its reason under the same name + "_reason".
"""

import argparse
import ast
import importlib
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pilot import places
from pilot.errors import Unavailable

# What follows NAME belongs to the bench.
TAKES_REST = True

_COMPARE = {"<=": float.__le__, ">=": float.__ge__, "<": float.__lt__, ">": float.__gt__, "==": float.__eq__}


def names() -> dict[str, str]:
    """Each bench and the first line of its docstring, read without importing it."""
    folder = (places.CHECKOUT or Path("/nonexistent")) / "benches"
    files = sorted(path for path in folder.glob("*.py") if not path.stem.startswith("_"))
    return {path.stem: (ast.get_docstring(ast.parse(path.read_text())) or "").partition("\n")[0] for path in files}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = "\n".join(f"  {name:<12} {line}" for name, line in names().items())
    parser.add_argument("name", metavar="NAME", help="which bench, one of the list below")


def run(args: argparse.Namespace) -> int:
    if places.CHECKOUT is None:
        raise Unavailable("benches are in the source tree, not in the installed package: run them from a checkout")
    if args.name not in names():
        print(f"tallygrid: no bench {args.name!r}; there are: {', '.join(names()) or 'none'}", file=sys.stderr)
        return 2
    bench = importlib.import_module(f"benches.{args.name}")
    own = argparse.ArgumentParser(
        prog=f"tallygrid bench {args.name}", description=names()[args.name], allow_abbrev=False
    )
    if hasattr(bench, "add_arguments"):
        bench.add_arguments(own)
    figures: Mapping[str, Any] = bench.run(own.parse_args(args.rest, args))
    print(json.dumps(figures) if args.json else table(figures, getattr(bench, "GOALS", {})))
    return 0


def table(figures: Mapping[str, Any], goals: Mapping[str, str]) -> str:
    """One figure a line, its goal beside it."""
    width = max((len(name) for name in figures), default=0)
    lines = []
    for name, value in figures.items():
        shown = f"{value:,.3f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)
        lines.append(f"{name:<{width}}  {shown}{verdict(value, goals[name]) if name in goals else ''}")
    return "\n".join(lines)


def verdict(value: Any, goal: str) -> str:
    sign, limit = goal.split()
    if value is None:
        return f"  (goal {goal}: not measured)"
    return f"  (goal {goal}: {'kept' if _COMPARE[sign](float(value), float(limit)) else 'MISSED'})"
