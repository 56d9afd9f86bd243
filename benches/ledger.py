"""The ledger: transactions a second on both engines, whole transfers, the light client, one log through both engines.

Owns: the figures. Payments are the transaction chain's own, signed, over HTTP, and counted when they are durable.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from typing import Any

from benches import _ledger_comet, _ledger_local
from pilot.errors import Unavailable
from pilot.runtimes import need

GOALS = {
    "local_tx_per_s": ">= 5000",
    "ratio": ">= 0.5",
    "transfer_p50_ms": "<= 1000",
    "transfer_p99_ms": "<= 2000",
    "comet_tx_per_s": ">= 500",
    "comet_p95_ms": "<= 1500",
    "comet_transfer_1s_p50_ms": "<= 4000",
    "comet_transfer_100ms_p50_ms": "<= 1000",
    "header_ms": "<= 1.0",
    "differential": "== 0",
}
COMET = ("comet_tx_per_s", "comet_p95_ms", "comet_transfer_1s_p50_ms", "comet_transfer_100ms_p50_ms")
COMPARED = ("differential", "differential_heights")
PARTS = ("local", "transfers", "light", "comet")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--only", choices=PARTS, action="append", help="one part (again for more); default: all")
    parser.add_argument("--count", type=int, default=20_000, help="payments through the local engine (default 20,000)")
    parser.add_argument(
        "--transfers", type=int, default=60, help="transfers on the local engine, one after another (default 60)"
    )
    parser.add_argument("--seconds", type=int, default=30, help="load on the consortium (default 30)")
    parser.add_argument("--log", type=int, default=10_000, help="transactions through both engines (default 10,000)")


def run(args: argparse.Namespace) -> Mapping[str, Any]:
    figures: dict[str, Any] = {}
    parts = args.only or PARTS
    if "local" in parts:
        _say("local engine: payments")
        _ledger_local.measure_local(figures, args.count)
    if "transfers" in parts:
        _say("local engine: transfers")
        _ledger_local.measure_transfers(figures, args.transfers)
    if "light" in parts:
        figures["header_ms"] = round(_ledger_local.header_ms(), 3)
    if "comet" in parts:
        _say("consortium")
        try:
            binary = need("cometbft").path("cometbft")
        except Unavailable as lack:
            for name in (*COMET, *COMPARED):
                figures[name], figures[f"{name}_reason"] = None, str(lack)
        else:
            _ledger_comet.measure(figures, binary, args.seconds, max(args.transfers // 6, 3), args.log)
    return figures


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
