"""A website of the two-houses site that is fed by hand, and a server thread for real browsers.

Owns: the hand on the clock, reports of boards made up row by row, blocks made up event by event.
Refuses: judging. Signatures are not the page's to check: the gateway did, so these reports carry an empty one.
"""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from typing import Any

from hardware import site as sites
from ledger.client import ClientBlock
from pilot.page.boards import Stored
from pilot.page.cabinet import Sealed
from pilot.page.service import Server
from pilot.page.website import Website, build
from wire.chain.kinds import EVERY
from wire.envelope import SIGN1_HEAD
from wire.rows import CLOSED, EVENT, HEAD_START, SYNCED, encode, encode_row

SITE = sites.load("two-houses")
START_S = SITE.start_s
CHAINS = {sort: f"two-houses-{sort}" for sort in EVERY}
ACCOUNTS = {name: name.encode().ljust(8, b"-") for name in ("company", "anna", "ben")}
BOARDS = {name: name.encode()[-8:].rjust(8, b"-") for name in ("meter-a", "meter-b", "station-1")}
ANNA, BEN, COMPANY = ACCOUNTS["anna"], ACCOUNTS["ben"], ACCOUNTS["company"]
DEPOT = BOARDS["station-1"]


def signed(payload: bytes) -> bytes:
    head = b"\x58" + bytes([len(payload)]) if len(payload) < 256 else b"\x59" + len(payload).to_bytes(2, "big")
    assert len(payload) >= 24
    return SIGN1_HEAD + bytes(8) + b"\xa0" + head + payload + b"\x58\x40" + bytes(64)


class Rig:
    def __init__(self) -> None:
        self.now_ms = START_S * 1_000
        self.website: Website = build(SITE, CHAINS, ACCOUNTS, {}, lambda: self.now_ms)
        self.website.street.board_ids |= BOARDS
        self.node.names |= {account: name for name, account in ACCOUNTS.items()}
        self._seq = dict.fromkeys(BOARDS, 0)
        self._heights = dict.fromkeys(EVERY, 0)

    @property
    def boards(self) -> Any:
        return self.website.boards

    @property
    def node(self) -> Any:
        return self.website.node

    @property
    def now_s(self) -> int:
        return self.now_ms // 1_000

    def wait(self, seconds: float) -> None:
        self.now_ms += int(seconds * 1_000)

    def row(self, board: str, power_w: int, registers: tuple[int, int] = (0, 0), **more: Any) -> None:
        """One report of one row, made now."""
        self.rows(board, [(2, power_w, registers)], **more)

    def rows(
        self,
        board: str,
        rows: list[tuple[int, int, tuple[int, int]]],
        flags: int = 0,
        event: tuple[int, int] | None = None,
        more: dict[int, Any] | None = None,
        suspect: int = 0,
        quality: int = SYNCED,
    ) -> None:
        """`rows` are (dt, power, registers); flags, event and more are the last one's."""
        made = []
        for place, (dt, power_w, registers) in enumerate(rows):
            last = place == len(rows) - 1
            extra = dict(more or {}) if last else {}
            if event is not None and last:
                extra[0] = list(event)
            bits = (flags | (EVENT if event is not None else 0)) if last else 0
            made.append(encode_row(dt, *registers, power_w, 230_000, abs(power_w) * 1_000 // 230, bits, extra or None))
        time_s = self.now_s - sum(row[0] for row in rows)
        payload = encode(BOARDS[board], 1, self._seq[board], HEAD_START, time_s, quality, made)
        self._seq[board] += len(rows)
        self.message(board, "report", payload, suspect)

    def message(self, board: str, kind: str, payload: bytes, suspect: int = 0) -> None:
        self.boards.take(Stored(BOARDS[board], kind, self.now_ms, suspect, signed(payload)))

    def block(self, sort: str, *events: tuple[str, dict[str, Any]], txs: int = 1, refused: tuple[str, ...] = ()) -> int:
        self._heights[sort] += 1
        height = self._heights[sort]
        self.website.node.chains.take(sort, ClientBlock(height, self.now_s, [b""] * txs, list(events), list(refused)))
        return height

    def header(self, on: str, of: str, height: int) -> None:
        self.block(on, ("clients/header", {"chain": CHAINS[of], "height": height}))

    def afternoon(self) -> None:
        """Everybody has reported twice, something was bought, and it is being delivered."""
        for step in range(2):
            self.row("meter-a", 3_700, (1_000 + 20 * step, 0))
            self.row("meter-b", -2_200, (500, 8_000 + 12 * step))
            self.row("station-1", -3_000, (4_000, 2_000 + 15 * step), flags=CLOSED, more={3: 412, 4: 215})
            self.wait(2)
        self.node.tokens_mt |= {ANNA: 99_700, BEN: 100_000, COMPANY: 1_000_000}
        self.node.rights_wh |= {ANNA: 300, BEN: 0, COMPANY: 998_000, DEPOT: 2_000}
        self.node.stations[DEPOT] = {"supply": 1, "acquire": 0, "buyers": 1, "sellers": 0}
        self.transfer()

    def evening(self) -> None:
        """Long numbers and long lines, as after weeks."""
        self.afternoon()
        slave = {"gateway": bytes(8), "height": 123_456, "urgency": 1, "messages": 88, "reports": 88}
        self._heights |= dict.fromkeys(EVERY, 1234560)
        for lock in range(3):
            self.transfer(1_234 + lock)
            self.block("main", *[("slaves/block", slave)] * 3, ("registry/entry", {}), txs=12)
            self.website.chains.sealed.insert(
                0, Sealed(123_456 + lock, self.now_s, lock % 2, 1_288, 1_234_561 if lock else None)
            )
            order, grant = {"order": 1_700 + lock, "user": ANNA}, {"grant": 9_300 + lock, "station": DEPOT}
            self.block("schedule", ("dispatch/ordered", {**order, "side": lock % 2, "units": 10}))
            self.block("schedule", ("dispatch/granted", {**grant, "order": 1_700 + lock, "units": 10}), txs=33)
            self.block("schedule", ("settlement/unit", {**grant, "giver": ANNA, "taker": DEPOT, "amount": 1_000}))
            self.block("schedule", ("dispatch/left", {**grant, "why": lock}))
            command = {"station": DEPOT, "counter": 55_120 + lock, "action": 1, "limit_w": 12_500, "energy_wh": 123_456}
            self.block("schedule", ("command", {**command, "lease_until": self.now_s + 900}))
        self.boards.receipts[DEPOT, 55_120] = {1: "taken", 2: "failed-safe (the gateway has not answered yet)"}
        totals = {"circulation": 10**12, "pending_amount": 10**9, "pool": 10**12, "supply": 2 * 10**12 + 10**9}
        self.node.totals |= {"transaction": totals, "schedule": totals}

    def transfer(self, lock: int = 0) -> None:
        """All steps of a purchase of 300 Wh."""
        locked = {"lock": lock, "owner": ANNA, "amount": 300, "purse": b"", "deadline_s": 0}
        height = self.block("transaction", ("lock/locked", locked))
        self.wait(1)
        self.header("schedule", "transaction", height + 1)
        credited = self.block("schedule", ("lock/unlocked", {"lock": lock, "to": ANNA, "credit": 300}))
        self.wait(1)
        self.header("transaction", "schedule", credited + 1)
        self.block("transaction", ("lock/done", {"lock": lock}))


class Served:
    """The rig's website on a port, in a thread; `stop` and `start` again on the same port."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        self.server = Server(self.rig.website.app, self.port)
        self.thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)
        self.thread.start()
        while not self.server.started:
            assert self.thread.is_alive()
            time.sleep(0.02)

    async def _serve(self) -> None:
        ticking = asyncio.create_task(self._tick())
        await self.server.serve()
        ticking.cancel()

    async def _tick(self) -> None:
        """As the hub runs, with the hand's clock going on."""
        while True:
            self.rig.website.hub.tick()
            await asyncio.sleep(0.25)
            self.rig.wait(0.25)

    def __enter__(self) -> Served:
        return self

    def __exit__(self, *_: object) -> None:
        if self.thread.is_alive():
            self.stop()

    def stop(self) -> None:
        self.server.should_exit = True
        self.server.force_exit = True
        self.thread.join(10)
        assert not self.thread.is_alive()
