"""`tallygrid gateway …`: what a site operator types.

Owns: the sub-commands and what they print.
Refuses: doing the work; that is the service's and the store's.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path

from gateway import entries
from gateway.config import Config, ConfigError, load
from gateway.registry import open_enrolment
from gateway.service import Gateway, load_key
from gateway.service_clock import Clock, WallClock
from gateway.store import Store
from gateway.store_read import Books
from wire import envelope
from wire.enrol import ALLIANCES, STATUS, Entry
from wire.ids import id_text


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    for name, text in (
        ("run", "hear devices, seal their readings, send them up"),
        ("check", "try configuration, key, store and broker without starting"),
        ("status", "what stands in the store: readings, blocks, what waits, what was refused"),
        ("devices", "which devices are enrolled here, and which ask to be"),
        ("key", "this gateway's id and public key"),
        ("enter", "hand a registrar's signed entry (file) to the gateway, running or not"),
    ):
        action = actions.add_parser(name, help=text, description=text)
        action.add_argument(
            "-c", "--config", type=Path, default=Path("gateway.toml"), help="default: gateway.toml here"
        )
        if name == "enter":
            action.add_argument("entry", type=Path, help="the signed registry entry, as the registrar gave it")


def run(args: argparse.Namespace) -> int:
    try:
        config = load(args.config)
    except (ConfigError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    actions: dict[str, Callable[[argparse.Namespace, Config], int]] = {
        "run": _run, "check": _check, "status": _status, "devices": _devices, "key": _key, "enter": _enter
    }  # fmt: skip
    return actions[args.action](args, config)


def serve(config: Config, clock: Clock) -> None:
    """Runs until SIGTERM or Ctrl-C."""

    async def until_told() -> None:
        gateway = Gateway(config, load_key(config), clock, _say)
        devices, block = len(gateway.batches.registry.devices), gateway.batches.height
        _say(f"gateway {config.name} {id_text(gateway.id)}: {devices} devices, block {block}")
        running = asyncio.ensure_future(gateway.run())
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, running.cancel)
        with contextlib.suppress(asyncio.CancelledError):
            await running

    asyncio.run(until_told())
    _say("stopped; nothing that was acknowledged is lost")


def _say(words: str) -> None:
    print(f"gateway: {words}", file=sys.stderr, flush=True)


def _run(args: argparse.Namespace, config: Config) -> int:
    serve(config, WallClock())
    return 0


def _check(args: argparse.Namespace, config: Config) -> int:
    problems = []
    key = load_key(config)
    store = Store(config.data / "gateway.db")
    store.close()
    broker = config.broker
    try:
        socket.create_connection((broker.host, broker.port), 3).close()
    except OSError as error:
        problems.append(f"no broker at {broker.host}:{broker.port} ({error}); is Mosquitto running?")
    report = {"gateway": id_text(config.account or key.kid), "data": str(config.data), "problems": problems}
    _show(args, report, [f"gateway {report['gateway']}, data in {config.data}", *problems])
    return 1 if problems else 0


def _status(args: argparse.Namespace, config: Config) -> int:
    books = Books.open(config.data / "gateway.db")
    counts = books.counts()
    books.close()
    _show(args, counts, [f"{name:18} {value}" for name, value in counts.items()])
    return 0


def _devices(args: argparse.Namespace, config: Config) -> int:
    books = Books.open(config.data / "gateway.db")
    positions = books.positions()
    known = {}
    for raw in books.entries():
        entry = Entry.decode(envelope.split(raw).payload)
        known[entry.device] = {
            "id": id_text(entry.device),
            "name": entry.name,
            "alliance": ALLIANCES[entry.alliance],
            "status": STATUS[entry.status],
            "serial": entry.serial,
            "next_seq": positions.get(entry.device, 0),
        }
    waiting = [
        {"id": id_text(id), "board": open_enrolment(raw)[0].board, "enrolment": raw.hex()}
        for id, _, raw in books.enrolments()
    ]
    books.close()
    lines = [f"{one['id']}  {one['status']:8} {one['name']:20} {one['next_seq']} rows" for one in known.values()]
    lines += [f"{one['id']}  asks to be enrolled ({one['board']})" for one in waiting]
    _show(args, {"devices": list(known.values()), "enrolments": waiting}, lines)
    return 0


def _key(args: argparse.Namespace, config: Config) -> int:
    key = load_key(config)
    _show(args, {"id": id_text(key.kid), "public_key": key.public_key.hex()}, [id_text(key.kid), key.public_key.hex()])
    return 0


def _enter(args: argparse.Namespace, config: Config) -> int:
    name = entries.drop(config.data / "entries", args.entry.read_bytes(), config.registrars)
    _show(args, {"entry": name}, [f"{name} is in force as soon as the gateway runs, within a second if it does"])
    return 0


def _show(args: argparse.Namespace, value: object, lines: list[str]) -> None:
    print(json.dumps(value) if args.json else "\n".join(lines))
