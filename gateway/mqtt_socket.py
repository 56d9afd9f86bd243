"""A socket that spares system calls: paho reads a packet in four pieces and writes every acknowledgement by itself.

Owns: one buffer each way around paho's socket.
Refuses: nothing: errors of the socket come out where they would without the buffers.
Invariant: bytes leave in the order in which they were given, at the latest with `flush`.
"""

from __future__ import annotations

import contextlib
import ssl
from typing import Any

import paho.mqtt.client as paho

CHUNK = 65_536
SEND_MAX = 1 << 20  # as much is held back at most; then the writer is told to wait


class BufferedSocket:
    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self._got = b""
        self._at = 0
        self._given = bytearray()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def fileno(self) -> int:
        return int(self._inner.fileno())

    def recv(self, count: int) -> bytes:
        end = self._at + count
        if end <= len(self._got):
            piece = self._got[self._at : end]
            self._at = end
            return piece
        if self._at == len(self._got):
            self._got, self._at = self._inner.recv(CHUNK), 0
            end = count
        piece = self._got[self._at : end]
        self._at += len(piece)
        return piece

    def waits(self) -> bool:
        """Whether something can be read without the socket becoming readable."""
        if self._at < len(self._got):
            return True
        return isinstance(self._inner, ssl.SSLSocket) and self._inner.pending() > 0

    def send(self, data: bytes) -> int:
        if len(self._given) > SEND_MAX and not self.flush():
            raise BlockingIOError
        self.put(data)
        return len(data)

    def put(self, data: bytes | bytearray) -> None:
        """Behind whatever was given before; whole packets, so that they may stand between paho's."""
        self._given += data

    def flush(self) -> bool:
        """False where the socket takes no more now."""
        while self._given:
            try:
                sent = self._inner.send(self._given)
            except (BlockingIOError, ssl.SSLWantWriteError, ssl.SSLWantReadError):
                return False
            del self._given[:sent]
        return True

    def close(self) -> None:
        with contextlib.suppress(OSError):  # a DISCONNECT that still waits; who is gone does not hear it
            self.flush()
        self._inner.close()


def buffer(*args: Any, **options: Any) -> paho.Client:
    """A client whose socket is buffered."""

    class Client(paho.Client):
        def _create_socket(self) -> Any:
            return BufferedSocket(super()._create_socket())

    return Client(*args, **options)
