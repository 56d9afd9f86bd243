"""The gateway's side of MQTT: paho's client on asyncio's loop, acknowledging by hand.

Owns: one connection with a persistent session, the messages received and not yet acknowledged, reconnecting.
Refuses: acknowledging anything by itself; dropping anything: when too much waits, it stops reading the socket.
Invariant: PUBACK goes out only for what `acknowledge` was called with.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from paho.mqtt.reasoncodes import ReasonCode

from wire import topics

WAITING_MAX = 4_000
RETRY_S = (0.2, 0.5, 1.0, 2.0, 5.0)


@dataclass(frozen=True)
class Message:
    topic: str
    payload: bytes
    mid: int
    qos: int
    retained: bool


@dataclass(frozen=True)
class Broker:
    host: str = "127.0.0.1"
    port: int = 1883
    username: str | None = None
    password: str | None = None
    ca_file: str | None = None
    cert_file: str | None = None
    key_file: str | None = None
    keepalive_s: int = 30


class Link:
    """`arrived` is set whenever `inbox` holds something."""

    def __init__(self, broker: Broker, client_id: str, on_state: Callable[[bool, str], None]) -> None:
        self.inbox: list[Message] = []
        self.arrived = asyncio.Event()
        self.connected = False
        self._broker = broker
        self._on_state = on_state
        self._paused = False
        self._loop = asyncio.get_running_loop()
        self._socket: socket.socket | None = None
        client = paho.Client(
            CallbackAPIVersion.VERSION2, client_id, clean_session=False, manual_ack=True, reconnect_on_failure=False
        )
        if broker.username is not None:
            client.username_pw_set(broker.username, broker.password)
        if broker.ca_file is not None:
            client.tls_set(broker.ca_file, broker.cert_file, broker.key_file)
        client.max_inflight_messages_set(1_000)
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_message = self._on_message
        client.on_socket_open = self._on_socket_open
        client.on_socket_close = self._on_socket_close
        client.on_socket_register_write = self._on_write_wanted
        client.on_socket_unregister_write = self._on_write_done
        self._client = client

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
                    while self._client.loop_misc() == MQTTErrorCode.MQTT_ERR_SUCCESS:
                        await asyncio.sleep(0.5)
                        tries = 0 if self.connected else tries
                    self._on_state(False, "the connection to the broker is gone")
                except OSError as error:
                    where = f"{self._broker.host}:{self._broker.port}"
                    self._on_state(False, f"no broker at {where}: {error.strerror or error}")
                await asyncio.sleep(RETRY_S[min(tries, len(RETRY_S) - 1)])
                tries += 1
        finally:
            self._client.disconnect()

    def acknowledge(self, messages: list[Message]) -> None:
        for message in messages:
            self._client.ack(message.mid, message.qos)
        self._resume()

    def publish(self, topic: str, payload: bytes, qos: int) -> None:
        self._client.publish(topic, payload, qos=qos, retain=False)

    def take(self) -> list[Message]:
        """Everything that has arrived since the last call."""
        batch, self.inbox = self.inbox, []
        self.arrived.clear()
        self._resume()
        return batch

    # ------------------------------------------------------------ paho's calls, all on the loop's thread but connect's

    def _on_connect(self, client: paho.Client, _: Any, __: Any, reason: ReasonCode, ___: Any) -> None:
        if reason.is_failure:
            self._on_state(False, f"the broker refuses us: {reason}")
            return
        self.connected = True
        client.subscribe(topics.ALL_UP, qos=1)
        self._on_state(True, "connected to the broker")

    def _on_disconnect(self, _: paho.Client, __: Any, ___: Any, ____: Any, _____: Any) -> None:
        self.connected = False

    def _on_message(self, _: paho.Client, __: Any, message: paho.MQTTMessage) -> None:
        self.inbox.append(Message(message.topic, bytes(message.payload), message.mid, message.qos, message.retain))
        self.arrived.set()
        if len(self.inbox) >= WAITING_MAX and not self._paused and self._socket is not None:
            self._paused = True
            self._loop.remove_reader(self._socket)

    def _resume(self) -> None:
        if self._paused and len(self.inbox) < WAITING_MAX // 2 and self._socket is not None:
            self._paused = False
            self._loop.add_reader(self._socket, self._client.loop_read)

    def _watch(self) -> None:
        """After connect() in a thread: from here on the loop reads and writes."""
        if self._socket is not None:
            self._loop.add_reader(self._socket, self._client.loop_read)
            if self._client.want_write():
                self._loop.add_writer(self._socket, self._client.loop_write)

    def _on_socket_open(self, _: paho.Client, __: Any, opened: Any) -> None:
        self._socket = opened
        self._paused = False

    def _on_socket_close(self, _: paho.Client, __: Any, closed: Any) -> None:
        self._socket = None
        self.connected = False
        if self._running_here():
            self._loop.remove_reader(closed)
            self._loop.remove_writer(closed)

    def _on_write_wanted(self, _: paho.Client, __: Any, wanting: Any) -> None:
        if self._running_here():
            self._loop.add_writer(wanting, self._client.loop_write)

    def _on_write_done(self, _: paho.Client, __: Any, done: Any) -> None:
        if self._running_here():
            self._loop.remove_writer(done)

    def _running_here(self) -> bool:
        """False in connect()'s thread, after which `_watch` looks for what is left to write."""
        try:
            return asyncio.get_running_loop() is self._loop
        except RuntimeError:
            return False
