"""The network of one board: its WLAN, and a proxy between its sockets and the world, where the network's faults live.

Owns: association, name look-up, every TCP connection of the board, delay, loss, silence; what is under way and
therefore holds the clock in lock-step.
Refuses: reading what is carried (traffic.py counts headers). The board's addresses are real host names and ports;
`routes` may send them elsewhere.
Invariants: bytes of one direction never overtake each other; a silent fault never tells the board that it is there.

A board's sockets end at abstract AF_UNIX sockets of this process, which vanish with it and answer to this board only.
TCP hides loss: a lost segment shows as the delay of its retransmission, and so it does here.
"""

import asyncio
import fcntl
import os
import random
import select
import socket
import struct
import termios
from collections.abc import Callable

from .board import Board
from .lockstep import LockStep
from .timeline import Timeline
from .traffic import Traffic

ASSOCIATE_US = 1_200_000  # association, WPA2 handshake and DHCP of an ESP32
NO_AP_US = 3_000_000
RETRANSMIT_US = 300_000
HEARS_S = 0.005  # of wall time: what a board needs to notice that a connection ended
IDLE, CONNECTING, GOT_IP, NO_AP_FOUND, BEACON_TIMEOUT = 1000, 1001, 1010, 201, 200

Route = tuple[str, int]


class _Flow:
    """One direction of a connection."""

    def __init__(self, link: "Link", deliver: Callable[[bytes], None]) -> None:
        self._link, self._deliver = link, deliver
        self.free_us = 0
        self._stalled: list[bytes] = []
        self.under_way = 0

    def put(self, data: bytes) -> None:
        link = self._link
        if link.silent:
            self._stalled.append(data)
            return
        delay_us = link.delay_us(len(data))
        if not delay_us and not self.under_way:
            self._deliver(data)
            return
        self.free_us = max(self.free_us, link.timeline.live_us()) + delay_us
        self.under_way += 1
        link.timeline.at(self.free_us, lambda: self._arrive(data))

    def _arrive(self, data: bytes) -> None:
        self.under_way -= 1
        if self._link.silent:
            self._stalled.append(data)
        else:
            self._deliver(data)

    def resume(self) -> None:
        stalled, self._stalled = self._stalled, []
        for data in stalled:
            self.put(data)


class _End(asyncio.Protocol):
    """One socket of a connection: the board's or the world's."""

    def __init__(self, connection: "_Connection", inward: bool) -> None:
        self._connection, self._inward = connection, inward
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._connection.link.network(self.socket(), True)

    def data_received(self, data: bytes) -> None:
        self._connection.passes(data, self._inward)

    def connection_lost(self, error: Exception | None) -> None:
        self._connection.closed(self._inward)

    def write(self, data: bytes) -> None:
        if self.transport is not None and not self.transport.is_closing():
            self.transport.write(data)

    def socket(self) -> int | None:
        """Its file descriptor while it is open."""
        if self.transport is None or self.transport.is_closing():
            return None
        return int(self.transport.get_extra_info("socket").fileno())

    def close(self) -> None:
        if self.transport is not None:
            self._connection.link.network(self.socket(), False)
            self.transport.close()
            self.transport = None


class _Connection:
    """A connection of the board. `half_open`: the world's end is gone and the board has not been told."""

    def __init__(self, link: "Link", route: Route) -> None:
        self.link = link
        self.half_open = False
        self._route = route
        self._traffic = Traffic()
        self.board, self.world = _End(self, False), _End(self, True)
        self._up, self._down = _Flow(link, self._to_world), _Flow(link, self._to_board)
        self._early: list[bytes] | None = []  # from the board, before the world answered
        self._held = False
        self._hold(True)

    async def open(self, sock: socket.socket) -> None:
        """The board's end, then the world's. The clock is held until both are there."""
        loop = asyncio.get_running_loop()
        try:
            await loop.connect_accepted_socket(lambda: self.board, sock)
            await loop.create_connection(lambda: self.world, *self._route)
        except OSError:
            self.close()
            return
        early, self._early = self._early or [], None
        for data in early:
            self._up.put(data)
        if not early:
            self._account(0, 0)

    def passes(self, data: bytes, inward: bool) -> None:
        if self.half_open:
            self.link.lost_bytes += len(data)
        elif inward:
            self._account(0, self._traffic.down(data))
            self._down.put(data)
        elif self._early is None:
            self._up.put(data)
        else:
            self._early.append(data)
        self.link.timeline.kick()

    def _to_world(self, data: bytes) -> None:
        self._account(self._traffic.up(data), 0)
        self.world.write(data)

    def _to_board(self, data: bytes) -> None:
        self.board.write(data)
        self.link.unread.add(self)

    def _account(self, published_up: int, published_down: int) -> None:
        """What the broker has not answered holds the clock; so may messages on their way to others."""
        self._hold(self._traffic.unanswered > 0)
        if self.link.on_moved:
            self.link.on_moved(published_up, published_down, self._traffic.plain)

    def _hold(self, on: bool) -> None:
        if on != self._held:
            self._held = on
            (self.link.timeline.hold if on else self.link.timeline.release)("broker")

    def unread(self) -> bool:
        """Whether the board has yet to take bytes from its socket."""
        sock = self.board.socket()
        if sock is None:
            return False
        return bool(struct.unpack("i", fcntl.ioctl(sock, termios.TIOCOUTQ, b"\0\0\0\0"))[0])

    def break_half(self) -> None:
        self.half_open = True
        self.world.close()
        self._hold(False)

    def closed(self, inward: bool) -> None:
        """One end is gone; the other learns it after what is still on its way, and not through a silent link."""
        if self.half_open and inward:
            return
        if self.link.silent:
            (self.world if inward else self.board).close()
            self.half_open |= inward
            return
        flow = self._down if inward else self._up
        if flow.under_way:
            self.link.timeline.at(flow.free_us, self.close)
        else:
            self.close()

    def resume(self) -> None:
        if self.half_open or self.board.transport is None:
            self.close()  # the world answers a connection it does not know with a reset
            return
        self._up.resume()
        self._down.resume()

    def close(self) -> None:
        self.half_open = True
        if self.board.transport is not None:  # the board hears of it at this very instant
            self.link.timeline.hold("closing")
            asyncio.get_running_loop().call_later(HEARS_S, self.link.timeline.release, "closing")
        self._hold(False)
        self.board.close()
        self.world.close()
        self.link.connections.discard(self)
        self.link.unread.discard(self)
        self.link.timeline.kick()


class Link:
    """The air, the access point and the way to the world, as one board has them."""

    def __init__(
        self, board: Board, routes: dict[Route, Route] | None = None, seed: int = 0, wired: bool = False
    ) -> None:
        self.board = board
        self._wired = wired  # a network that needs no WLAN
        self.timeline: Timeline = board.timeline
        self.routes = routes or {}
        self.connections: set[_Connection] = set()
        self.unread: set[_Connection] = set()
        self.down = self.partitioned = False
        self.loss_permille = 0
        self.latency_us = 0
        self.bytes_per_s = 0
        self.lost_bytes = 0
        self.on_moved: Callable[[int, int, bool], None] | None = None  # messages that passed: up, down, can one know
        self.random = random.Random(seed)
        self._servers: dict[Route, socket.socket] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._wanted = False
        self._status = IDLE
        self._attempt = 0
        board.at_reset.append(self.forget)
        for letter, handler in {"N": self._active, "K": self._connect, "k": self._disconnect, "q": self._find}.items():
            board.handlers[ord(letter)] = handler

    # ---- faults

    @property
    def silent(self) -> bool:
        return self.down or self.partitioned

    def delay_us(self, size: int) -> int:
        delay_us = self.latency_us
        if self.bytes_per_s:
            delay_us += size * 1_000_000 // self.bytes_per_s
        retransmit_us = RETRANSMIT_US
        while self.random.randrange(1000) < self.loss_permille:
            delay_us += retransmit_us
            retransmit_us = min(2 * retransmit_us, 60_000_000)
        return delay_us

    def set_down(self, down: bool) -> None:
        """The access point is gone, or back."""
        self.down = down
        if down and self._status == GOT_IP:
            self._say(BEACON_TIMEOUT)
        elif not down and self._wanted:
            self._associate()
        self._changed()

    def partition(self, on: bool) -> None:
        """The WLAN is there, but nothing behind it answers."""
        self.partitioned = on
        self._changed()

    def impair(self, loss_permille: int = 0, latency_us: int = 0, bytes_per_s: int = 0) -> None:
        self.loss_permille, self.latency_us, self.bytes_per_s = loss_permille, latency_us, bytes_per_s
        self._changed()

    def half_open(self) -> None:
        """Every connection loses its far end without the board being told."""
        for connection in self.connections:
            connection.break_half()

    def reset_half_open(self) -> None:
        """The far end answers again, and knows nothing of the connections it lost."""
        for connection in [c for c in self.connections if c.half_open]:
            connection.close()

    def _changed(self) -> None:
        if not self.silent:
            for connection in list(self.connections):
                connection.resume()

    # ---- lock-step

    def network(self, fd: int | None, on: bool) -> None:
        """Sockets whose bytes must be taken before the clock moves."""
        if fd is not None and isinstance(self.timeline, LockStep):
            if on:
                self.timeline.network.register(fd, select.EPOLLIN)
            else:
                self.timeline.network.unregister(fd)

    def waits_for_board(self) -> bool:
        """Whether the board has bytes on a socket that it is going to take at this very instant."""
        if not self.unread:
            return False
        self.unread = {c for c in self.unread if c.unread()}
        return bool(self.unread) and self.board.listens

    # ---- WLAN

    def _say(self, status: int) -> None:
        self._status = status
        address = b"10.0.0.9" if status == GOT_IP else b"0.0.0.0"
        self.board.tell("L", struct.pack("<hb", status, -58 if status == GOT_IP else 0) + address)

    def _active(self, payload: bytes) -> None:
        if not payload[0]:
            self._leave()

    def _disconnect(self, payload: bytes) -> None:
        self._leave()

    def _leave(self) -> None:
        self._wanted = False
        self._status = IDLE
        self._attempt += 1
        for connection in list(self.connections):
            connection.close()

    def _connect(self, payload: bytes) -> None:
        self._wanted = True
        self._associate()

    def _associate(self) -> None:
        self._attempt += 1
        attempt = self._attempt
        self._status = CONNECTING

        def done() -> None:
            if attempt == self._attempt:
                self._say(NO_AP_FOUND if self.down else GOT_IP)

        now_us = self.board.now_us()
        self.board.at(now_us + (NO_AP_US if self.down else ASSOCIATE_US), done)

    # ---- sockets

    def _find(self, payload: bytes) -> bytes:
        (port,) = struct.unpack_from("<H", payload)
        asked = payload[2:].decode("utf-8", "replace"), port
        if self.down or not (self._wired or self._status == GOT_IP):
            return b"\1"
        return b"\0" + self._address(asked)

    def _address(self, asked: Route) -> bytes:
        """The abstract socket that stands for a host and port; listening from now on."""
        name = f"\0tallygrid-{os.getpid()}-{id(self):x}-{asked[0]}-{asked[1]}".encode()[:107]
        if asked not in self._servers:
            listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            listening.bind(name)
            listening.listen(8)
            listening.setblocking(False)
            self._servers[asked] = listening
            asyncio.get_running_loop().add_reader(listening, self._accept, listening, asked)
            self.network(listening.fileno(), True)
        return name

    def _accept(self, listening: socket.socket, asked: Route) -> None:
        try:
            sock, _ = listening.accept()
        except BlockingIOError:
            return
        pid, _, _ = struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        if self.board.process is None or pid != self.board.process.pid:
            sock.close()
            return
        connection = _Connection(self, self.routes.get(asked, asked))
        self.connections.add(connection)
        task = asyncio.ensure_future(connection.open(sock))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def forget(self) -> None:
        """The board was reset: its sockets are closed by the fact."""
        self._wanted = False
        self._status = IDLE
        self._attempt += 1
        for connection in list(self.connections):
            connection.close()

    def close(self) -> None:
        self.forget()
        for task in self._tasks:
            task.cancel()
        for listening in self._servers.values():
            asyncio.get_running_loop().remove_reader(listening)
            self.network(listening.fileno(), False)
            listening.close()
        self._servers.clear()
