"""Counts what is unanswered on an MQTT connection by looking at packet headers as they pass.

Owns: the header scan. Refuses: reading topics or payloads; changing a byte. TLS is opaque: `plain` says which it is.
Invariant: whatever bytes come, the scan only counts; it never fails and never holds more than a header.
"""

_ASKS = frozenset((1, 3, 8, 10, 12))  # CONNECT, PUBLISH (QoS 1, 2), SUBSCRIBE, UNSUBSCRIBE, PINGREQ
_ANSWERS = frozenset((2, 4, 5, 9, 11, 13))
PUBLISH = 3


class _Scan:
    """One direction: finds where packets begin."""

    def __init__(self) -> None:
        self._skip = 0  # bytes of the current packet still to come
        self._head = bytearray()

    def feed(self, data: bytes) -> list[int]:
        """First bytes of the packets whose header ended in `data`."""
        found: list[int] = []
        at = 0
        while at < len(data):
            if self._skip:
                step = min(self._skip, len(data) - at)
                self._skip -= step
                at += step
                continue
            self._head.append(data[at])
            at += 1
            if len(self._head) > 1 and (self._head[-1] < 0x80 or len(self._head) == 5):
                for shift, byte in enumerate(self._head[1:]):
                    self._skip |= (byte & 0x7F) << 7 * shift
                found.append(self._head[0])
                self._head.clear()
        return found


class Traffic:
    """Both directions of one connection."""

    def __init__(self) -> None:
        self.plain = False
        self.unanswered = 0
        self._up, self._down = _Scan(), _Scan()
        self._begun = False

    def up(self, data: bytes) -> int:
        """Messages published in these bytes."""
        if not self._begun:
            self._begun = True
            self.plain = data[0] == 0x10
        if not self.plain:
            return 0
        published = 0
        for head in self._up.feed(data):
            kind, qos = head >> 4, head >> 1 & 3
            published += kind == PUBLISH
            if kind in _ASKS and (kind != PUBLISH or qos):
                self.unanswered += 1
        return published

    def down(self, data: bytes) -> int:
        if not self.plain:
            return 0
        published = 0
        for head in self._down.feed(data):
            published += head >> 4 == PUBLISH
            if head >> 4 in _ANSWERS:
                self.unanswered = max(0, self.unanswered - 1)
        return published
