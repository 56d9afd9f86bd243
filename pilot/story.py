"""What the pilot plays by itself: households buy and sell through real wallets, and the log tells it in plain words.

Owns: who does what and when (from the story's seed), the words for what happens on the chains, the story's figures.
Refuses: touching boards, grid or chain state: it only sends transactions that any wallet could send, and watches.
Invariant: everything it tells, it read from a chain.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from hardware.emulator.clock import SiteClock
from hardware.site.model import Participant
from ledger.client import ChainClient
from ledger.dispatch import Side, Why
from pilot.founding import Founded
from pilot.pursuit import Followed, Pursuit, Rating
from pilot.witness import FAULT, Doing
from wire.chain import kinds
from wire.chain.rest import NodeDown
from wire.errors import WireError
from wire.ids import id_text

DEADLINE_S = 600  # for a purchase to arrive on the schedule chain
POLL_S = 0.025
LOOK_S = 1.0  # of site time
UNITS_PER_ORDER = 1
ORDERS_OPEN = 4  # of one household
BUY_PAUSE_S = (1.0, 3.0)
SELL_PAUSE_S = (40.0, 60.0)
SETTLE_S = 120
ADVANCED_ORDERS = 100
LIMITS_W = {Side.BUY: range(1_000, 1_900, 100), Side.SELL: range(2_000, 2_100, 100)}
FAULTS = {
    "link-down": ("the link of {} is cut: it measures on and keeps what it cannot send", "the link of {} heals"),
    "power-cut": ("{} loses its power", "{} has power again"),
}
WHY = {Why.QUOTA: "its units are done", Why.TRIP: "the station tripped", Why.LEASE: "its lease ended"}


@dataclass
class Figures:
    pursuit: Pursuit = field(default_factory=lambda: Pursuit({}))
    purchases: int = 0
    commands: int = 0
    receipts: int = 0
    units: int = 0
    trips: int = 0
    transfer_ms: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


@dataclass
class Wallet:
    """A participant on both chains."""

    name: str
    transaction: ChainClient
    schedule: ChainClient

    @property
    def id(self) -> str:
        return id_text(self.schedule.account)


@dataclass
class Story:
    founded: Founded
    wallets: dict[str, Wallet]
    ids: dict[str, bytes]  # boards
    clock: SiteClock
    tell: Callable[[str], None]
    figures: Figures = field(default_factory=Figures)
    _acted: int = 0  # purchases told of
    _idled: set[str] = field(default_factory=set)  # who has let an order expire

    def __post_init__(self) -> None:
        ledger = self.founded.site.ledger
        assert ledger is not None
        self.unit_wh = ledger.unit_wh
        self.order_wh = ledger.unit_wh * UNITS_PER_ORDER
        self.names = {self.founded.account(name): name for name in self.founded.keys}
        stations = {one.device: one.name for one in ledger.participants if one.role == "station"}
        self.names |= {id: stations.get(board, board) for board, id in self.ids.items()}
        self.stations = [self.ids[board] for board in stations if board is not None]
        self.figures.pursuit = Pursuit({id: Followed(self._rating(id)) for id in self.stations})

    def _rating(self, station: bytes) -> Rating:
        site = self.founded.site
        board = next(one for one in site.boards if self.ids[one.name] == station)
        places = {sensor.at for sensor in board.sensors}
        store = next(one for one in site.stations if one.name in places)
        return Rating(board.name, store.charge_w_max, store.discharge_w_max)

    async def _pause(self, seconds: float) -> None:
        """Of site time."""
        await self.clock.sleep_until(self.clock.now_ms() + int(seconds * 1_000))

    async def run(self) -> None:
        ledger = self.founded.site.ledger
        assert ledger is not None
        users = [one for one in ledger.participants if one.role == "user" and one.device]
        company = next(one.name for one in ledger.participants if one.role == "company")
        async with asyncio.TaskGroup() as group:
            group.create_task(self._watch())
            group.create_task(self._settle(company))
            for number, user in enumerate(users):
                source = random.Random(f"{self.founded.site.story.seed} {number}")
                play = self._sell if self._has_panels(user) else self._buy
                group.create_task(self._persist(user, play, company, source))

    def _has_panels(self, user: Participant) -> bool:
        board = next(board for board in self.founded.site.boards if board.name == user.device)
        return any(panels.house == sensor.at for panels in self.founded.site.panels for sensor in board.sensors)

    async def _persist(self, user: Participant, play: Callable[..., Any], company: str, source: random.Random) -> None:
        """A household goes on after whatever a node says."""
        heard = False
        while True:
            try:
                if not heard:
                    await self._heard(user)
                    heard = True
                await play(user, company, source)
            except NodeDown as down:
                self.tell(f"{user.name} waits: {down}")
            except WireError as refusal:
                self.figures.errors.append(f"{user.name}: {refusal}")
                self.tell(f"{user.name} was refused: {refusal}")
            await self._pause(1.0)

    # ------------------------------------------------------------ what participants do

    async def _settle(self, company: str) -> None:
        """Acquisition S1: the company's rights at each station, from which sellers are paid; supply S7: after a period
        the stations pay all they have to the company, and the next period begins."""
        schedule = self.wallets[company].schedule
        while True:
            for station in self.stations:
                amount = self.order_wh * ADVANCED_ORDERS
                await self._as_company(schedule, kinds.Advance(station=station, amount=amount), "advances rights to")
            await self._pause(SETTLE_S)
            for station in self.stations:
                await self._as_company(schedule, kinds.SettlePeriod(station=station), "settles the period with")

    async def _as_company(self, schedule: ChainClient, body: kinds.Advance | kinds.SettlePeriod, verb: str) -> None:
        try:
            outcome = (await schedule.send(body))[0]
        except NodeDown as down:
            self.tell(f"the company waits: {down}")
            return
        self._expect(outcome.reason, f"the company {verb} {self.names[body.station]}")

    async def _heard(self, user: Participant) -> None:
        """Until the schedule chain has heard of the user's meter and of a station: before that nothing is taken."""
        assert user.device is not None
        schedule = self.wallets[user.name].schedule
        meter = id_text(self.ids[user.device])
        while meter not in [row["id"] for row in await schedule.query("positions")] or not await self._stations():
            await self._pause(LOOK_S)

    async def _stations(self) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = await self.wallets["observer"].schedule.query("stations")
        return rows

    async def _buy(self, user: Participant, company: str, source: random.Random) -> None:
        """Buys rights for one order and orders at once; several orders of a household may be open together."""
        wallet = self.wallets[user.name]
        await self._provide(wallet, company)
        await self._order(wallet, user, Side.BUY, LIMITS_W[Side.BUY], source)
        await self._pause(source.uniform(*BUY_PAUSE_S))

    async def _provide(self, wallet: Wallet, company: str) -> None:
        """Rights for one order."""
        balance = int(await wallet.schedule.query("balance", wallet.id))
        if balance < self.order_wh:
            await self._purchase(wallet, company, self.order_wh, balance)

    async def _purchase(self, wallet: Wallet, company: str, amount_wh: int, before: int) -> None:
        """Supply S1–S3: tokens to the company, rights to the user, by proof from chain to chain."""
        began = time.monotonic()
        purchase = kinds.Purchase(
            company=self.founded.account(company),
            to=wallet.schedule.account,
            amount=amount_wh,
            deadline_s=self.clock.now_ms() // 1_000 + DEADLINE_S,
        )
        outcome = (await wallet.transaction.send(purchase))[0]
        self._expect(outcome.reason, f"{wallet.name} pays {amount_wh / 1_000:g} tokens for rights")
        while int(await wallet.schedule.query("balance", wallet.id)) <= before:
            await asyncio.sleep(POLL_S)
        took_ms = (time.monotonic() - began) * 1_000
        self.figures.purchases += 1
        self.figures.pursuit.bought(wallet.schedule.account, began)
        self.figures.transfer_ms.append(took_ms)
        self.tell(f"{wallet.name} holds {amount_wh} Wh of rights, {took_ms:.0f} ms after paying on the other chain")

    async def _sell(self, user: Participant, company: str, source: random.Random) -> None:
        """Sells in the pauses: a station with buyers takes no sellers where the chain says one way at a time. Before
        that it lets an order expire, once."""
        if user.name not in self._idled:
            await self._provide(self.wallets[user.name], company)
            self._idled.add(user.name)
            await self._order(self.wallets[user.name], user, Side.BUY, range(1), source)
            self.tell(f"{user.name} takes nothing: the lease will end, and the rights come back")
        await self._pause(source.uniform(*SELL_PAUSE_S))
        await self._order(self.wallets[user.name], user, Side.SELL, LIMITS_W[Side.SELL], source)

    async def _order(
        self, wallet: Wallet, user: Participant, side: Side, limits_w: range, source: random.Random
    ) -> None:
        """Orders, and waits until the household has room for another order."""
        assert user.device is not None
        limit_w = source.choice(limits_w)
        order = kinds.Order(side=int(side), energy_wh=self.order_wh, limit_w=limit_w, meter=self.ids[user.device])
        outcome = (await wallet.schedule.send(order))[0]
        verb = "buy" if side == Side.BUY else "sell"
        self._expect(outcome.reason, f"{wallet.name} asks to {verb} {self.order_wh} Wh")
        while sum(one["user"] == wallet.id for one in await self._orders(wallet)) >= ORDERS_OPEN:
            await self._pause(LOOK_S)

    async def _orders(self, wallet: Wallet) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = await wallet.schedule.query("orders")
        return rows

    def _expect(self, reason: str, words: str) -> None:
        if reason:
            self.figures.errors.append(f"{words}: {reason}")
            self.tell(f"{words}, but: {reason}")
        else:
            self.tell(words)

    # ------------------------------------------------------------ what happens

    async def _watch(self) -> None:
        observer = self.wallets["observer"].schedule
        top: int | None = None
        while True:
            try:
                if top is None:
                    top, _ = await observer.status()
                async for block in observer.blocks(top + 1):
                    top = block.height
                    for kind, fields in block.events:
                        self._happened(kind, fields)
            except NodeDown as down:
                self.tell(f"the schedule chain is not there: {down}")
                await asyncio.sleep(1.0)

    def _name(self, id: bytes) -> str:
        return self.names.get(id) or id_text(id)

    def saw(self, line: str) -> None:
        """What the emulated street says: faults, and what stations do."""
        doing = Doing.read(line)
        if doing is not None:
            self.figures.pursuit.did(doing)
        elif line.startswith(FAULT):
            kind, _, board, *repaired = line.removeprefix(FAULT).split()
            began, ended = FAULTS.get(kind, (f"{kind} strikes {{}}", f"{kind} is over at {{}}"))
            self.tell((ended if repaired else began).format(board))
            self.figures.pursuit.cut(board.partition("/")[0], time.monotonic(), bool(repaired))

        self._tell_acted()

    def _tell_acted(self) -> None:
        for took_ms in self.figures.pursuit.took_ms[self._acted :]:
            self._acted += 1
            self.tell(f"a station acts, {took_ms / 1_000:.1f} s after the purchase behind it")

    def _happened(self, kind: str, fields: dict[str, Any]) -> None:
        self.figures.pursuit.happened(kind, fields)
        self._tell_acted()
        if kind == "dispatch/granted":
            energy_wh = fields["units"] * self.unit_wh
            self.tell(f"{self._name(fields['station'])} is to move {energy_wh} Wh (grant {fields['grant']})")
        elif kind == "dispatch/left":
            why = WHY.get(Why(fields["why"]), Why(fields["why"]).name.lower())
            self.figures.trips += fields["why"] == Why.TRIP
            self.tell(f"{self._name(fields['station'])} lets go of grant {fields['grant']}: {why}")
        elif kind == "settlement/unit":
            self.figures.units += 1
            giver, taker = self._name(fields["giver"]), self._name(fields["taker"])
            self.tell(f"{giver} pays {taker} {fields['amount']} Wh of rights for energy that two meters saw")
        elif kind == "command":
            self.figures.commands += 1
        elif kind == "dispatch/flag":
            side = "supply" if fields["side"] == Side.BUY else "acquisition"
            state = "open" if fields["flag"] else "closed"
            self.tell(f"{self._name(fields['station'])} is {state} for {side}")
        elif kind == "settlement/receipt":
            self.figures.receipts += 1
        elif kind == "supply/settled":
            self.tell(f"the period is settled: {self._name(fields['station'])} paid {fields['amount']} Wh of rights")
