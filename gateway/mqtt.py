"""The gateway's side of MQTT: paho's client on asyncio's loop, acknowledging by hand.

Owns: one connection with a persistent session, the messages received and not yet acknowledged, reconnecting.
Refuses: acknowledging anything by itself; dropping anything: when too much waits, it stops reading the socket.
Invariant: PUBACK goes out only for what `acknowledge` was called with, on the connection that it came over.
"""

from __future__ import annotations

import asyncio
import random
import ssl
import struct
from collections.abc import Callable
from typing import Any, NamedTuple

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from paho.mqtt.reasoncodes import ReasonCode

from gateway.config import Broker
from gateway.mqtt_socket import BufferedSocket, buffer
from wire import topics

WAITING_MAX = 4_000
AT_ONCE = 200  # messages read before others on the loop have their turn
INFLIGHT_MAX = 1_000
RETRY_S = (0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
_OK = MQTTErrorCode.MQTT_ERR_SUCCESS
_PUBACK = struct.Struct("!BBH")


class Message(NamedTuple):
    topic: str
    payload: bytes
    mid: int
    qos: int
    retained: bool
    connection: int


class Link:
    """`arrived` is set whenever `inbox` holds something. `on_state` hears of the connection, `on_lie` of a broker that
    breaks the rules; messages for `also` (topics of others, never acknowledged by hand) go to `on_other`."""

    def __init__(
        self,
        broker: Broker,
        client_id: str,
        on_state: Callable[[bool, str], None],
        on_lie: Callable[[str], None] = lambda words: None,
    ) -> None:
        self.inbox: list[Message] = []
        self.arrived = asyncio.Event()
        self.connected = False
        self.also: dict[str, Callable[[bytes], None]] = {}
        self._broker = broker
        self._on_state = on_state
        self._on_lie = on_lie
        self._paused = False
        self._connection = 0
        self._unacknowledged: set[int] = set()
        self._loop = asyncio.get_running_loop()
        self._socket: BufferedSocket | None = None
        self._client = self._make(broker, client_id)

    def _make(self, broker: Broker, client_id: str) -> paho.Client:
        client = buffer(
            CallbackAPIVersion.VERSION2, client_id, clean_session=False, manual_ack=True, reconnect_on_failure=False
        )
        if broker.username is not None:
            client.username_pw_set(broker.username, broker.password)
        if broker.ca_file is not None:
            client.tls_set_context(tls_context(broker))
        client.max_inflight_messages_set(INFLIGHT_MAX)
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_message = self._on_message
        client.on_socket_open = self._on_socket_open
        client.on_socket_close = self._on_socket_close
        client.on_socket_register_write = self._on_write_wanted
        return client

    async def run(self) -> None:
        """Connects, and connects again, until it is cancelled."""
        tries = 0
        try:
            while True:
                try:
                    await asyncio.to_thread(
                        self._client.connect, self._broker.host, self._broker.port, self._broker.keepalive_s
                    )
                    self._watch()
                    while self._client.loop_misc() == _OK:
                        await asyncio.sleep(0.5)
                        tries = 0 if self.connected else tries
                    self._on_state(False, "the connection to the broker is gone")
                except OSError as error:
                    self._on_state(False, f"no broker at {self._broker.host}:{self._broker.port}: {_why(error)}")
                # A broker that comes back meets all its clients at once: not all in the same moment.
                await asyncio.sleep(RETRY_S[min(tries, len(RETRY_S) - 1)] * random.uniform(0.8, 1.2))
                tries += 1
        finally:
            self._client.disconnect()
            self._write()

    def acknowledge(self, messages: list[Message]) -> None:
        """A message of an earlier connection is not: the broker sends it again, under whatever number."""
        packets = bytearray()
        for message in messages:
            if message.connection == self._connection and message.mid in self._unacknowledged:
                self._unacknowledged.remove(message.mid)
                packets += _PUBACK.pack(0x40, 2, message.mid)
        self._send(packets)
        self._resume()

    def publish(self, topic: str, payload: bytes, qos: int, retain: bool = False) -> None:
        """QoS 0 is for now or never: what has no connection is not kept for the next one."""
        if qos == 0:
            self._send(publish_packet(topic, payload, retain))
        else:
            self._client.publish(topic, payload, qos=qos, retain=retain)

    def _send(self, packets: bytes | bytearray) -> None:
        """Whole packets, past paho: it keeps no state for these, and an object, a lock and a system call for each."""
        if self._socket is not None and self.connected and packets:
            self._socket.put(packets)
            self._loop.add_writer(self._socket, self._write)

    def take(self, most: int) -> list[Message]:
        """What has arrived, oldest first."""
        batch, self.inbox = self.inbox[:most], self.inbox[most:]
        if not self.inbox:
            self.arrived.clear()
        self._resume()
        return batch

    # ------------------------------------------------------------ paho's calls, all on the loop's thread but connect's

    def _on_connect(self, client: paho.Client, _: Any, __: Any, reason: ReasonCode, ___: Any) -> None:
        if reason.is_failure:
            self._on_state(False, f"the broker refuses us: {reason}")
            return
        self.connected = True
        client.subscribe([(topics.ALL_UP, 1), *((topic, 0) for topic in self.also)])
        self._on_state(True, "connected to the broker")

    def _on_disconnect(self, _: paho.Client, __: Any, ___: Any, ____: Any, _____: Any) -> None:
        self.connected = False

    def _on_message(self, _: paho.Client, __: Any, message: paho.MQTTMessage) -> None:
        try:
            topic = message.topic
        except UnicodeDecodeError:
            topic = ""  # refused as no topic of ours
        other = self.also.get(topic)
        if other is not None:
            other(bytes(message.payload))
            return
        if message.qos:
            self._note(message.mid)
        found = Message(topic, bytes(message.payload), message.mid, message.qos, message.retain, self._connection)
        self.inbox.append(found)
        self.arrived.set()
        if len(self.inbox) >= WAITING_MAX and not self._paused and self._socket is not None:
            self._paused = True
            self._loop.remove_reader(self._socket)

    def _note(self, mid: int) -> None:
        """A number that is in use stands for one message: acknowledging it once is all there is."""
        if mid == 0:
            self._on_lie("a message with packet id 0")
        elif mid in self._unacknowledged:
            self._on_lie(f"packet id {mid} for a second message while the first is not acknowledged")
        self._unacknowledged.add(mid)

    def _resume(self) -> None:
        if self._paused and len(self.inbox) < WAITING_MAX // 2 and self._socket is not None:
            self._paused = False
            self._loop.add_reader(self._socket, self._read)
            self._read()  # what lies in our own buffer wakes nobody

    def _read(self) -> None:
        """Everything that is there, one packet a call of paho's; a socket with nothing left ends it."""
        for _ in range(AT_ONCE):
            if self._paused or self._socket is None or self._client.loop_read() != _OK:
                return
            if self._socket is None or not self._socket.waits():
                return
        self._loop.call_soon(self._read)

    def _write(self) -> None:
        self._client.loop_write()
        if self._socket is not None:
            if self._socket.flush():
                self._loop.remove_writer(self._socket)
            else:
                self._loop.add_writer(self._socket, self._write)

    def _watch(self) -> None:
        """After connect() in a thread: from here on the loop reads and writes."""
        if self._socket is not None:
            self._loop.add_reader(self._socket, self._read)
            self._loop.add_writer(self._socket, self._write)

    def _on_socket_open(self, _: paho.Client, __: Any, opened: Any) -> None:
        self._socket = opened
        self._paused = False
        self._connection += 1
        self._unacknowledged.clear()

    def _on_socket_close(self, _: paho.Client, __: Any, closed: Any) -> None:
        self._socket = None
        self.connected = False
        if self._running_here():
            self._loop.remove_reader(closed)
            self._loop.remove_writer(closed)

    def _on_write_wanted(self, _: paho.Client, __: Any, wanting: Any) -> None:
        if self._running_here():
            self._loop.add_writer(wanting, self._write)

    def _running_here(self) -> bool:
        """False in connect()'s thread, after which `_watch` looks for what is left to write."""
        try:
            return asyncio.get_running_loop() is self._loop
        except RuntimeError:
            return False


def publish_packet(topic: str, payload: bytes, retain: bool = False) -> bytes:
    """PUBLISH of MQTT 3.1.1, QoS 0."""
    name = topic.encode()
    left = 2 + len(name) + len(payload)
    head = bytearray((0x31 if retain else 0x30,))
    while left > 127:
        head.append(left & 127 | 128)
        left >>= 7
    head.append(left)
    return bytes(head) + len(name).to_bytes(2, "big") + name + payload


def tls_context(broker: Broker) -> ssl.SSLContext:
    """TLS 1.2 or later, the broker's certificate checked against our CA, ours shown where there is one."""
    context = ssl.create_default_context(cafile=broker.ca_file)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if broker.cert_file is not None:
        context.load_cert_chain(broker.cert_file, broker.key_file)
    return context


def _why(error: OSError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not good: {error.verify_message}"
    return error.strerror or str(error)
