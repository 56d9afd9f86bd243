"""A running emulator by remote control: what is there, faults now, the speed.

Owns: the control socket and its JSON lines. Refuses: other users; anything but the words in `Control`.
Invariant: a request that is not understood changes nothing and says why.

One request a line, one answer a line: {"do": "status"}, {"do": "strike", "kind": …, "on": …, "for_s": …, "amount": …,
"seed": …}, {"do": "repair", "kind": …, "on": …}, {"do": "speed", "speed": number or null}. Where it failed, an answer
has "error".
"""

import asyncio
import json
import os
import socket
import struct
from pathlib import Path
from typing import TYPE_CHECKING

from .clock import address_of
from .faults import Unknown
from .lockstep import LockStep

if TYPE_CHECKING:
    from .runner import Emulator


class Control:
    def __init__(self, emulator: "Emulator") -> None:
        self._emulator = emulator
        self._peers: set[socket.socket] = set()
        self._listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listening.bind("\0" + emulator.participants.address + "-control")
        self._listening.listen(4)
        self._listening.setblocking(False)
        asyncio.get_running_loop().add_reader(self._listening, self._accept)

    def _accept(self) -> None:
        try:
            peer, _ = self._listening.accept()
        except BlockingIOError:
            return
        _, uid, _ = struct.unpack("3i", peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        if uid != os.getuid():
            peer.close()
            return
        self._peers.add(peer)
        asyncio.get_running_loop().add_reader(peer, self._hear, peer)

    def _hear(self, peer: socket.socket) -> None:
        try:
            line = peer.recv(65536)
        except ConnectionError:
            line = b""
        if not line:
            asyncio.get_running_loop().remove_reader(peer)
            self._peers.discard(peer)
            peer.close()
            return
        peer.sendall(json.dumps(self._answer(line)).encode() + b"\n")

    def _answer(self, line: bytes) -> dict[str, object]:
        try:
            request = json.loads(line)
            return self._do(request)
        except (Unknown, KeyError, TypeError, ValueError) as error:
            return {"error": f"{type(error).__name__}: {error}"}

    def _do(self, request: dict[str, object]) -> dict[str, object]:
        faults = self._emulator.faults
        kind, on = str(request.get("kind")), request.get("on")
        on = None if on is None else str(on)
        match request["do"]:
            case "status":
                return self._status()
            case "strike":
                amount = request.get("amount")
                for_s, seed = int(str(request.get("for_s", 0))), int(str(request.get("seed", 0)))
                faults.strike(kind, on, None if amount is None else int(str(amount)), for_s, seed)
            case "repair":
                faults.repair(kind, on)
            case "speed":
                self._speed(request["speed"])
            case word:
                raise Unknown(f"nothing is called {word}")
        return {}

    def _speed(self, speed: object) -> None:
        if not isinstance(self._emulator.timeline, LockStep):
            raise Unknown("this site runs in real time")
        self._emulator.timeline.set_speed(None if speed is None else float(str(speed)))

    def _status(self) -> dict[str, object]:
        timeline, faults = self._emulator.timeline, self._emulator.faults
        return {
            "now_ms": timeline.now_us() // 1000,
            "lock_step": timeline.lock_step,
            "boards": {
                name: {
                    "powered": rig.board.powered,
                    "boots": rig.board.tally.boots,
                    "last_reset": rig.board.last_reset,
                    "resets": rig.board.tally.resets,
                    "flash_ops": rig.flash.ops,
                    "connections": len(rig.link.connections),
                    "pins": rig.devices.levels,
                }
                for name, rig in self._emulator.rigs.items()
            },
            "faults": [f"{kind} on {on or 'the site'}" for kind, on in faults.active],
            "overdue": self._emulator.overdue,
        }

    def close(self) -> None:
        loop = asyncio.get_running_loop()
        for sock in (self._listening, *self._peers):
            loop.remove_reader(sock)
            sock.close()


def ask(clock_path: Path, request: dict[str, object]) -> dict[str, object]:
    """One request to the emulator whose clock page this is."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as peer:
        peer.connect("\0" + address_of(clock_path) + "-control")
        peer.sendall(json.dumps(request).encode() + b"\n")
        answer = b""
        while not answer.endswith(b"\n"):
            part = peer.recv(65536)
            if not part:
                raise ConnectionError("the emulator went away")
            answer += part
    return dict(json.loads(answer))
