"""MQTT 3.1.1 as a client on one open connection: packets out, packets in.

Owns: the bytes of CONNECT, SUBSCRIBE, PUBLISH, PUBACK, PINGREQ, and taking apart what comes.
Refuses: what a client has no use for (QoS 2), packets over LARGEST (skipped byte for byte), anything malformed (`Bad`).
Invariants: at most WINDOW of our messages wait for their PUBACK; one writer at a time; nothing here waits for ever if
its holder closes the stream.
"""

import asyncio
from struct import pack

WINDOW = 4
LARGEST = 2_048

_CONNACK, _PUBLISH, _PUBACK, _SUBACK, _PINGRESP = 0x20, 0x30, 0x40, 0x90, 0xD0


class Bad(OSError):
    """The broker does not speak MQTT 3.1.1, or refuses us."""


class Mqtt:
    """`stream` is asyncio's. `take(topic, payload, retained)` is called for each message that comes."""

    def __init__(self, reader, writer, take):
        self._reader = reader
        self._writer = writer
        self._take = take
        self._lock = asyncio.Lock()
        self._next_id = 0
        self._waiting = {}  # packet id -> what was sent, until its PUBACK
        self.heard = 0  # counts packets, for whoever watches over the line
        self.acknowledged = 0  # counts PUBACKs, likewise
        self.strange = 0  # packets that fit nothing we asked

    async def connect(self, client_id, keepalive_s, will_topic):
        """CONNECT with a clean session: orders that waited while we were away are not for us any more."""
        name = _text(client_id)
        body = b"\x00\x04MQTT\x04" + b"\x86" + pack(">H", keepalive_s) + name + _text(will_topic) + b"\x00\x00" + name
        await self._send(0x10, body)
        kind, answer = await self._receive()
        if kind != _CONNACK or len(answer) != 2:
            raise Bad("no CONNACK")
        if answer[1]:
            raise Bad("refused with code %d" % answer[1])

    async def subscribe(self, topic):
        await self._send(0x82, pack(">H", 0xFFFF) + _text(topic) + b"\x01")

    async def publish(self, topic, payload, what=None):
        """QoS 1. `what` comes back from `acknowledged`."""
        while True:
            self._next_id = self._next_id % 0xFFFE + 1
            if self._next_id not in self._waiting:
                break
        self._waiting[self._next_id] = what
        await self._send(0x32, _text(topic) + pack(">H", self._next_id), payload)

    @property
    def window_open(self):
        return len(self._waiting) < WINDOW

    @property
    def idle(self):
        """Nobody is writing: a ping would go out at once."""
        return not self._lock.locked()

    async def ping(self):
        await self._send(0xC0, b"")

    async def run(self, acknowledged):
        """Reads until the connection ends (OSError). `acknowledged(what)` is called for each PUBACK."""
        while True:
            kind, body = await self._receive()
            self.heard += 1
            if kind == _PUBLISH:
                await self._published(body)
            elif kind == _PUBACK and len(body) == 2:
                number = body[0] << 8 | body[1]
                if number in self._waiting:
                    self.acknowledged += 1
                    acknowledged(self._waiting.pop(number))
                else:
                    self.strange += 1
            elif kind == _SUBACK:
                if len(body) != 3 or body[2] > 1:
                    raise Bad("the broker lets us hear nothing")
            elif kind != _PINGRESP:
                self.strange += 1

    async def _published(self, message):
        if message is None:
            return  # too long for us, and skipped
        flags, body = message
        if len(body) < 2:
            raise Bad("a PUBLISH without a topic")
        end = 2 + (body[0] << 8 | body[1])
        qos = flags >> 1 & 3
        start = end + 2 if qos else end
        if qos > 1 or start > len(body):
            raise Bad("a PUBLISH we cannot have asked for")
        try:
            topic = str(body[2:end], "utf-8")
        except (UnicodeError, ValueError):
            raise Bad("a topic that is no text") from None
        number = bytes(body[end:start])
        self._take(topic, bytes(body[start:]), bool(flags & 1))
        if qos:
            await self._send(0x40, number)

    async def _send(self, kind, head, payload=b""):
        async with self._lock:
            self._writer.write(bytes((kind,)) + _length(len(head) + len(payload)) + head)
            if payload:
                self._writer.write(payload)
            await self._writer.drain()

    async def _receive(self):
        """(kind, body); for a PUBLISH the body is (flags, bytes), or None if it was too long and was skipped."""
        first = (await self._reader.readexactly(1))[0]
        size = shift = 0
        while True:
            byte = (await self._reader.readexactly(1))[0]
            size |= (byte & 0x7F) << shift
            if byte < 0x80:
                break
            shift += 7
            if shift > 21:
                raise Bad("a length over four bytes")
        kind = first & 0xF0
        if size > LARGEST:
            await self._skip(size, kind)
            return kind, None
        body = await self._reader.readexactly(size) if size else b""
        return kind, (first & 0x0F, memoryview(body)) if kind == _PUBLISH else body

    async def _skip(self, size, kind):
        if kind != _PUBLISH:
            raise Bad("a packet of %d bytes" % size)
        while size:
            size -= len(await self._reader.readexactly(min(size, 256)))


def _text(text):
    raw = text.encode() if isinstance(text, str) else text
    return pack(">H", len(raw)) + raw


def _length(size):
    out = bytearray()
    while size > 127:
        out.append(size & 0x7F | 0x80)
        size >>= 7
    out.append(size)
    return bytes(out)
