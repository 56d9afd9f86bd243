"""Who hears a beat, and when.

Owns: each greeted device's nonce and count, the period, and the rule of at most one beat a second after stored batches.
Pure.
Refuses: a device that said no hello since it last went.
Invariant: a beat's position is what the store holds durably; its count rises for each nonce. A clock that steps back
makes every beat due, not late.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from heapq import heappop, heappush

from gateway.sequence import Position
from wire.hello import PERIOD_S, Beat, Hello

EXTRA_MS = 1_000  # at most one beat a second


@dataclass(slots=True)
class Pulse:
    nonce: bytes
    count: int = 0
    last_ms: int | None = None
    due_ms: int = 0


@dataclass
class Beats:
    """`positions` gives where a device stands durably; None while nobody knows."""

    positions: Callable[[bytes], Position | None]
    period_s: int = PERIOD_S
    pulses: dict[bytes, Pulse] = field(default_factory=dict)
    _queue: list[tuple[int, bytes]] = field(default_factory=list)
    _now_ms: int = 0

    def greet(self, hello: Hello, now_ms: int) -> None:
        known = self.pulses.get(hello.id)
        if known is None or known.nonce != hello.nonce:
            self.pulses[hello.id] = Pulse(hello.nonce, last_ms=known.last_ms if known else None)
        self.want(hello.id, now_ms)

    def gone(self, device: bytes) -> None:
        self.pulses.pop(device, None)

    def want(self, device: bytes, now_ms: int) -> None:
        """Something was stored for it, or it has just said hello: soon, though at most one a second."""
        pulse = self.pulses.get(device)
        if pulse is not None:
            soon = now_ms if pulse.last_ms is None else max(now_ms, pulse.last_ms + EXTRA_MS)
            if not now_ms <= pulse.due_ms <= soon:
                self._plan(device, pulse, soon)

    def next_ms(self) -> int | None:
        """When the next one is due."""
        while self._queue:
            due_ms, device = self._queue[0]
            pulse = self.pulses.get(device)
            if pulse is not None and pulse.due_ms == due_ms:
                return due_ms
            heappop(self._queue)
        return None

    def due(self, now_ms: int, quality: int) -> list[Beat]:
        if now_ms < self._now_ms:
            for device, pulse in self.pulses.items():
                pulse.last_ms = None
                self._plan(device, pulse, now_ms)
        self._now_ms = now_ms
        beats = []
        while (due_ms := self.next_ms()) is not None and due_ms <= now_ms:
            _, device = heappop(self._queue)
            pulse, position = self.pulses[device], self.positions(device)
            self._plan(device, pulse, now_ms + self.period_s * 1_000)
            if position is not None:
                beats.append(self._beat(device, pulse, position, now_ms, quality))
        return beats

    def _plan(self, device: bytes, pulse: Pulse, due_ms: int) -> None:
        pulse.due_ms = due_ms
        heappush(self._queue, (due_ms, device))

    def _beat(self, device: bytes, pulse: Pulse, position: Position, now_ms: int, quality: int) -> Beat:
        pulse.count += 1
        pulse.last_ms = now_ms
        return Beat(
            id=device,
            nonce=pulse.nonce,
            count=pulse.count,
            time_s=now_ms // 1_000,
            quality=quality,
            next_seq=position.next_seq,
            head=position.head,
            period_s=self.period_s,
        )
