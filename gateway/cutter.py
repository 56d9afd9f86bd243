"""When a slave block is cut.

Owns: the messages that wait to be sealed. Pure.
Refuses: a message that no block could hold.
Invariant: messages are sealed in the order in which they were stored; a block's body is at most 125,000 bytes; nothing
waits longer than `age_ms`, and what is urgent does not wait at all.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from wire.chain.slave import BODY_MAX

AGE_MS = 1_000


@dataclass(frozen=True)
class Cut:
    """The next block's body: how many of the oldest waiting messages, and whether one of them is urgent."""

    count: int
    urgency: int


@dataclass
class Cutter:
    age_ms: int = AGE_MS
    body_max: int = BODY_MAX
    waiting: list[tuple[int, bool, int]] = field(default_factory=list)  # size, urgent, stored at (ms)

    def add(self, size: int, urgent: bool, now_ms: int) -> None:
        assert size <= self.body_max, "intake lets nothing through that no block can hold"
        self.waiting.append((size, urgent, now_ms))

    def cut(self, now_ms: int) -> list[Cut]:
        """The blocks that are due now, oldest first."""
        cuts = []
        while self.waiting:
            count, size, urgent = 0, 0, False
            for length, is_urgent, _ in self.waiting:
                if size + length > self.body_max:
                    break
                count, size, urgent = count + 1, size + length, urgent or is_urgent
            full = count < len(self.waiting)
            if not (full or urgent or now_ms - self.waiting[0][2] >= self.age_ms):
                break
            cuts.append(Cut(count, int(urgent)))
            del self.waiting[:count]
        return cuts

    def due_ms(self) -> int | None:
        """When the oldest waiting message is old enough, None where nothing waits."""
        return self.waiting[0][2] + self.age_ms if self.waiting else None
