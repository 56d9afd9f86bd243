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
import sys
import time
from collections.abc import Callable
from pathlib import Path

from gateway import approve as approving
from gateway import cli_files, entries
from gateway.approve import Wish
from gateway.check import check
from gateway.cli_show import Problem, show
from gateway.config import Config, ConfigError, load
from gateway.notify import Notify
from gateway.registry import attested_id, open_enrolment
from gateway.service import Gateway, load_key
from gateway.service_clock import Clock, WallClock
from gateway.store import Store
from gateway.store_layout import LayoutError
from gateway.store_read import Books
from wire import envelope
from wire.chain.keys import PrivateKey
from wire.enrol import ALLIANCES, STATUS, Entry
from wire.errors import WireError
from wire.ids import id_bytes, id_text

WATCHDOG_S = 10
ACTIONS = {
    "run": "hear devices, seal their readings, send them up",
    "check": "try configuration, keys, store, broker, nodes and every Modbus device without starting",
    "status": "what stands in the store: readings, blocks, what waits, what was refused, alarms",
    "devices": "which devices are enrolled here and which ask to be; approve or revoke one",
    "key": "this gateway's id and public key",
    "enter": "hand a registrar's signed entry (file) to the gateway, running or not",
    "export": "readings as CSV, JSON lines or Parquet, or blocks as a bundle",
    "backup": "everything in one encrypted file, also while the gateway runs",
    "restore": "a backup into an empty folder, for a new box",
    "broker-config": "write Mosquitto's configuration and access lists",
    "install": "write the systemd unit",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    for name, text in ACTIONS.items():
        action = actions.add_parser(name, help=text, description=text)
        if name != "restore":
            action.add_argument(
                "-c", "--config", type=Path, default=Path("gateway.toml"), help="default: gateway.toml here"
            )
        if name == "enter":
            action.add_argument("entry", type=Path, help="the signed registry entry, as the registrar gave it")
        if name == "devices":
            _device_arguments(action)
        cli_files.arguments(name, action)


def _device_arguments(action: argparse.ArgumentParser) -> None:
    action.add_argument("what", nargs="?", choices=("list", "approve", "revoke"), default="list")
    action.add_argument("id", nargs="?", help="the device's id, as the list shows it")
    action.add_argument("--name", help="a label for people")
    action.add_argument("--alliance", choices=ALLIANCES.names)
    action.add_argument("--limit", action="append", default=[], metavar="NAME=NUMBER", help="a safety limit")
    action.add_argument("--key", type=Path, help="the registrar's PEM file; default: registrar_key of gateway.toml")


def run(args: argparse.Namespace) -> int:
    actions: dict[str, Callable[[argparse.Namespace, Config], int]] = {
        "run": _run, "check": _check, "status": _status, "devices": _devices, "key": _key, "enter": _enter,
        "export": cli_files.run_export, "backup": cli_files.run_backup, "broker-config": cli_files.run_broker_config,
        "install": cli_files.run_install,
    }  # fmt: skip
    try:
        if args.action == "restore":
            return cli_files.run_restore(args)
        return actions[args.action](args, load(args.config))
    except (ConfigError, LayoutError, Problem, OSError) as error:
        print(error, file=sys.stderr)
        return 2


# ---------------------------------------------------------------- running


def serve(config: Config, clock: Clock, say: Callable[[str], None]) -> None:
    """Runs until SIGTERM or Ctrl-C."""

    async def until_told() -> None:
        gateway = Gateway(config, load_key(config), clock, say)
        devices, block = len(gateway.batches.registry.devices), gateway.batches.height
        say(f"gateway {config.name} {id_text(gateway.id)}: {devices} devices, block {block}")
        running = asyncio.ensure_future(gateway.run())
        living = asyncio.ensure_future(_live(gateway, Notify()))
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, running.cancel)
        try:
            with contextlib.suppress(asyncio.CancelledError):
                await running
        finally:
            living.cancel()
            await asyncio.gather(living, return_exceptions=True)

    asyncio.run(until_told())
    say("stopped; nothing that was acknowledged is lost")


async def _live(gateway: Gateway, notify: Notify) -> None:
    """systemd's watchdog is fed from the loop that does the work: a loop that hangs is started again."""
    notify.say(ready=1)
    try:
        while True:
            alarms = sorted({word for word, _ in gateway.batches.alarms.standing})
            notify.say(watchdog=1, status=f"block {gateway.batches.height}; alarms: {', '.join(alarms) or 'none'}")
            await asyncio.sleep(WATCHDOG_S)
    finally:
        notify.close()


def _sayer(config: Config) -> Callable[[str], None]:
    """Lines for people, or one JSON object a line."""

    def text(words: str) -> None:
        print(f"gateway: {words}", file=sys.stderr, flush=True)

    def structured(words: str) -> None:
        line = {"time_ms": time.time_ns() // 1_000_000, "part": "gateway", "name": config.name, "message": words}
        print(json.dumps(line), file=sys.stderr, flush=True)

    return structured if config.log == "json" else text


def _run(args: argparse.Namespace, config: Config) -> int:
    serve(config, WallClock(), _sayer(config))
    return 0


def _check(args: argparse.Namespace, config: Config) -> int:
    found = asyncio.run(check(config, load_key))
    lines = [f"{'WRONG' if one.trouble else 'ok':5}  {one.what}: {one.trouble or one.note or 'fine'}" for one in found]
    bad = [one for one in found if one.trouble]
    checks = [{"what": one.what, "trouble": one.trouble, "note": one.note} for one in found]
    show(args, {"checks": checks, "problems": [f"{one.what}: {one.trouble}" for one in bad]}, lines)
    return 1 if bad else 0


# ---------------------------------------------------------------- looking


def _status(args: argparse.Namespace, config: Config) -> int:
    books = Books.open(config.data / "gateway.db")
    counts, alarms, tallies = books.counts(), books.alarms(), books.tallies()
    books.close()
    lines = [f"{name:24} {value}" for name, value in counts.items()]
    lines += [f"{word:24} {count}" for word, count in tallies.items() if word.startswith(("refused:", "suspect:"))]
    lines += [f"ALARM {one['word']} {one['about']}: {one['detail']} ({one['count']} times)" for one in alarms]
    show(args, {**counts, "tallies": tallies, "alarms": alarms}, lines)
    return 0


def _devices(args: argparse.Namespace, config: Config) -> int:
    if args.what != "list":
        return _decide(args, config)
    books = _books(config)
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
    show(args, {"devices": list(known.values()), "enrolments": waiting}, lines)
    return 0


def _books(config: Config) -> Books:
    """Also of a gateway that has not run yet."""
    path = config.data / "gateway.db"
    if not path.exists():
        Store(path).close()
    return Books.open(path)


def _key(args: argparse.Namespace, config: Config) -> int:
    key = load_key(config)
    show(args, {"id": id_text(key.kid), "public_key": key.public_key.hex()}, [id_text(key.kid), key.public_key.hex()])
    return 0


# ---------------------------------------------------------------- deciding


def _decide(args: argparse.Namespace, config: Config) -> int:
    """Approves or revokes: signs the entry and hands it over like any registrar's."""
    if args.id is None:
        raise Problem(f"devices {args.what} ID: which one? `tallygrid gateway devices` shows them")
    try:
        device = id_bytes(args.id)
        registrar = _registrar(args, config)
        books = _books(config)
        before = approving.last_entry(list(books.entries()), device)
        asked = {id: raw for id, _, raw in books.enrolments()}
        books.close()
        gateway = config.account or load_key(config).kid
        polled = {attested_id(gateway, one.name): one.name for one in config.device}
        wish = Wish(
            name=polled.get(device, args.name or (None if before else args.id)),
            alliance=ALLIANCES.index(args.alliance) if args.alliance else (None if before else config.alliance),
            gateway=gateway,
            limits=approving.limits_of(args.limit) if args.limit else None,
            revoke=args.what == "revoke",
        )
        raw = approving.approve(registrar, device, asked.get(device), before, wish, int(time.time()))
        name = entries.drop(config.data / "entries", raw, config.registrars)
    except WireError as error:
        raise Problem(f"devices {args.what} {args.id}: {error}") from None
    words = f"{args.id}: {name} is in force as soon as the gateway runs, within a second if it does"
    show(args, {"device": args.id, "entry": name}, [words])
    return 0


def _registrar(args: argparse.Namespace, config: Config) -> PrivateKey:
    path = args.key or config.registrar_key
    if path is None:
        raise Problem("a registrar's key is needed: --key FILE, or registrar_key in gateway.toml")
    try:
        key = PrivateKey.from_pem(path.read_bytes())
    except (OSError, ValueError, TypeError) as error:
        raise Problem(f"{path}: {error}") from None
    if key.public_key not in config.registrars:
        raise Problem(f"{path} is none of this gateway's registrars")
    return key


def _enter(args: argparse.Namespace, config: Config) -> int:
    try:
        name = entries.drop(config.data / "entries", args.entry.read_bytes(), config.registrars)
    except WireError as error:
        raise Problem(f"{args.entry}: {error}") from None
    show(args, {"entry": name}, [f"{name} is in force as soon as the gateway runs, within a second if it does"])
    return 0
