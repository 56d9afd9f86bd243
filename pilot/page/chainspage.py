"""The chains page: what pilot/page/chains.py folded, as strings.

Owns: the columns of its tables and their words.
Refuses: I/O; time other than the one given.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from ledger.dispatch import Side
from pilot.page import wording
from pilot.page.boards import Boards
from pilot.page.cabinet import Sealed
from pilot.page.chains import SISTER, WHY, At, Chains, Command, Grant, Payment, Shown, Transfer
from pilot.page.node import Node
from pilot.page.view import Row, View
from wire.chain.kinds import EVERY, TRANSACTION

SHOWN = 8
NOT_YET, BEFORE = "not yet", "earlier"


@dataclass
class ChainsPage:
    chains: Chains
    node: Node
    boards: Boards
    name: Callable[[bytes], str]
    offset_min: int
    unit_wh: int
    sealed: list[Sealed] = field(default_factory=list)  # the gateway's last blocks, newest first
    waiting: int = 0  # messages that no block holds yet

    def view(self, now_s: int) -> View:
        view = View(text={"clock": wording.clock(now_s, self.offset_min)})
        for sort in EVERY:
            self._chain(view, sort)
        view.table["slaves"] = [self._slave(block) for block in self.sealed]
        view.text["slaves.waiting"] = wording.count(self.waiting, "message waits", "messages wait")
        view.table["transfers"] = [self._transfer(one) for one in self.chains.transfers()[:SHOWN]]
        grants = sorted(self.chains.grants.values(), key=lambda grant: grant.number, reverse=True)
        view.table["grants"] = [self._grant(grant) for grant in grants[:SHOWN]]
        view.table["payments"] = [self._payment(one) for one in list(self.chains.payments)[: -SHOWN - 1 : -1]]
        view.table["commands"] = [self._command(one) for one in list(self.chains.commands)[: -SHOWN - 1 : -1]]
        self._totals(view)
        return view

    def _clock(self, at_s: int) -> str:
        return wording.clock(at_s, self.offset_min)

    def _chain(self, view: View, sort: str) -> None:
        blocks = self.chains.blocks[sort]
        view.text[f"{sort}.height"] = str(self.chains.height(sort))
        view.at_s[f"{sort}.at"] = blocks[-1].at.time_s if blocks else 0
        view.attr[f"{sort}.node"] = {"data-state": "down" if sort in self.node.down else "up"}
        view.text[f"{sort}.node"] = "its node does not answer" if sort in self.node.down else ""
        view.table[f"{sort}.blocks"] = [self._block(block) for block in reversed(blocks)]

    def _block(self, block: Shown) -> Row:
        words = f"urgent: {block.words}" if block.urgent else block.words
        cells = (str(block.at.height), self._clock(block.at.time_s), str(block.txs), words)
        return Row(str(block.at.height), cells, "urgent" if block.urgent else "")

    def _slave(self, block: Sealed) -> Row:
        confirmed = f"block {block.main_height}" if block.main_height else NOT_YET
        urgency = "urgent" if block.urgency else "usual"
        cells = (str(block.height), self._clock(block.at_s), urgency, str(block.messages), confirmed)
        return Row(str(block.height), cells, "" if block.main_height else "waiting")

    # ------------------------------------------------------------ across

    def _transfer(self, one: Transfer) -> Row:
        """Locked → header known → unlocked → acknowledged; or refunded."""
        ends = [at.time_s for at in (one.locked and one.locked.at, one.done or one.refunded) if at]
        took = wording.duration(ends[1] - ends[0]) if len(ends) == 2 else wording.UNKNOWN
        last = f"refunded {self._step(one.refunded)}" if one.refunded else self._step(one.done)
        cells = (
            f"{one.lock}, from the {one.source} chain",
            self._value(one),
            self._step(one.locked and one.locked.at, bool(one.unlocked or one.done)),
            self._step(one.known, bool(one.unlocked)),
            self._step(one.unlocked and one.unlocked.at),
            last,
            took,
        )
        return Row(f"{one.source} {one.lock}", cells, "" if one.done else "refunded" if one.refunded else "waiting")

    def _step(self, at: At | None, passed: bool = False) -> str:
        if at is None:
            return BEFORE if passed else NOT_YET
        return f"{self._clock(at.time_s)}, block\N{NO-BREAK SPACE}{at.height}"

    def _value(self, one: Transfer) -> str:
        left = self._amount(one.source, one.locked.amount) + f" of {self.name(one.locked.owner)}" if one.locked else "?"
        there = SISTER[one.source]
        right = self._amount(there, one.unlocked.credit) + f" for {self.name(one.unlocked.to)}" if one.unlocked else "…"
        return f"{left} → {right}"

    def _amount(self, sort: str, amount: int) -> str:
        return wording.tokens(amount) if sort == TRANSACTION else f"{wording.energy(amount)} of rights"

    # ------------------------------------------------------------ energy

    def _grant(self, grant: Grant) -> Row:
        order = self.chains.orders.get(grant.order)
        user = self.name(order.user) if order else f"order {grant.order}"
        station = self.name(grant.station)
        way = f"{station} → {user}" if order is None or order.side == Side.BUY else f"{user} → {station}"
        moved = f"{wording.energy(grant.paid * self.unit_wh)} of {wording.energy(grant.units * self.unit_wh)}"
        state = "done" if grant.closed else "closing" if grant.why is not None else "open"
        why = f": {WHY[grant.why]}" if grant.why is not None else ""
        cells = (str(grant.number), way, moved, state + why, self._clock(grant.moved_s) if grant.moved_s else NOT_YET)
        return Row(str(grant.number), cells, state)

    def _payment(self, one: Payment) -> Row:
        cells = (
            self._clock(one.at.time_s),
            f"{self.name(one.giver)} → {self.name(one.taker)}",
            wording.energy(one.amount_wh),
            str(one.at.height),
        )
        return Row(str(one.number), cells)

    def _command(self, one: Command) -> Row:
        parts = self.boards.receipts.get((one.station, one.counter), {})
        order = one.action
        if one.limit_w:
            order += f" with {wording.power(one.limit_w)}, {wording.energy(one.energy_wh)} in all"
        cells = (
            self._clock(one.at.time_s),
            f"{self.name(one.station)} {one.counter}",
            order,
            self._clock(one.lease_until),
            parts.get(1, NOT_YET),
            parts.get(2, NOT_YET if one.limit_w else wording.UNKNOWN),
        )
        return Row(f"{one.station.hex()} {one.counter}", cells, "" if parts else "waiting")

    def _totals(self, view: View) -> None:
        """What each sister holds: in circulation, under way, in the pool."""
        rows = []
        for sort, totals in sorted(self.node.totals.items(), reverse=True):
            parts = (totals["circulation"], totals["pending_amount"], totals["pool"], totals["supply"])
            whole = sum(parts[:3]) == parts[3]
            cells = (sort, *(self._plain(sort, part) for part in parts), "adds up" if whole else "does not add up")
            rows.append(Row(sort, cells, "" if whole else "alarm"))
        view.table["totals"] = rows

    def _plain(self, sort: str, amount: int) -> str:
        return wording.tokens(amount) if sort == TRANSACTION else wording.energy(amount)
