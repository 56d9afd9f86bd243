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
        """The next block's, in order of arrival. They stay here until `done`; those that can go in no block leave."""
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
                self._done(waiting, Receipt(0, 0, Result("sequence", "another one's turn")))
            else:
                self._waiting.move_to_end(waiting.name)  # not in the way of those whose turn it is
        return picked

    def done(self, height: int, picked: Sequence[Waiting], results: Sequence[Result]) -> None:
        for index, (waiting, result) in enumerate(zip(picked, results, strict=True)):
            self._done(waiting, Receipt(height, index, result))

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
