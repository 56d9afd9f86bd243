"""The pilot's figures: what was made, sealed, verified, moved and paid, and what it cost.

Owns: reading them from gateway, chains and processes; what the live summary says.
Refuses: figures from what a part says of itself where the chain or the disk can be asked.
"""

from __future__ import annotations

import math
from typing import Any

from gateway.registry import open_enrolment
from gateway.store_read import Books
from ledger.client import ChainClient
from pilot.balance import energy_balance_error
from pilot.boards import GRID_LOG
from pilot.errors import Unavailable
from pilot.founding import Founded
from pilot.pursuit import Pursuit
from pilot.story import Figures
from pilot.supervisor import Supervisor, children, usage
from wire import envelope, report, rows
from wire.chain import slave
from wire.chain.keys import KeyRing
from wire.enrol import Entry
from wire.errors import WireError


async def summary_of(
    founded: Founded, clients: dict[str, ChainClient], figures: Figures, ids: dict[str, bytes]
) -> list[str]:
    """What the run has come to, in two lines."""
    books = Books.open(founded.folder / "gateway" / "gateway.db")
    counts, alarms = books.counts(), len(books.alarms())
    places = {board.name: board.sensors[0].at for board in founded.site.boards}
    roots = {one.name for one in (*founded.site.houses, *founded.site.stations)}
    registers = [_register(books, id) for board, id in ids.items() if places[board] in roots]
    books.close()
    heights = [str((await clients[sort].status())[0]) for sort in founded.chains]
    tokens = await clients["transaction"].query("lock")
    rights = await clients["schedule"].query("lock")
    moved = [sum(column) / 1_000 for column in zip(*registers, strict=True)]
    hands = f"{tokens['circulation'] / 1_000:,.2f} tokens and {rights['circulation']:,} Wh of rights in hands"
    energy = f"energy in {moved[0]:.2f} kWh, out {moved[1]:.2f} kWh"
    chains = f"main, transaction, schedule at {', '.join(heights)}"
    return [
        f"{energy} · {counts['readings_sealed']} readings in {counts['blocks']} blocks · {chains} · {alarms} alarms",
        f"{figures.purchases} purchases · {hands} · {figures.units} units paid · {figures.trips} trips",
    ]


def _register(books: Books, device: bytes) -> tuple[int, int]:
    """Import and export of a device so far, by its own last reading."""
    for message in books.last_rows(device, 4):
        if message.kind == "report":
            row = report.decode(envelope.split(message.raw).payload).rows[-1]
            return row[1], row[2]
    return 0, 0


async def figures_of(
    founded: Founded,
    clients: dict[str, ChainClient],
    figures: Figures,
    supervisor: Supervisor,
    first_block_s: float | None,
    speed: float,
) -> dict[str, Any]:
    tokens = await clients["transaction"].query("lock")
    rights = await clients["schedule"].query("lock")
    return {
        **_readings(founded),
        **_supply(tokens, rights),
        **_balance(founded, supervisor),
        "purchases": figures.purchases,
        "commands": figures.commands,
        "receipts": figures.receipts,
        "units_paid": figures.units,
        "trips": figures.trips,
        "errors": figures.errors,
        "start_to_first_block_s": first_block_s,
        "transfer_p50_ms": _percentile(figures.transfer_ms, 50),
        "transfer_p99_ms": _percentile(figures.transfer_ms, 99),
        **_pursuit(figures.pursuit, speed),
        "restarts": supervisor.restarts,
        "parts": _parts(supervisor),
    }


def _percentile(values: list[float], percent: int) -> float | None:
    """The smallest value that so many per cent do not exceed."""
    return round(sorted(values)[math.ceil(len(values) * percent / 100) - 1], 1) if values else None


def _balance(founded: Founded, supervisor: Supervisor) -> dict[str, Any]:
    run = founded.folder / "run"
    try:
        if supervisor.parts["emulator"].deaths:
            raise Unavailable("the emulator was started again, and its street began anew")
        error = energy_balance_error(founded.site, founded.folder / "gateway" / "gateway.db", run / GRID_LOG)
    except Unavailable as why:
        return {"energy_balance_error": None, "energy_balance_why": str(why)}
    return {"energy_balance_error": round(error, 6)}


def _pursuit(pursuit: Pursuit, speed: float) -> dict[str, Any]:
    """What was not measured is counted beside it."""
    told = {
        "purchases_measured": len(pursuit.took_ms),
        "purchases_waited": pursuit.waited,
        "purchases_cut_off": pursuit.struck,
        "purchases_unchanged": pursuit.unchanged,
    }
    if speed != 1:
        return {"purchase_to_relay_p99_ms": None, "purchase_to_relay_why": "the site runs faster than the wall", **told}
    return {
        "purchase_to_relay_p50_ms": _percentile(pursuit.took_ms, 50),
        "purchase_to_relay_p99_ms": _percentile(pursuit.took_ms, 99),
        **told,
    }


def _readings(founded: Founded) -> dict[str, int]:
    """Counted anew from the gateway's disk: every block linked and signed, every row's device signature checked."""
    store = Books.open(founded.folder / "gateway" / "gateway.db")
    counts = store.counts()
    devices, gateways = KeyRing(), KeyRing()
    gateways.add(founded.keys["gateway"].public_key)
    for raw in store.entries():
        _learn(devices, raw)
    verified = gaps = duplicates = 0
    height, previous = 0, slave.START
    next_seq: dict[bytes, int] = {}
    for number in range(1, store.tip()[0] + 1):
        block = store.block(number)
        block.check_signature(gateways)
        block.check_link(height, previous)
        block.check_body()
        height, previous = number, block.header.hash()
        for raw in block.body:
            found = _report(raw, devices)
            if found is None:
                continue
            due = next_seq.get(found.id, found.seq)
            gaps += found.seq > due
            duplicates += found.seq < due
            next_seq[found.id] = found.next_seq
            verified += len(found.rows)
    store.close()
    return {
        "readings_made": counts["readings"],
        "readings_sealed": counts["readings_sealed"],
        "readings_verified": verified,
        "gaps": gaps,
        "duplicates": duplicates,
    }


def _learn(devices: KeyRing, entry: bytes) -> None:
    enrolment, _ = open_enrolment(Entry.decode(envelope.split(entry).payload).enrolment)
    devices.add(enrolment.public_key)


def _report(raw: bytes, devices: KeyRing) -> report.Report | None:
    try:
        signed = envelope.split(raw)
        return report.decode(signed.check(devices, rows.DOMAIN))
    except WireError:
        return None  # another kind of message


def _supply(tokens: dict[str, Any], rights: dict[str, Any]) -> dict[str, int]:
    """All value on each chain, its lock pool and what is under way included: as genesis made it, and as it is."""
    return {
        "tokens_before": tokens["supply"],
        "tokens_after": tokens["circulation"] + tokens["pending_amount"] + tokens["pool"],
        "rights_before": rights["supply"],
        "rights_after": rights["circulation"] + rights["pending_amount"] + rights["pool"],
    }


def _parts(supervisor: Supervisor) -> dict[str, dict[str, float]]:
    parts = {name: supervisor.measure(part) for name, part in supervisor.parts.items()}
    emulator = supervisor.parts.get("emulator")
    if emulator is not None and emulator.process is not None:
        boards = [usage(pid) for pid in children(emulator.process.pid)]
        if boards:
            parts["boards"] = {
                "cpu_s": round(max(cpu_s for cpu_s, _ in boards), 2),
                "rss_mb": round(max(rss_mb for _, rss_mb in boards), 1),
            }
    return parts
