"""One Modbus line, serial or TCP: a question at a time, and no answer but to that question.

Owns: pymodbus's client, how long an answer may take, connecting again.
Refuses: an answer of another length or function; what comes late.
Invariants: every failure is a Fault with its reason; after one the line is left clean: what arrives later belongs to
nobody. A serial line is never asked twice at once; a TCP connection that failed is opened anew.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Generator, Sequence
from typing import Any, TypeVar

from pymodbus.client import AsyncModbusSerialClient, AsyncModbusTcpClient
from pymodbus.exceptions import ModbusException

from gateway.config import Wires
from gateway.meters import Fault, Order, Question

CONNECT_S = 3.0
TCP_ANSWER_S = 1.0
SERIAL_MARGIN_S = 0.2  # a slave's own time, and a host's scheduler
BITS = 11  # of a byte on a serial line
SILENT_INTERVAL_S = 0.005  # between two frames of a serial line, at least 3.5 characters
_EXCEPTIONS = {1: "function", 2: "address", 3: "value", 4: "failure", 6: "busy", 10: "path", 11: "target"}

logging.getLogger("pymodbus").setLevel(logging.CRITICAL)  # what it says comes out here as Faults

T = TypeVar("T")


def answer_s(wires: Wires, size: int) -> float:
    """How long the answer to a question for so many registers may take."""
    if wires.answer_ms:
        return wires.answer_ms / 1_000
    if wires.host:
        return TCP_ANSWER_S
    return (8 + 5 + 2 * size) * BITS / wires.baudrate + SERIAL_MARGIN_S


class Line:
    def __init__(self, wires: Wires) -> None:
        self.wires = wires
        self._client: Any = None
        self._lock = asyncio.Lock()

    def close(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None

    async def carry_out(self, plan: Generator[Question | Order, Sequence[int], T], unit: int) -> T:
        """Sends what the plan yields, gives it the answers, returns what it found."""
        answer: Sequence[int] | Fault | None = None
        try:
            while True:
                if isinstance(answer, Fault):
                    step = plan.throw(answer)
                else:
                    step = plan.send(answer)  # type: ignore[arg-type]
                try:
                    answer = await self._one(step, unit)
                except Fault as fault:
                    answer = fault
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]

    async def _one(self, step: Question | Order, unit: int) -> Sequence[int]:
        async with self._lock:
            client = await self._connected()
            try:
                if isinstance(step, Order):
                    return await self._write(client, step, unit)
                return await self._read(client, step, unit)
            except Fault as fault:
                if fault.reason != "refused":
                    await self._clean()
                raise

    async def _connected(self) -> Any:
        if self._client is None:
            self._client = self._make()
        if not self._client.connected:
            try:
                async with asyncio.timeout(CONNECT_S + 1):
                    up = await self._client.connect()
            except (OSError, ModbusException, TimeoutError) as error:
                raise Fault("down", str(error)) from None
            if not up:
                raise Fault("down", f"{self.wires.name} cannot be opened")
        return self._client

    def _make(self) -> Any:
        wires = self.wires
        if wires.host:
            return AsyncModbusTcpClient(
                wires.host, port=wires.tcp_port, timeout=CONNECT_S, retries=0, reconnect_delay=0, name=wires.name
            )
        return AsyncModbusSerialClient(
            wires.port,
            baudrate=wires.baudrate,
            parity=wires.parity,
            stopbits=wires.stopbits,
            timeout=CONNECT_S,
            retries=0,
            reconnect_delay=0,
            name=wires.name,
        )

    async def _read(self, client: Any, question: Question, unit: int) -> Sequence[int]:
        ask = client.read_holding_registers if question.function == 3 else client.read_input_registers
        asked = ask(question.address, count=question.size, device_id=unit)
        reply = await self._reply(asked, question.function, question.size)
        words = reply.registers
        if len(words) != question.size:
            raise Fault("broken", f"{len(words)} registers, {question.size} asked for")
        return words  # type: ignore[no-any-return]

    async def _write(self, client: Any, order: Order, unit: int) -> Sequence[int]:
        asked = client.write_registers(order.address, list(order.values), device_id=unit)
        reply = await self._reply(asked, 16, 4)
        if (reply.address, reply.count) != (order.address, len(order.values)):
            raise Fault("broken", "another order is confirmed")
        return ()

    async def _reply(self, asked: Any, function: int, size: int) -> Any:
        try:
            async with asyncio.timeout(answer_s(self.wires, size)):
                reply = await asked
        except TimeoutError:
            raise Fault("silent") from None
        except (ModbusException, OSError, AssertionError, ValueError, LookupError) as error:
            raise Fault("broken", str(error)) from None
        if reply.isError():
            code = int(getattr(reply, "exception_code", 0))
            raise Fault("refused", f"exception {code} ({_EXCEPTIONS.get(code, 'unknown')})", code)
        if reply.function_code != function:
            raise Fault("broken", f"function {reply.function_code}, {function} asked for")
        return reply

    async def _clean(self) -> None:
        """A connection that failed may still bring the answer: a new one does not. A serial line falls silent."""
        if self.wires.host:
            self.close()
        else:
            await asyncio.sleep(SILENT_INTERVAL_S)
