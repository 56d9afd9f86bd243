"""The paper's experiments: the same calls on our chains, every figure beside the paper's.

Owns: `tallygrid experiment N`: which experiment, which engine, how it is shown, what the exit status says.
Refuses: a figure that was not read from a chain after the run.
Invariant: exit status 0 if and only if exactly the cells differ that the experiment names with a reason.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from importlib import import_module

from pilot.experiments.cells import Outcome

EXPERIMENTS = {1: "one", 2: "two"}
ENGINES = ("local", "cometbft")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("number", type=int, choices=sorted(EXPERIMENTS), help="which experiment of the paper")
    parser.add_argument("--engine", choices=ENGINES, default="local", help="what orders the transactions")


def run(args: argparse.Namespace) -> int:
    experiment = import_module(f"pilot.experiments.{EXPERIMENTS[args.number]}")
    stream = sys.stderr if args.json else sys.stdout
    outcome: Outcome = asyncio.run(experiment.play(args.engine, lambda line: print(line, file=stream, flush=True)))
    for line in outcome.lines():
        print(line, file=stream)
    if args.json:
        print(json.dumps([cell.as_json() for cell in outcome.cells], ensure_ascii=False))
    return 0 if outcome.as_expected() else 1
