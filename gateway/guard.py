"""What one device may cost: a bound on messages that are looked at, and on refusals that are written down.

Owns: two counts for each device and window of time. Pure.
Refuses: by saying no; what that means for the message is the caller's.
Invariant: the memory is that of the devices heard in one window; a clock that steps begins a new one.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Window:
    """At most `most` a key in `length_ms`."""

    most: int
    length_ms: int
    since_ms: int = 0
    counts: dict[object, int] = field(default_factory=dict)

    def allows(self, key: object, now_ms: int) -> bool:
        if not 0 <= now_ms - self.since_ms < self.length_ms:
            self.since_ms = now_ms
            self.counts.clear()
        count = self.counts.get(key, 0) + 1
        self.counts[key] = count
        return count <= self.most
