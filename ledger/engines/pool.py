"""Transactions that wait for a block.

Owns: their order of arrival, who waits for which receipt, what goes into the next block.
Refuses: more than it can hold; a number that is used up; a number whose predecessors do not come in time.
Invariant: a transaction waits here once, and every wait ends: in a block, with a reason, or with the engine.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import NamedTuple

from ledger.app import Result
from ledger.engines.port import Receipt

WAITING_MAX = 50_000
LATER_S = 30.0  # how long a transaction waits for those that have to go before it

TOO_LATE = Receipt(0, 0, Result("sequence", "another one's turn"))

Turn = Callable[[bytes], int]  # App.turns


class Waiting(NamedTuple):
    name: bytes
    raw: bytes
    since_s: float  # of a monotonic clock
    receipt: asyncio.Future[Receipt]


class Pool:
    def __init__(self) -> None:
        self._waiting: OrderedDict[bytes, Waiting] = OrderedDict()

    def __len__(self) -> int:
        return len(self._waiting)

    def oldest_s(self) -> float | None:
        first = next(iter(self._waiting.values()), None)
        return None if first is None else first.since_s

    def add(self, raw: bytes, now_s: float) -> Waiting | None:
        """A checked transaction; the same one again shares the wait. None where there is no room."""
        name = sha256(raw).digest()
        waiting = self._waiting.get(name)
        if waiting is None and len(self._waiting) < WAITING_MAX:
            waiting = Waiting(name, raw, now_s, asyncio.get_running_loop().create_future())
            self._waiting[name] = waiting
        return waiting

    def pick(self, turn: Turn, txs_max: int, bytes_max: int, now_s: float) -> list[Waiting]:
        """The next block's, in order of arrival. They stay here until `settle`; those that can go in no block leave."""
        picked: list[Waiting] = []
        size = 0
        for waiting in list(self._waiting.values()):
            if len(picked) == txs_max or (picked and size + len(waiting.raw) > bytes_max):
                break
            verdict = turn(waiting.name)
            if verdict == 0:
                picked.append(waiting)
                size += len(waiting.raw)
            elif verdict < 0 or now_s - waiting.since_s > LATER_S:
                self._done(waiting, TOO_LATE)
            else:
                self._waiting.move_to_end(waiting.name)  # not in the way of those whose turn it is
        return picked

    def settle(self, height: int, txs: Sequence[bytes], results: Sequence[Result]) -> None:
        """A block is in force: whoever waits for one of these has it."""
        for place, (raw, result) in enumerate(zip(txs, results, strict=True)):
            waiting = self._waiting.get(sha256(raw).digest())
            if waiting is not None:
                self._done(waiting, Receipt(height, place, result))

    def refuse(self, waiting: Waiting, result: Result) -> None:
        if waiting.name in self._waiting:
            self._done(waiting, Receipt(0, 0, result))

    def stale(self, turn: Turn, before_s: float) -> list[Waiting]:
        """What has waited since before then and may still go into a block; what may not leaves."""
        found = []
        for waiting in list(self._waiting.values()):
            if waiting.since_s >= before_s:
                continue
            if turn(waiting.name) < 0:
                self._done(waiting, TOO_LATE)
            else:
                found.append(waiting)
        return found

    def _done(self, waiting: Waiting, receipt: Receipt) -> None:
        del self._waiting[waiting.name]
        if not waiting.receipt.done():
            waiting.receipt.set_result(receipt)

    def give_up(self, failure: Exception) -> None:
        for waiting in self._waiting.values():
            if not waiting.receipt.done():
                waiting.receipt.set_exception(failure)
                waiting.receipt.exception()  # asked here, for perhaps nobody waits
        self._waiting.clear()
