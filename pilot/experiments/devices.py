"""Meters and stations whose keys are software: they sign the same reports, states and receipts as real ones.

Owns: registers, rows under a chain of heads, and their signatures, for experiments and tests.
Refuses: nothing; what a chain makes of the reports is the chain's business.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from wire import command, envelope, report
from wire import rows as wire_rows
from wire.chain.keys import PrivateKey
from wire.rows import EVENT, EVENTS, HEAD_START, SYNCED, encode_row
from wire.state import State

REPORT = 0  # of wire.chain.kinds.EVIDENCE


class SoftDevice:
    def __init__(self, key: PrivateKey, now_s: Callable[[], int]) -> None:
        self.key = key
        self.id = key.kid
        self._now_s = now_s
        self.seq = 0
        self.head = HEAD_START
        self.registers = [0, 0]  # import, export
        self.number = 0
        self.time_s = now_s()

    def row(self, imported_wh: int = 0, exported_wh: int = 0, event: tuple[str, int] | None = None) -> bytes:
        """The next row, after so much energy in the time since the last one."""
        dt, self.time_s = self._now_s() - self.time_s, self._now_s()
        self.registers[0] += imported_wh
        self.registers[1] += exported_wh
        power_w = (imported_wh - exported_wh) * 3600 // dt if dt else 0
        more = {0: [EVENTS.index(event[0]), event[1]]} if event else None
        imported, exported = self.registers
        return encode_row(dt, imported, exported, power_w, 230_000, 0, EVENT if event else 0, more)

    def seal(self, rows: Iterable[bytes], base_s: int, quality: int = SYNCED) -> bytes:
        made = report.Report(self.id, 1, self.seq, self.head, base_s, quality, list(rows))
        self.seq, self.head = made.next_seq, made.next_head
        return envelope.sign(self.key, wire_rows.DOMAIN, made.encode())

    def report(self, imported_wh: int = 0, exported_wh: int = 0, event: tuple[str, int] | None = None) -> list[Any]:
        """One row under one signature, as a `Readings` transaction takes it."""
        base_s = self.time_s
        return [REPORT, self.seal([self.row(imported_wh, exported_wh, event)], base_s)]

    def state(self, stored_wh: int, capacity_wh: int, supply: bool = True, acquire: bool = True) -> bytes:
        self.number += 1
        word = State(
            id=self.id,
            number=self.number,
            seq=self.seq,
            stored_wh=stored_wh,
            capacity_wh=capacity_wh,
            soc_milli=min(stored_wh * 1000 // capacity_wh, 1000),
            temperature_dc=None,
            supply_ok=int(supply),
            acquire_ok=int(acquire),
            time_s=self._now_s(),
            quality=SYNCED,
        )
        return envelope.sign(self.key, State.DOMAIN, word.encode())

    def receipt(self, counter: int, id: bytes, part: int, outcome: str, reason: str = "") -> bytes:
        last_seq = max(self.seq - 1, 0)
        word = command.Receipt(
            station=self.id,
            command=id,
            counter=counter,
            part=part,
            outcome=command.OUTCOMES.index(outcome),
            reason=command.REASONS.index(reason),
            before=list(self.registers),
            after=list(self.registers),
            first_seq=last_seq,
            last_seq=last_seq,
            time_s=self._now_s(),
        )
        return envelope.sign(self.key, command.Receipt.DOMAIN, word.encode())
