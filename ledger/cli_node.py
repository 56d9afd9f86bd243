"""A node's daily life: run, status, backup, restore, snapshot, export.

Owns: the wall clock, the process of a node, copies of its stores and what is made from them.
Refuses: to put a backup under a running node, or over a chain that is further on, unless told that this is meant.
Invariant: copies are made of one moment while the node goes on; a store is replaced whole or not at all.
"""

from __future__ import annotations

import argparse
import asyncio
import fcntl
import os
import signal
import sqlite3
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

from ledger import contracts, evidence, genesis
from ledger.app import App
from ledger.cli_common import Setting, Trouble, http, load, member, progress, read_key, show
from ledger.engines.base import recover
from ledger.genesis import Genesis
from ledger.service import ChainConfig, Service
from ledger.signatures import SignatureChecker
from ledger.snapshots import Snapshots
from ledger.store import Store, StoreError
from wire.chain import bundle
from wire.chain.rest import NodeDown

NS = 1_000_000_000


class WallClock:
    def now_ns(self) -> int:
        return time.time_ns()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


def run(args: argparse.Namespace) -> int:
    setting = load(args)

    async def until_told() -> None:
        task = asyncio.ensure_future(Service(setting.config, WallClock(), _say).run())
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, task.cancel)
        _say(f"answers at {setting.url}")
        with suppress(asyncio.CancelledError):
            await task

    asyncio.run(until_told())
    _say("stopped; what a receipt named is on the disk")
    return 0


def _say(words: str) -> None:
    print(f"ledger: {words}", file=sys.stderr, flush=True)


# ---------------------------------------------------------------- status


def status(args: argparse.Namespace) -> int:
    """0 where the node answers, 1 where it does not; then from the stores."""
    setting = load(args)
    try:
        running, rows = True, asyncio.run(_asked(setting))
    except NodeDown as down:
        _say(f"{down}; what follows is from the disk")
        running, rows = False, [_on_disk(chain) for chain in setting.config.chains]
    lines = [f"node at {setting.url} {'runs' if running else 'does not answer'}"]
    lines += [f"{row['sort']:12} {row['chain']:28} block {row['height']:<8} {_clock(row['time_s'])}" for row in rows]
    show(args, {"running": running, "url": setting.url, "chains": rows}, lines)
    return 0 if running else 1


async def _asked(setting: Setting) -> list[dict[str, Any]]:
    key = read_key(setting.operator)
    rows = []
    async with http(setting.url, setting.ca) as web:
        for chain in setting.config.chains:
            chain_id = setting.chain_id(chain.sort)
            height, time_s = await member(web, chain_id, key).status()
            rows.append({"sort": chain.sort, "chain": chain_id, "height": height, "time_s": time_s})
    return rows


def _on_disk(chain: ChainConfig) -> dict[str, Any]:
    row = {"sort": chain.sort, "chain": _document(chain).chain_id, "height": 0, "time_s": 0}
    if chain.store.exists():
        with copied(chain.store) as store:
            head = store.head()
            block = store.block(head.height) if head is not None else None
            if block is not None:
                row |= {"height": block.height, "time_s": block.time_ns // NS}
    return row


def _clock(time_s: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(time_s)) if time_s else "no block yet"


def _document(chain: ChainConfig) -> Genesis:
    return genesis.decode(chain.genesis.read_bytes())


# ---------------------------------------------------------------- copies


def copy(source: Path, target: Path) -> None:
    """A whole copy as of one moment, also of a store that a node writes to."""
    if not source.exists():
        raise Trouble(f"{source} is not there yet: the node has not run")
    target.touch(mode=0o600)
    try:
        with closing(sqlite3.connect(source)) as old, closing(sqlite3.connect(target)) as new:
            old.backup(new)
    except sqlite3.Error as error:
        raise StoreError(f"{source}: {error}; `restore` brings a backup back") from error


@contextmanager
def copied(source: Path) -> Iterator[Store]:
    with tempfile.TemporaryDirectory(prefix="tallygrid-") as folder:
        copy(source, Path(folder) / source.name)
        store = Store(Path(folder) / source.name)
        try:
            yield store
        finally:
            store.close()


@contextmanager
def replayed(store: Store, chain: ChainConfig) -> Iterator[App]:
    """The app as the store has it; whose root is the one that the store names, or StoreError."""
    document = _document(chain)
    checker = SignatureChecker(1)
    app = App(document.chain_id, contracts.of(chain.sort), contracts.AUTHORITY, checker)
    try:
        recover(app, store, document)
        yield app
    finally:
        checker.close()


def backup(args: argparse.Namespace) -> int:
    """Store, genesis and configuration of each chain into a new folder. Validator keys are not in it."""
    setting = load(args)
    target: Path = args.target
    if target.exists():
        raise Trouble(f"{target} is there already")
    target.mkdir(parents=True, mode=0o700)
    heights = {}
    for chain in setting.config.chains:
        with progress(f"copying the {chain.sort} chain"):
            copy(chain.store, target / f"{chain.sort}.db")
            heights[chain.sort] = _check(target / f"{chain.sort}.db", chain)
    lines = [f"{sort:12} up to block {height}" for sort, height in heights.items()]
    show(args, {"backup": str(target), "heights": heights}, [*lines, f"in {target}; keep the keys elsewhere"])
    return 0


def _check(path: Path, chain: ChainConfig) -> int:
    """The height of a whole and good store."""
    store = Store(path)
    try:
        with replayed(store, chain) as app:
            return app.height
    finally:
        store.close()
        Path(f"{path}.lock").unlink(missing_ok=True)


def restore(args: argparse.Namespace) -> int:
    """Puts a backup where a store is damaged or gone. A validator that goes back behind blocks that others saw would
    sign other ones at their heights: its sister chain freezes on that, so it has to be meant."""
    setting = load(args)
    chosen = [chain for chain in setting.config.chains if (args.source / f"{chain.sort}.db").is_file()]
    if not chosen:
        raise Trouble(f"{args.source} holds no backup: `tallygrid ledger backup` writes main.db, transaction.db …")
    heights = {chain.sort: _incoming(args.source / f"{chain.sort}.db", chain, args.go_back) for chain in chosen}
    for chain in chosen:  # only once all of them may
        _put(incoming_of(chain), chain.store)
    lines = [f"{sort:12} stands at block {height} again" for sort, height in heights.items()]
    show(args, {"heights": heights}, [*lines, "what was there lies beside it, ending in .before"])
    return 0


def incoming_of(chain: ChainConfig) -> Path:
    return chain.store.with_suffix(".incoming")


def _incoming(source: Path, chain: ChainConfig, go_back: bool) -> int:
    """Copies a chain's backup beside its store; the height that it ends at."""
    incoming = incoming_of(chain)
    incoming.unlink(missing_ok=True)
    with progress(f"checking the {chain.sort} chain"):
        copy(source, incoming)
        height = _check(incoming, chain)
    here = _height(chain)
    if not go_back and (here is None or here > height):
        incoming.unlink()
        what = "is damaged, and may have been further on" if here is None else f"stands at block {here}"
        raise Trouble(
            f"{chain.store} {what}; the backup ends at block {height}. Later blocks, where others saw them, are then "
            "contradicted: --go-back says that this is meant"
        )
    return height


def _height(chain: ChainConfig) -> int | None:
    """Of the store in place: 0 where there is none, None where it cannot be read. Refuses one that is in use."""
    if not chain.store.exists():
        return 0
    with chain.store.with_name(chain.store.name + ".lock").open("a") as lock:
        _require_free(lock.fileno(), chain.store)
    try:
        return _check(chain.store, chain)
    except (StoreError, sqlite3.Error):
        return None


def _require_free(descriptor: int, path: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise Trouble(f"{path} is in use: stop the node first") from None


def _put(incoming: Path, store: Path) -> None:
    for ending in ("", "-wal", "-shm"):
        old = Path(f"{store}{ending}")
        if old.exists():
            old.replace(f"{store}.before{ending}")
        if ending:
            Path(f"{incoming}{ending}").unlink(missing_ok=True)
    incoming.replace(store)
    folder = os.open(store.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


# ---------------------------------------------------------------- made from copies


def snapshot(args: argparse.Namespace) -> int:
    """The state of one chain in chunks, as members that join late take it."""
    setting = load(args)
    chain = setting.chain(args.chain)
    folder = (chain.home or chain.store.parent / f"{chain.sort}.state") / "snapshots"
    with progress(f"reading the {chain.sort} chain"), copied(chain.store) as store, replayed(store, chain) as app:
        if not app.height:
            raise Trouble(f"the {chain.sort} chain has no block yet")
        made = Snapshots(folder).make(app, app.height)
        told = {"height": made.height, "chunks": len(made.hashes), "app_hash": app.app_hash.hex()}
    place = folder / str(made.height)
    show(args, {"snapshot": str(place), **told}, [f"{place}: {len(made.hashes)} chunks, app_hash {told['app_hash']}"])
    return 0


def export(args: argparse.Namespace) -> int:
    """A bundle with each chain from genesis on, which `tallygrid verify` checks; and the hashes to be trusted."""
    setting = load(args)
    chains = [setting.chain(sort) for sort in args.chain] if args.chain else setting.config.chains
    if args.bundle.exists():
        raise Trouble(f"{args.bundle} is there already")
    beside = args.bundle.with_name(args.bundle.name + ".part")
    trust: list[tuple[str, str]] = []
    with progress("writing the bundle"), beside.open("wb") as stream:
        count = bundle.write(stream, _records(chains, trust), "the chains of a node")
    beside.replace(args.bundle)
    told = {"bundle": str(args.bundle), "records": count, "genesis": dict(trust)}
    lines = [f"{args.bundle}: {count} records; `tallygrid verify` checks it against the hashes that you trust:"]
    show(args, told, [*lines, *(f"{found}  {name}" for name, found in trust)])
    return 0


def _records(chains: list[ChainConfig], trust: list[tuple[str, str]]) -> Iterator[tuple[str, list[Any]]]:
    for chain in chains:
        with copied(chain.store) as store:
            trust.append((store.chain_id, evidence.genesis_hash(store.genesis).hex()))
            yield from evidence.records(store, chain.sort)
