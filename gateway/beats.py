"""Who hears a beat, and when.

Owns: each greeted device's nonce and count, the period, and the rule of at most one beat a second after stored batches.
Pure.
Refuses: a device that said no hello since it last went.
Invariant: a beat's position is what the store holds durably; its count rises for each nonce.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from gateway.sequence import Position
from wire.beat import PERIOD_S, Beat, Hello

EXTRA_MS = 1_000  # at most one beat a second


@dataclass
class Pulse:
    nonce: bytes
    count: int = 0
    last_ms: int = -EXTRA_MS
    wanted: bool = True  # something was stored for it, or it has just said hello


@dataclass
class Beats:
    period_s: int = PERIOD_S
    pulses: dict[bytes, Pulse] = field(default_factory=dict)

    def greet(self, hello: Hello) -> None:
        known = self.pulses.get(hello.id)
        if known is None or known.nonce != hello.nonce:
            self.pulses[hello.id] = Pulse(hello.nonce)
        else:
            known.wanted = True

    def gone(self, device: bytes) -> None:
        self.pulses.pop(device, None)

    def stored(self, device: bytes) -> None:
        pulse = self.pulses.get(device)
        if pulse is not None:
            pulse.wanted = True

    def due(self, now_ms: int) -> list[bytes]:
        """The devices whose beat is due; each is to be followed by `beat`."""
        period_ms = self.period_s * 1_000
        return [
            device
            for device, pulse in self.pulses.items()
            if now_ms - pulse.last_ms >= (EXTRA_MS if pulse.wanted else period_ms)
        ]

    def beat(self, device: bytes, position: Position, now_ms: int, quality: int) -> Beat:
        pulse = self.pulses[device]
        pulse.count += 1
        pulse.last_ms = now_ms
        pulse.wanted = False
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
