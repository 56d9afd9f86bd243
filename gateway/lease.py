"""Commands on their way down: looked at before they are passed on, unchanged.

Owns: the gateway's check of a command's signature, lease and counter. Pure.
Refuses: what the chain's dispatch key did not sign, what is late, what is not newer than the last one passed on.
Invariant: the MAC is neither made nor checked here; the station does that.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from wire import envelope
from wire.command import Command
from wire.errors import WireError

if TYPE_CHECKING:
    from wire.envelope import Verifier


@dataclass(frozen=True)
class Passed:
    command: Command
    raw: bytes  # the COSE_Mac0, as it came


@dataclass(frozen=True)
class Stopped:
    reason: str
    detail: str


@dataclass
class Gate:
    """`counters` are the last ones passed on, by station; who passes one on keeps its counter first."""

    verifier: Verifier
    counters: dict[bytes, int] = field(default_factory=dict)

    def look(self, raw: bytes, now_s: int) -> Passed | Stopped:
        try:
            inner = envelope.unwrap_mac(raw)
            command = Command.decode(envelope.open_signed(inner, self.verifier, Command.DOMAIN))
        except WireError as error:
            return Stopped(error.reason, error.detail)
        if now_s > command.lease_until:
            return Stopped("late", f"the lease ended at {command.lease_until}")
        last = self.counters.get(command.station, -1)
        if command.counter <= last:
            return Stopped("replayed", f"counter {command.counter}, passed on already: {last}")
        return Passed(command, raw)
