"""The services that share the site's time: who sleeps until when, who holds the clock, what is under way to whom.

Owns: the socket of the site clock (clock.py says what is spoken), holds on behalf of services, messages under way
between boards and gateway. Refuses: other users of this machine; deciding how long a hold lasts (timeline.py).
Invariants: what a service held is released when it goes; a message counts once on its way and once on arrival.
"""

import asyncio
import os
import socket
import struct
from collections import Counter
from collections.abc import Callable

from .timeline import Event, Timeline, cancel

QUIET_S = 0.002  # of wall time after the last byte, where no gateway says what it took,
OPAQUE_S = 0.02  # and where nobody can see what is unanswered


class _Service:
    """One connection."""

    def __init__(self, desk: "Participants", sock: socket.socket) -> None:
        self.name = "service"
        self._desk, self._socket = desk, sock
        self._rest = b""
        self._holds: Counter[str] = Counter()
        self._sleeps: dict[int, Event] = {}
        self._at_work: set[int] = set()
        self._said: dict[bytes, Callable[[list[bytes]], None]] = {
            b"name": self._named, b"hold": self._hold, b"release": self._release, b"sleep": self._sleep,
            b"done": self._done, b"took": self._took, b"gave": self._gave,
        }  # fmt: skip

    def hear(self) -> None:
        try:
            data = self._socket.recv(65536)
        except BlockingIOError:
            return
        except ConnectionError:
            data = b""
        if not data:
            self._desk.gone(self)
            return
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            word, *rest = line.split()
            self._said[word](rest)

    def _named(self, words: list[bytes]) -> None:
        self.name = words[0].decode()
        self._desk.gateway |= self.name == "gateway"

    def _hold(self, words: list[bytes]) -> None:
        self._keep(words[0].decode(), 1)

    def _release(self, words: list[bytes]) -> None:
        self._keep(words[0].decode(), -1)

    def _keep(self, why: str, by: int) -> None:
        why = f"{self.name}: {why}"
        self._holds[why] += by
        (self._desk.timeline.hold if by > 0 else self._desk.timeline.release)(why)

    def _sleep(self, words: list[bytes]) -> None:
        number, at_us = int(words[0]), int(words[1]) * 1000

        def wake() -> None:
            del self._sleeps[number]
            self._at_work.add(number)
            self._keep("work", 1)
            self._socket.send(b"woke %d\n" % number)

        self._sleeps[number] = self._desk.timeline.at(max(at_us, self._desk.timeline.now_us()), wake)

    def _done(self, words: list[bytes]) -> None:
        number = int(words[0])
        cancel(self._sleeps.pop(number, None))
        if number in self._at_work:
            self._at_work.discard(number)
            self._keep("work", -1)

    def _took(self, words: list[bytes]) -> None:
        self._desk.to_gateway.arrive(int(words[0]))

    def _gave(self, words: list[bytes]) -> None:
        self._desk.to_board.leave(int(words[0]))

    def close(self) -> None:
        for event in self._sleeps.values():
            cancel(event)
        for why, count in self._holds.items():
            for _ in range(count):
                self._desk.timeline.release(why)
        asyncio.get_running_loop().remove_reader(self._socket)
        self._socket.close()


class _Way:
    """Messages under way in one direction; they hold the clock."""

    def __init__(self, timeline: Timeline, why: str) -> None:
        self._timeline, self._why = timeline, why

    def leave(self, count: int) -> None:
        for _ in range(count):
            self._timeline.hold(self._why)

    def arrive(self, count: int) -> None:
        for _ in range(count):
            self._timeline.release(self._why)


class Participants:
    """`address` is where services find it. `gateway` is true once a gateway takes part: then its `took` and `gave`
    tell what is under way; without one the clock waits for a moment of silence on the wires."""

    def __init__(self, timeline: Timeline) -> None:
        self.timeline = timeline
        self.gateway = False
        self.to_gateway = _Way(timeline, "message to the gateway")
        self.to_board = _Way(timeline, "message to a board")
        self.address = f"tg-{os.getpid():x}-{os.urandom(6).hex()}"
        self._services: set[_Service] = set()
        self._quiet: asyncio.TimerHandle | None = None
        self._listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listening.bind("\0" + self.address)
        self._listening.listen(16)
        self._listening.setblocking(False)
        asyncio.get_running_loop().add_reader(self._listening, self._accept)

    def _accept(self) -> None:
        try:
            sock, _ = self._listening.accept()
        except BlockingIOError:
            return
        _, uid, _ = struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        if uid != os.getuid():
            sock.close()
            return
        sock.setblocking(False)
        service = _Service(self, sock)
        self._services.add(service)
        asyncio.get_running_loop().add_reader(sock, service.hear)

    def gone(self, service: _Service) -> None:
        self._services.discard(service)
        service.close()

    def moved(self, published_up: int, published_down: int, plain: bool) -> None:
        """Bytes of a board passed; so many whole messages began among them, if that could be seen."""
        if not self.timeline.lock_step:
            return
        if self.gateway and plain:
            for service in list(self._services):  # `gave` was said before the message went out
                service.hear()
            self.to_gateway.leave(published_up)
            self.to_board.arrive(published_down)
            return
        if self._quiet:
            self._quiet.cancel()
        else:
            self.timeline.hold("traffic")
        self._quiet = asyncio.get_running_loop().call_later(QUIET_S if plain else OPAQUE_S, self._silent)

    def _silent(self) -> None:
        self._quiet = None
        self.timeline.release("traffic")

    def close(self) -> None:
        for service in list(self._services):
            self.gone(service)
        if self._quiet:
            self._quiet.cancel()
        asyncio.get_running_loop().remove_reader(self._listening)
        self._listening.close()
