"""Commands on their way from the schedule chain to the stations.

Owns: fetching them, and the order: looked at, kept, passed on.
Refuses: passing one on twice, or one that gateway/lease.py stops.
Invariant: a command's counter is on disk before the command goes out: after a restart it is not passed on again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from gateway.lease import Gate, Passed, Stopped
from gateway.node import Node
from gateway.store import Store
from gateway.uplink import TROUBLE, Alarm, Retry, Say
from wire.ids import id_text

POLL_S = 0.1


@dataclass
class Down:
    node: Node
    chain: str
    gate: Gate
    store: Store
    now_s: Callable[[], int]
    mine: Callable[[bytes], bool]
    pass_on: Callable[[Passed], Awaitable[None]]
    say: Say
    alarm: Alarm
    after: int = 0
    stopped: dict[str, int] = field(default_factory=dict)  # reason: how many

    async def run(self) -> None:
        retry = Retry()
        while True:
            try:
                for number, station, raw in await self.node.commands(self.chain, self.after):
                    if self.mine(station):
                        await self._one(raw)
                    self.after = number
                retry.failures = 0
                await asyncio.sleep(POLL_S)
            except TROUBLE as trouble:
                self.alarm("schedule", "commands", str(trouble))
                await retry.wait()
            else:
                self.alarm("schedule", "commands", "")

    async def _one(self, raw: bytes) -> None:
        verdict = self.gate.look(raw, self.now_s())
        if isinstance(verdict, Stopped):
            self.stopped[verdict.reason] = self.stopped.get(verdict.reason, 0) + 1
            if verdict.reason != "replayed":
                self.say(f"a command was not passed on: {verdict.reason} {verdict.detail}")
            return
        command = verdict.command
        async with self.store.writing():
            self.store.put_counter(command.station, command.counter)
        self.gate.counters[command.station] = command.counter
        self.say(f"command {command.counter} to {id_text(command.station)}")
        await self.pass_on(verdict)
