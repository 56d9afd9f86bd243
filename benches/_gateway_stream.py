"""A stream of 10-row reports from many devices, and a publisher of a few lines that a broker cannot outrun.

Owns: the reports (made once, signed, kept in memory), MQTT 3.1.1 packets by hand, a window of unacknowledged ones.
"""

from __future__ import annotations

import select
import socket
import struct
import time
from collections.abc import Iterable, Sequence

from tests.softdevice import SoftDevice
from wire import topics


def fleet(count: int) -> list[SoftDevice]:
    return [SoftDevice(f"bench {number}") for number in range(count)]


def reports(devices: Sequence[SoftDevice], rounds: int, rows: int = 10) -> list[tuple[str, bytes]]:
    """(topic, report), every device in turn."""
    return [(topics.up(device.id, "report"), device.report(rows)) for _ in range(rounds) for device in devices]


def packet(topic: str, payload: bytes, mid: int) -> bytes:
    name = topic.encode()
    body = struct.pack("!H", len(name)) + name + struct.pack("!H", mid) + payload
    length, left = bytearray(), len(body)
    while True:
        left, low = divmod(left, 128)
        length.append(low | (128 if left else 0))
        if not left:
            return b"\x32" + bytes(length) + body


class Publisher:
    """QoS 1. `published` are the moments (monotonic) at which messages went out, in order."""

    def __init__(self, port: int, client: str = "bench-publisher", window: int = 1_000) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        name = client.encode()
        body = b"\0\4MQTT\4\2" + struct.pack("!HH", 600, len(name)) + name
        self._socket.sendall(b"\x10" + bytes([len(body)]) + body)
        assert self._socket.recv(4)[0] == 0x20
        self._window = window
        self._unacknowledged = 0
        self._rest = b""
        self._mid = 0

    def send(self, messages: Iterable[tuple[str, bytes]], a_second: float | None = None) -> list[float]:
        moments = []
        begin = time.monotonic()
        for number, (topic, payload) in enumerate(messages):
            if a_second is not None:
                self._wait(begin + number / a_second)
            while self._unacknowledged >= self._window:
                self._hear(None)
            self._mid = self._mid % 65_535 + 1
            moments.append(time.monotonic())
            self._socket.sendall(packet(topic, payload, self._mid))
            self._unacknowledged += 1
            self._hear(0)
        return moments

    def settle(self) -> None:
        """Until the broker has everything."""
        while self._unacknowledged:
            self._hear(None)

    def _wait(self, until: float) -> None:
        while (left := until - time.monotonic()) > 0:
            self._hear(left)

    def _hear(self, timeout_s: float | None) -> None:
        if select.select([self._socket], [], [], timeout_s)[0]:
            data = self._rest + self._socket.recv(65_536)
            whole = len(data) // 4
            self._unacknowledged -= whole  # nothing but PUBACK comes here
            self._rest = data[whole * 4 :]

    def close(self) -> None:
        self._socket.close()
