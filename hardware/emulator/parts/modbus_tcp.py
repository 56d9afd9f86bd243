"""Modbus TCP in front of emulated registers: a real socket for a device that is not real.

Owns: MBAP frames, one socket with many units behind it. Refuses: what the registers mean.
Invariants: one answer to each request, in order, each after the device's turnaround; a broken header ends the
connection; units that are not there, or dead, are silent.
"""

import asyncio
import contextlib
import random
from collections.abc import Callable, Mapping
from typing import Protocol

from .gauge import Failure

_HEADER = 7
_LENGTH_MAX = 254


class Unit(Protocol):
    """Registers that can fail."""

    failure: Failure

    def respond(self, pdu: bytes, now_us: int) -> bytes | None: ...


class ModbusTcpServer:
    """`clock` says the site's time in microseconds. Port 0 takes a free one; `port` says which."""

    def __init__(self, units: Mapping[int, Unit], clock: Callable[[], int], turnaround_s: float = 0.002) -> None:
        self.units = units
        self.port = 0
        self._clock = clock
        self._turnaround_s = turnaround_s
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> None:
        self._server = await asyncio.start_server(self._serve, host, port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        if self._server:
            self._server.close()
            for writer in self._writers:
                writer.close()
            await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            while True:
                header = await reader.readexactly(_HEADER)
                length = int.from_bytes(header[4:6], "big")
                if header[2:4] != b"\0\0" or not 2 <= length <= _LENGTH_MAX:
                    return
                pdu = await reader.readexactly(length - 1)
                answer = self._answer(header[6], pdu)
                if answer is not None:
                    await asyncio.sleep(self._turnaround_s)
                    writer.write(header[:4] + (len(answer) + 1).to_bytes(2, "big") + header[6:] + answer)
                    await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the client went away
        finally:
            self._writers.discard(writer)
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    def _answer(self, number: int, pdu: bytes) -> bytes | None:
        unit = self.units.get(number)
        if unit is None or unit.failure is Failure.DEAD:
            return None
        if unit.failure is Failure.BABBLING:
            return random.Random(pdu).randbytes(9)
        return unit.respond(pdu, self._clock())
