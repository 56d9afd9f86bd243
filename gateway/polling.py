"""Whose turn it is on a bus.

Owns: each device's period and the moment of its next turn; how long one that does not answer is left alone. Pure.
Refuses: asking anybody.
Invariants: a device that answers keeps its period, whoever else on the bus is dead; a dead one costs its own turn, and
less and less often; turns are spread, so that no two devices of one period begin together.
"""

from __future__ import annotations

from dataclasses import dataclass, field

BACKOFF_MS = 60_000


@dataclass(slots=True)
class Turn:
    name: str
    period_ms: int
    due_ms: int
    failures: int = 0  # in a row


@dataclass
class Rota:
    turns: list[Turn] = field(default_factory=list)

    def begin(self, periods: dict[str, int], now_ms: int) -> None:
        count = len(periods)
        self.turns = [
            Turn(name, period_ms, now_ms + place * period_ms // count)
            for place, (name, period_ms) in enumerate(periods.items())
        ]

    def next(self, now_ms: int) -> Turn:
        """The one that has waited longest; of those that are due already, one that answers before one that does not."""
        return min(
            self.turns, key=lambda turn: (turn.due_ms > now_ms, turn.due_ms <= now_ms and turn.failures, turn.due_ms)
        )

    def done(self, turn: Turn, answered: bool, now_ms: int) -> None:
        if answered:
            turn.failures = 0
            turn.due_ms += turn.period_ms
            if not now_ms - turn.period_ms < turn.due_ms <= now_ms + turn.period_ms:
                turn.due_ms = now_ms + turn.period_ms  # the bus is too slow for all, or the clock stepped
        else:
            turn.failures += 1
            turn.due_ms = now_ms + min(turn.period_ms << min(turn.failures, 10), max(BACKOFF_MS, turn.period_ms))
