"""Experiment 1: value across the sister chains (figures 8 to 13).

Owns: the calls, the paper's figures 8 to 13, the comparison.
Refuses: a figure that was not read from a chain through its API.

A user buys 73 rights, turns 20 back, the company turns 300 back; c = 6, rate 1, blocks of 10 transactions or 1 s.
Wallets are read before and after each step, records after all, and then two keys try to read the chain that they are
not on.
"""

from __future__ import annotations

from collections.abc import Callable

from ledger.client import ChainClient
from ledger.engines.local import Rules
from pilot.experiments.cells import Cell, Outcome
from pilot.experiments.lab import UNIT, Lab, Setup, key, open_lab
from pilot.experiments.peek import what_is_read
from wire.chain import kinds
from wire.chain.kinds import SCHEDULE, TRANSACTION

TAKEN_UP_S = 3_600
PAPER_RULES = Rules(max_wait_s=1.0, max_txs=10)

WALLETS = [  # figure, moment, owner, chain, the paper's balance
    (8, "before", "Client1", "T", 1000),
    (8, "before", "Client1", "S", 0),
    (8, "before", "EC", "T", 1000),
    (8, "after", "Client1", "T", 927),
    (8, "after", "Client1", "S", 73),
    (8, "after", "EC", "T", 1000),
    (9, "before", "Client1", "S", 73),
    (9, "before", "Client1", "T", 927),
    (9, "after", "Client1", "S", 53),
    (9, "after", "Client1", "T", 947),
    (10, "before", "EC", "S", 1000),
    (10, "before", "EC", "T", 1000),
    (10, "after", "EC", "S", 700),
    (10, "after", "EC", "T", 1300),
]
RECORDS = {
    11: ["Client1→EC 73", "Client1→Client1 20", "EC→EC 300"],
    12: ["EC→Client1 73", "Client1→Client1 20", "EC→EC 300"],
}
SINGLE_CHAIN = [  # figure 13 from its fourth record on
    ("EC", "EC", 150), ("Client1", "Client1", 30), ("EC", "EC", 200), ("Client2", "EC", 65), ("Client3", "EC", 20),
    ("Client1", "Client1", 70), ("EC", "EC", 100), ("EC", "EC", 50), ("EC", "EC", 150), ("Client2", "Client2", 30),
    ("EC", "EC", 200), ("Client3", "EC", 350), ("Client3", "Client3", 10), ("Client2", "EC", 50), ("EC", "EC", 100),
]  # fmt: skip
NOT_REPRODUCIBLE = "not reproducible"
NO_SOURCE = "the paper names no transactions that these records come from"


def setup(rules: Rules) -> Setup:
    members = {
        "EC": ("company", "TS"),
        "Client1": ("user", "TS"),
        "St.a": ("station", "S"),
        "auditor": ("auditor", "T"),
        "relay": ("relay", "TS"),
    }
    wallets = {"Client1": 1000, "EC": 1000}
    return Setup(members, wallets, {"EC": 1000}, confirmations=6, rules=rules)


async def play(engine: str, say: Callable[[str], None], rules: Rules = PAPER_RULES) -> Outcome:
    async with open_lab(setup(rules), engine, say) as lab:
        wallets = await _wallets(lab)
        chains = {11: TRANSACTION, 12: SCHEDULE}
        records = {figure: await lab.records(lab.member("EC", chain)) for figure, chain in chains.items()}
        station = await what_is_read(lab, "St.a", SCHEDULE, TRANSACTION)
        auditor = await what_is_read(lab, "auditor", TRANSACTION, SCHEDULE)
    cells = [
        Cell(f"figure {n} {when} {who} {c}", paper, wallets[n, when, who, c]) for n, when, who, c, paper in WALLETS
    ]
    for figure, wanted in RECORDS.items():
        cells += _list(figure, wanted, records[figure])
    cells.append(Cell("figure 11 read by a station's key", "nothing", station))
    cells.append(Cell("figure 12 read by a money-only key", "nothing", auditor))
    cells += _list(13, RECORDS[11], records[11])
    unknown = [f"{giver}→{taker} {amount}" for giver, taker, amount in SINGLE_CHAIN]
    cells += [Cell(f"figure 13 record {n}", text, NOT_REPRODUCIBLE) for n, text in enumerate(unknown, 4)]
    differing = {f"figure 13 record {n}": NO_SOURCE for n in range(4, 19)}
    return Outcome("Experiment 1: value exchange across the sister chains", cells, differing)


def _list(figure: int, wanted: list[str], found: list[str]) -> list[Cell]:
    """A record that is missing, or one too many, is a cell that differs."""
    count = max(len(wanted), len(found))
    rows = [(rows + [""] * count)[:count] for rows in (wanted, found)]
    return [Cell(f"figure {figure} record {n}", *pair) for n, pair in enumerate(zip(*rows, strict=True), 1)]


async def _wallets(lab: Lab) -> dict[tuple[int, str, str, str], int]:
    seen: dict[tuple[int, str, str, str], int] = {}
    money, energy = lab.member("EC", TRANSACTION), lab.member("EC", SCHEDULE)

    async def look(figure: int, when: str) -> None:
        for number, moment, who, chain, _ in WALLETS:
            if (number, moment) == (figure, when):
                seen[number, moment, who, chain] = await lab.balance(money if chain == "T" else energy, who)

    await look(8, "before")
    user = lab.member("Client1", TRANSACTION)
    purchase = kinds.Purchase(
        company=key("EC").kid, to=key("Client1").kid, amount=73 * UNIT, deadline_s=lab.clock.now_s() + TAKEN_UP_S
    )
    await _send(lab, user, "PurchaseRights Client1 73", purchase)
    await look(8, "after")
    for figure, who, amount in (9, "Client1", 20), (10, "EC", 300):
        await look(figure, "before")
        owner = lab.member(who, SCHEDULE)
        exchange = kinds.Lock(to=key(who).kid, amount=amount * UNIT, deadline_s=lab.clock.now_s() + TAKEN_UP_S)
        await _send(lab, owner, f"ValueExchange {who} {amount}", exchange)
        await look(figure, "after")
    return seen


async def _send(lab: Lab, owner: ChainClient, name: str, body: kinds.Kind) -> None:
    """One call of the paper, until both chains have confirmed it."""
    started_s = lab.clock.now_ns() / 1e9
    outcome = (await owner.send(body))[0]
    assert not outcome.reason, f"{name}: {outcome.reason} {outcome.detail}"
    lock = (await owner.query("lock"))["under_way"][-1]
    lab.say(f"{name}: in block {outcome.height} of {owner.chain}, locked at {lock['purse']}")
    await lab.carried(owner)
    lab.say(
        f"{name}: unlocked and confirmed after {lab.clock.now_ns() / 1e9 - started_s:.1f} s (the paper: about 10 s)"
    )
