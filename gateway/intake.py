"""What a message from a device is: taken, or why not.

Owns: the order of checks: topic, size, envelope, registry, signature, domain, content, sequence. Pure.
Refuses: shape, key, signature, domain and sequence, each with a reason. Whatever is rightly signed and in sequence is
taken whatever it says; if it cannot be true it is marked suspect.
Invariant: nothing here is durable; the caller stores what was taken before it acknowledges anything, and throws this
object away if storing fails.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from gateway.registry import Registry, open_enrolment
from gateway.sequence import Item, Position, Taken, Track, position_at_hello
from wire import envelope, report, topics
from wire.beat import Hello
from wire.command import Receipt
from wire.errors import WireError

KnownHead = Callable[[bytes, int], bytes | None]
MESSAGE_MAX = 16_384


@dataclass(frozen=True)
class Stored:
    """To be put on disk and sealed. `taken` is empty for what has no place in the row sequence."""

    device: bytes
    kind: str
    raw: bytes
    taken: tuple[Taken, ...] = ()
    urgent: bool = False


@dataclass(frozen=True)
class Held:
    device: bytes
    kind: str
    seq: int
    raw: bytes


@dataclass(frozen=True)
class Greeted:
    """A hello: the device is there and wants a beat."""

    device: bytes
    hello: Hello


@dataclass(frozen=True)
class Enrolling:
    device: bytes
    raw: bytes


@dataclass(frozen=True)
class Ignored:
    """Nothing to store: a duplicate, or the broker's word that a device is gone."""

    device: bytes
    word: str


@dataclass(frozen=True)
class Refused:
    reason: str
    detail: str
    device: bytes | None = None


Decision = Stored | Held | Greeted | Enrolling | Ignored | Refused


@dataclass
class Intake:
    gateway: bytes
    registry: Registry
    known_head: KnownHead
    tracks: dict[bytes, Track] = field(default_factory=dict)

    def take(self, topic: str, payload: bytes) -> Decision:
        device: bytes | None = None
        try:
            device, kind = topics.split(topic)
            if len(payload) > MESSAGE_MAX:
                raise WireError("too-big", f"a device's message has at most {MESSAGE_MAX} bytes")
            return self._take(device, kind, payload)
        except WireError as error:
            return Refused(error.reason, error.detail, device)

    def _take(self, device: bytes, kind: str, raw: bytes) -> Decision:
        if kind == "gone":
            return Ignored(device, "gone")
        if kind == "enrolment":
            enrolment, _ = open_enrolment(raw)
            if enrolment.id != device:
                raise WireError("wrong-id", "an enrolment on another device's topic")
            return Enrolling(device, raw)
        signed = envelope.split(raw)
        known = self.registry.speaker(device, signed.kid)
        if known.gateway != self.gateway:
            raise WireError("wrong-id", "the device belongs to another gateway")
        content = self._content(kind, signed)
        if content.id != device:
            raise WireError("wrong-id", "another device's id in the message")
        if isinstance(content, Hello):
            self._greet(content)
            return Greeted(device, content)
        if isinstance(content, (report.Report, report.Coarse)):
            return self._row_message(device, kind, content, raw)
        return Stored(device, kind, raw, urgent=True)

    def _content(self, kind: str, signed: envelope.Signed) -> _Content:
        if kind == "report":
            return report.decode(signed.check(self.registry.keys, report.DOMAIN))
        if kind == "receipt":
            receipt = Receipt.decode(signed.check(self.registry.keys, Receipt.DOMAIN))
            return _OfStation(receipt.station)
        if kind == "coarse":
            return report.Coarse.decode(signed.check(self.registry.keys, report.Coarse.DOMAIN))
        if kind == "state":
            return report.State.decode(signed.check(self.registry.keys, report.State.DOMAIN))
        return Hello.decode(signed.check(self.registry.keys, Hello.DOMAIN))

    def _greet(self, hello: Hello) -> None:
        if hello.id not in self.tracks:
            position = position_at_hello(hello.oldest_seq, hello.next_seq, hello.head)
            self.tracks[hello.id] = Track(position, self.registry.devices[hello.id].rating_w)

    def _row_message(self, device: bytes, kind: str, item: Item, raw: bytes) -> Decision:
        track = self.tracks.get(device)
        if track is None:
            track = self.tracks[device] = Track(Position(), self.registry.devices[device].rating_w)
        verdict = track.take(item, raw, lambda seq: self.known_head(device, seq))
        if verdict.word == "taken":
            return Stored(device, kind, raw, verdict.taken, urgent=any(_urgent(t.item) for t in verdict.taken))
        if verdict.word == "held":
            return Held(device, kind, item.seq, raw)
        if verdict.word in ("clone", "overlap"):
            raise WireError("bad-link", f"{verdict.word}: row {item.seq} is here with another history")
        return Ignored(device, verdict.word)


@dataclass(frozen=True)
class _OfStation:
    id: bytes


_Content = report.Report | report.Coarse | report.State | Hello | _OfStation
_URGENT = tuple(report.EVENTS.index(name) for name in ("safe entered", "safe left", "tamper", "power fail"))


def _urgent(item: Item) -> bool:
    """What a station or a meter reports as an event of supply goes up at once."""
    if isinstance(item, report.Coarse):
        return False
    return any(row[6] & report.EVENT and row[7][0][0] in _URGENT for row in item.rows)
