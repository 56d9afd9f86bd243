"""What a message from a device is: taken, or why not.

Owns: the order of checks: topic, size, registry, envelope (`open`), signature (`claim`), content, sequence (`judge`).
Pure. The three are apart so that signatures can be checked by the batch, elsewhere.
Refuses: shape, key, signature, domain and sequence, each with a reason. Whatever is rightly signed and in sequence is
taken whatever it says; if it cannot be true it is marked suspect.
Invariant: nothing here is durable; the caller stores what was taken before it acknowledges anything, and calls `forget`
if storing fails: what is in memory is only what `Memory` says, and what was taken since.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple, Protocol

from gateway.guard import Window
from gateway.reasons import Refusal
from gateway.registry import Device, Registry, open_enrolment
from gateway.sequence import Item, Taken, Track
from wire import cbor, envelope, report, rows, topics
from wire.command import Receipt
from wire.errors import WireError
from wire.hello import Hello
from wire.state import State

MESSAGE_MAX = 16_384
DEVICE_A_SECOND = 200
TRACKS_MAX = 20_000  # in memory; the others are read again when they speak

REPORT, ATTESTED, COARSE, STATE, RECEIPT, HELLO = "report", "attested", "coarse", "state", "receipt", "hello"
ROWS = (REPORT, ATTESTED, COARSE)
DOMAINS = {
    REPORT: rows.DOMAIN,
    COARSE: report.Coarse.DOMAIN,
    STATE: State.DOMAIN,
    RECEIPT: Receipt.DOMAIN,
    HELLO: Hello.DOMAIN,
}


class Memory(Protocol):
    """What the disk remembers."""

    def track(self, device: Device) -> Track | None:
        """None where nobody said yet where it stands since it came (back) to this gateway."""
        ...

    def head_at(self, device: bytes, seq: int) -> bytes | None: ...
    def number(self, device: bytes) -> int: ...
    def answered(self, device: bytes, receipt: bytes) -> bool: ...


class Stored(NamedTuple):
    """To be put on disk and sealed. `taken` is empty for what has no place in the row sequence; `number` is that of a
    state, `receipt` a receipt's identity."""

    device: bytes
    kind: str
    raw: bytes
    taken: tuple[Taken, ...] = ()
    urgent: bool = False
    number: int | None = None
    receipt: bytes | None = None


class Held(NamedTuple):
    device: bytes
    kind: str
    seq: int
    raw: bytes


class Greeted(NamedTuple):
    """A hello: the device is there and wants a beat. `placed` is false while nobody knows where its rows go on."""

    device: bytes
    hello: Hello
    placed: bool


class Enrolling(NamedTuple):
    device: bytes
    raw: bytes


class Ignored(NamedTuple):
    """Nothing to store: a duplicate, or the broker's word that a device is gone."""

    device: bytes
    word: str


class Refused(NamedTuple):
    reason: str
    detail: str
    device: bytes | None = None


Decision = Stored | Held | Greeted | Enrolling | Ignored | Refused


class Opened(NamedTuple):
    """A message taken apart, from a device that may speak here; its signature is not checked yet."""

    device: Device
    kind: str
    key: int
    signed: envelope.Signed
    raw: bytes

    def claim(self) -> tuple[bytes, bytes, bytes]:
        """(kid, message, signature)"""
        signed = self.signed
        return signed.kid, envelope.to_sign(signed.kid, DOMAINS[self.kind], signed.payload), signed.signature


_topic = lru_cache(16_384)(topics.split)


@dataclass
class Intake:
    gateway: bytes
    registry: Registry
    memory: Memory
    tracks: dict[bytes, Track] = field(default_factory=dict)
    guard: Window = field(default_factory=lambda: Window(DEVICE_A_SECOND, 1_000))

    def forget(self) -> None:
        self.tracks.clear()

    # ------------------------------------------------------------ before the signature

    def open(self, topic: str, payload: bytes, now_ms: int) -> Opened | Enrolling | Ignored | Refused:
        device: bytes | None = None
        try:
            device, kind = _topic(topic)
            return self._open(device, kind, payload, now_ms)
        except WireError as error:
            return Refused(error.reason, error.detail, device)

    def _open(self, device: bytes, kind: str, raw: bytes, now_ms: int) -> Opened | Enrolling | Ignored:
        if not self.guard.allows(device, now_ms):
            raise Refusal("flood")
        if kind == "gone":
            return Ignored(device, kind)
        if len(raw) > MESSAGE_MAX:
            raise WireError("too-big", f"a device's message has at most {MESSAGE_MAX} bytes")
        if kind == "enrolment":
            enrolment, _ = open_enrolment(raw)
            if enrolment.id != device:
                raise WireError("wrong-id", "an enrolment on another device's topic")
            return Enrolling(device, raw)
        if kind not in DOMAINS:
            raise Refusal("forged", f"{kind} is for devices")
        signed = envelope.split(raw)
        known, key = self.registry.speaker(device, signed.kid, self.gateway)
        return Opened(known, kind, key, signed, raw)

    # ------------------------------------------------------------ once the signature held

    def judge(self, opened: Opened) -> Decision:
        try:
            return self._judge(opened)
        except WireError as error:
            return Refused(error.reason, error.detail, opened.device.id)

    def _judge(self, opened: Opened) -> Decision:
        kind, payload, device = opened.kind, opened.signed.payload, opened.device.id
        if kind == REPORT:
            return self._rows(opened, report.decode(payload))
        if kind == HELLO:
            return self._greet(opened, Hello.decode(payload))
        if kind == COARSE:
            return self._rows(opened, report.Coarse.decode(payload))
        if kind == STATE:
            state = State.decode(payload)
            _same(state.id, device)
            if state.number <= self.memory.number(device):
                raise Refusal("old-number", f"state {state.number}")
            return Stored(device, kind, opened.raw, urgent=True, number=state.number)
        receipt = Receipt.decode(payload)
        _same(receipt.station, device)
        identity = receipt_identity(receipt)
        if self.memory.answered(device, identity):
            return Ignored(device, "duplicate")
        return Stored(device, kind, opened.raw, urgent=True, receipt=identity)

    def _greet(self, opened: Opened, hello: Hello) -> Decision:
        _same(hello.id, opened.device.id)
        track = self.track(opened.device)
        if track is not None and opened.key < track.position.key:
            raise Refusal("old-key")
        return Greeted(hello.id, hello, track is not None)

    def _rows(self, opened: Opened, item: Item) -> Decision:
        device = opened.device
        _same(item.id, device.id)
        track = self.track(device)
        if track is None:
            raise Refusal("no-position")
        return self.follow(device, opened.kind, track, item, opened.raw, opened.key)

    def follow(self, device: Device, kind: str, track: Track, item: Item, raw: bytes, key: int) -> Decision:
        """What a report means where its device stands."""
        verdict = track.take(item, raw, lambda seq: self.memory.head_at(device.id, seq), key)
        word = verdict.word
        if word == "taken":
            urgent = any(is_urgent(taken.item) for taken in verdict.taken)
            return Stored(device.id, kind, raw, verdict.taken, urgent)
        if word == "held":
            return Held(device.id, kind, item.seq, raw)
        if word == "duplicate":
            return Ignored(device.id, word)
        raise Refusal(word, f"row {item.seq}")

    def track(self, device: Device) -> Track | None:
        track = self.tracks.get(device.id)
        if track is None:
            track = self.memory.track(device)
            if track is not None:
                self.place(device, track)
        return track

    def place(self, device: Device, track: Track) -> None:
        """From here on this is where the device stands."""
        if len(self.tracks) >= TRACKS_MAX:
            self.tracks.pop(next(iter(self.tracks)))
        track.rating_w = device.rating_w
        self.tracks[device.id] = track


def _same(said: bytes, device: bytes) -> None:
    if said != device:
        raise WireError("wrong-id", "another device's id in the message")


def receipt_identity(receipt: Receipt) -> bytes:
    """What makes two receipts the same one: command (or how many were refused before), part, outcome."""
    return cbor.encode([receipt.command, receipt.counter, receipt.part, receipt.outcome, receipt.reason])


_URGENT = tuple(rows.EVENTS.index(name) for name in ("safe entered", "safe left", "tamper", "power fail"))


def is_urgent(item: Item) -> bool:
    """What a station or a meter reports as an event of supply goes up at once."""
    if isinstance(item, report.Coarse):
        return False
    return any(row[7][0][0] in _URGENT for row in item.rows if row[6] & rows.EVENT)
