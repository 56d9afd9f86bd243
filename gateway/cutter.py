"""When a slave block is cut.

Owns: the messages that wait to be sealed. Pure.
Refuses: a message that no block could hold.
Invariant: messages are sealed in the order in which they were stored; a block's body is at most 125,000 bytes; nothing
waits longer than `age_ms`, and what is urgent does not wait at all. Ages are of a clock that never steps.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import NamedTuple

from wire.chain.slave import BODY_MAX

AGE_MS = 1_000


class Waiting(NamedTuple):
    n: int
    raw: bytes
    urgent: bool
    since_ms: int


class Cut(NamedTuple):
    """The next block: messages `first_n` … `last_n` as they are stored."""

    first_n: int
    last_n: int
    body: list[bytes]
    urgency: int
    since_ms: int  # of its oldest message


@dataclass
class Cutter:
    age_ms: int = AGE_MS
    body_max: int = BODY_MAX
    waiting: deque[Waiting] = field(default_factory=deque)
    size: int = 0
    urgent: int = 0

    def add(self, n: int, raw: bytes, urgent: bool, now_ms: int) -> None:
        assert len(raw) <= self.body_max, "intake lets nothing through that no block can hold"
        self.waiting.append(Waiting(n, raw, urgent, now_ms))
        self.size += len(raw)
        self.urgent += urgent

    def cut(self, now_ms: int) -> list[Cut]:
        """The blocks that are due now, oldest first."""
        cuts = []
        while self.waiting and (
            self.size > self.body_max or self.urgent or now_ms - self.waiting[0].since_ms >= self.age_ms
        ):
            cuts.append(self._block())
        return cuts

    def _block(self) -> Cut:
        first, size, urgent, body = self.waiting[0], 0, 0, []
        last_n = first.n
        while self.waiting and size + len(self.waiting[0].raw) <= self.body_max:
            last_n, raw, is_urgent, _ = self.waiting.popleft()
            body.append(raw)
            size += len(raw)
            urgent += is_urgent
        self.size -= size
        self.urgent -= urgent
        return Cut(first.n, last_n, body, int(urgent > 0), first.since_ms)

    def due_ms(self) -> int | None:
        """When the oldest waiting message is old enough, None where nothing waits."""
        return self.waiting[0].since_ms + self.age_ms if self.waiting else None
