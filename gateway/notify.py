"""What systemd is told: that the service is up, that it lives, how it stands.

Owns: sd_notify's datagrams.
Refuses: waiting for systemd. Invariant: outside of systemd it does nothing.
"""

from __future__ import annotations

import contextlib
import os
import socket


class Notify:
    def __init__(self, address: str | None = None) -> None:
        self._address = address if address is not None else os.environ.get("NOTIFY_SOCKET", "")
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) if self._address else None
        if self._socket is not None:
            self._socket.setblocking(False)

    def say(self, **words: str | int) -> None:
        if self._socket is not None:
            text = "\n".join(f"{name.upper()}={value}" for name, value in words.items())
            target = "\0" + self._address[1:] if self._address.startswith("@") else self._address
            with contextlib.suppress(OSError):
                self._socket.sendto(text.encode(), target)

    def close(self) -> None:
        self.say(stopping=1)
        if self._socket is not None:
            self._socket.close()
