"""What the three chains told, folded block by block: the last blocks, transfers across, grants, payments, commands.

Owns: the tables that the chains page shows, and the proof steps of a transfer, joined from both chains.
Refuses: anything that is not in an event of a block.
Invariant: the order in which blocks of different chains arrive changes nothing.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ledger.client import ClientBlock
from ledger.dispatch import Side, Why
from pilot.page import wording
from pilot.page.boards import Notice
from wire.chain.kinds import EVERY, SCHEDULE, SISTERS, TRANSACTION
from wire.command import ACTIONS

BLOCKS_SHOWN = 8
KEPT = 60
HEADERS_KEPT = 400
SISTER = {TRANSACTION: SCHEDULE, SCHEDULE: TRANSACTION}
WHY = {
    Why.QUOTA: "all of it moved",
    Why.DONE: "the order is through",
    Why.TRIP: "the station tripped",
    Why.LEASE: "its lease ended",
    Why.CANCEL: "cancelled",
    Why.REFUSED: "the station refused",
}
# An event that alone says something worth a line: (words, whether it is an alarm).
TOLD = {
    "clients/frozen": ("follows another chain no further: two headers contradict each other", True),
    "lock/closed": ("takes no new transfers: the lock is closed", False),
    "lock/reopened": ("takes transfers again", False),
}


class At(NamedTuple):
    height: int
    time_s: int


class Header(NamedTuple):
    """A header of the other chain that was verified here."""

    height: int
    at: At


class Shown(NamedTuple):
    """A block's line."""

    at: At
    txs: int
    urgent: bool
    words: str


class Locked(NamedTuple):
    owner: bytes
    amount: int
    at: At


class Unlocked(NamedTuple):
    to: bytes
    credit: int
    at: At


class Transfer(NamedTuple):
    """Value on its way from one sister to the other; None is a step not taken, or one before the page's memory."""

    source: str
    lock: int
    locked: Locked | None
    known: At | None  # there: a header that the lock can be proven under
    unlocked: Unlocked | None
    back: At | None  # here: a header that the receipt can be proven under
    done: At | None
    refunded: At | None


@dataclass
class Grant:
    number: int
    station: bytes
    order: int
    units: int
    opened_s: int
    paid: int = 0
    moved_s: int = 0
    station_wh: int | None = None
    user_wh: int | None = None
    why: Why | None = None
    closed: bool = False


class Payment(NamedTuple):
    number: int
    giver: bytes
    taker: bytes
    amount_wh: int
    at: At


class Command(NamedTuple):
    station: bytes
    counter: int
    action: str
    limit_w: int
    energy_wh: int
    lease_until: int
    at: At


class Order(NamedTuple):
    user: bytes
    side: Side


@dataclass
class Chains:
    ids: dict[str, str]  # sort: chain id
    confirmations: int
    blocks: dict[str, deque[Shown]] = field(
        default_factory=lambda: {sort: deque(maxlen=BLOCKS_SHOWN) for sort in EVERY}
    )
    grants: dict[int, Grant] = field(default_factory=dict)
    payments: deque[Payment] = field(default_factory=lambda: deque(maxlen=KEPT))
    commands: deque[Command] = field(default_factory=lambda: deque(maxlen=KEPT))
    notices: deque[Notice] = field(default_factory=lambda: deque(maxlen=KEPT))
    paid: int = 0  # units, since the page remembers
    sealed: int = 0  # slave blocks
    orders: dict[int, Order] = field(default_factory=dict)
    _headers: dict[str, deque[Header]] = field(
        default_factory=lambda: {sort: deque(maxlen=HEADERS_KEPT) for sort in SISTERS}
    )
    _locked: dict[tuple[str, int], Locked] = field(default_factory=dict)
    _unlocked: dict[tuple[str, int], Unlocked] = field(default_factory=dict)  # by the chain where it was locked
    _done: dict[tuple[str, int], At] = field(default_factory=dict)
    _refunded: dict[tuple[str, int], At] = field(default_factory=dict)

    def height(self, sort: str) -> int:
        return self.blocks[sort][-1].at.height if self.blocks[sort] else 0

    def take(self, sort: str, block: ClientBlock) -> None:
        at = At(block.height, block.time_s)
        for kind, fields in block.events:
            handler = _HANDLERS.get(kind)
            if handler is not None:
                handler(self, sort, at, fields)
            elif kind in TOLD:
                self.notices.append(Notice(at.time_s, f"the {sort} chain", *TOLD[kind]))
        for reason in block.refused:
            self.notices.append(Notice(at.time_s, f"the {sort} chain", f"refused a transaction: {reason}", False))
        urgent = any(kind == "slaves/block" and fields["urgency"] for kind, fields in block.events)
        self.blocks[sort].append(Shown(at, len(block.txs), urgent, summary(block)))

    def transfers(self) -> list[Transfer]:
        """Newest first."""
        keys = {*self._locked, *self._unlocked, *self._done, *self._refunded}
        found = [self._transfer(*key) for key in keys]
        return sorted(found, key=lambda one: (_began(one), one.lock), reverse=True)

    def _transfer(self, source: str, lock: int) -> Transfer:
        key = (source, lock)
        locked, unlocked = self._locked.get(key), self._unlocked.get(key)
        known = self._first(SISTER[source], locked.at.height) if locked else None
        back = self._first(source, unlocked.at.height) if unlocked else None
        return Transfer(source, lock, locked, known, unlocked, back, self._done.get(key), self._refunded.get(key))

    def _first(self, sort: str, height: int) -> At | None:
        """When `sort` first knew a header of its sister that is far enough above that height."""
        headers = (header.at for header in self._headers[sort] if header.height >= height + self.confirmations)
        return next(headers, None)

    # ------------------------------------------------------------ events

    def _on_header(self, sort: str, at: At, fields: dict[str, Any]) -> None:
        if sort in SISTER and fields["chain"] == self.ids[SISTER[sort]]:
            self._headers[sort].append(Header(fields["height"], at))

    def _on_locked(self, sort: str, at: At, fields: dict[str, Any]) -> None:
        _keep(self._locked, (sort, fields["lock"]), Locked(fields["owner"], fields["amount"], at))

    def _on_unlocked(self, sort: str, at: At, fields: dict[str, Any]) -> None:
        _keep(self._unlocked, (SISTER[sort], fields["lock"]), Unlocked(fields["to"], fields["credit"], at))

    def _on_done(self, sort: str, at: At, fields: dict[str, Any]) -> None:
        _keep(self._done, (sort, fields["lock"]), at)

    def _on_refunded(self, sort: str, at: At, fields: dict[str, Any]) -> None:
        _keep(self._refunded, (sort, fields["lock"]), at)

    def _on_ordered(self, sort: str, at: At, fields: dict[str, Any]) -> None:
        _keep(self.orders, fields["order"], Order(fields["user"], Side(fields["side"])))

    def _on_granted(self, sort: str, at: At, fields: dict[str, Any]) -> None:
        grant = Grant(fields["grant"], fields["station"], fields["order"], fields["units"], at.time_s)
        _keep(self.grants, grant.number, grant)

    def _on_left(self, sort: str, at: At, fields: dict[str, Any]) -> None:
        if fields["grant"] in self.grants:
            self.grants[fields["grant"]].why = Why(fields["why"])
        if fields["why"] == Why.TRIP:
            self.notices.append(Notice(at.time_s, fields["station"], f"tripped: grant {fields['grant']} is over", True))

    def _on_closed(self, sort: str, at: At, fields: dict[str, Any]) -> None:
        grant = self.grants.get(fields["grant"])
        if grant is not None:
            grant.closed, grant.paid = True, fields["units"]
            grant.station_wh, grant.user_wh = fields["station_wh"], fields["user_wh"]

    def _on_unit(self, sort: str, at: At, fields: dict[str, Any]) -> None:
        self.paid += 1
        grant = self.grants.get(fields["grant"])
        if grant is not None:
            grant.paid, grant.moved_s = grant.paid + 1, at.time_s
        self.payments.append(Payment(self.paid, fields["giver"], fields["taker"], fields["amount"], at))

    def _on_command(self, sort: str, at: At, fields: dict[str, Any]) -> None:
        words = ACTIONS[fields["action"]], fields["limit_w"], fields["energy_wh"], fields["lease_until"]
        self.commands.append(Command(fields["station"], fields["counter"], *words, at))

    def _on_slave(self, sort: str, at: At, fields: dict[str, Any]) -> None:
        self.sealed += 1

    def _on_settled(self, sort: str, at: At, fields: dict[str, Any]) -> None:
        words = f"settled the period: {wording.energy(fields['amount'])} of rights go to the company"
        self.notices.append(Notice(at.time_s, fields["station"], words, False))


_HANDLERS = {
    "clients/header": Chains._on_header,
    "lock/locked": Chains._on_locked,
    "lock/unlocked": Chains._on_unlocked,
    "lock/done": Chains._on_done,
    "lock/refunded": Chains._on_refunded,
    "dispatch/ordered": Chains._on_ordered,
    "dispatch/granted": Chains._on_granted,
    "dispatch/left": Chains._on_left,
    "dispatch/closed": Chains._on_closed,
    "settlement/unit": Chains._on_unit,
    "command": Chains._on_command,
    "slaves/block": Chains._on_slave,
    "supply/settled": Chains._on_settled,
}


def _keep(table: dict[Any, Any], key: Any, value: Any) -> None:
    table[key] = value
    while len(table) > KEPT:
        del table[next(iter(table))]


def _began(transfer: Transfer) -> int:
    moments = [transfer.locked and transfer.locked.at, transfer.unlocked and transfer.unlocked.at]
    return min(at.time_s for at in [*moments, transfer.done, transfer.refunded] if at)


# What a block holds, in words: events that are counted, one word and many.
COUNTED = {
    "slaves/block": ("slave block", "slave blocks"),
    "registry/entry": ("device entered", "devices entered"),
    "registry/taken": ("device known", "devices known"),
    "lock/locked": ("lock", "locks"),
    "lock/unlocked": ("unlock", "unlocks"),
    "lock/done": ("acknowledgement", "acknowledgements"),
    "lock/refunded": ("refund", "refunds"),
    "clients/header": ("header of another chain", "headers of other chains"),
    "dispatch/ordered": ("order", "orders"),
    "dispatch/granted": ("grant", "grants"),
    "dispatch/closed": ("grant closed", "grants closed"),
    "dispatch/state": ("station state", "station states"),
    "command": ("command", "commands"),
    "settlement/unit": ("unit paid", "units paid"),
    "settlement/receipt": ("receipt", "receipts"),
    "supply/settled": ("period settled", "periods settled"),
}


def summary(block: ClientBlock) -> str:
    counts = {kind: sum(kind == happened for happened, _ in block.events) for kind in COUNTED}
    words = [wording.count(number, *COUNTED[kind]) for kind, number in counts.items() if number]
    readings = len(block.txs) and not words
    return ", ".join(words) or ("readings" if readings else "empty: it confirms the one before")
