"""How a sub-command says what it found, or why it cannot.

Owns: one JSON value or lines for people; `Problem`.
Refuses: nothing.
"""

from __future__ import annotations

import argparse
import json


class Problem(Exception):
    """A command cannot do what it was asked for; the text says why, and what to do."""


def show(args: argparse.Namespace, value: object, lines: list[str]) -> None:
    print(json.dumps(value) if args.json else "\n".join(lines))
