"""Both sister chains under any order of calls, relays, replays, delays and crashes, judged by a model of a few lines.

The model knows wallets and transfers, nothing of proofs, purses or headers: a transfer is locked, then either taken up
or refunded, once. After each step every wallet, both pools and all that is under way are compared with it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, precondition, rule

from ledger import contracts
from ledger.app import App, Block
from ledger.contracts import lock
from tests.ledger.sisters import CHECK, NS, Chain, World, kid
from wire.chain import kinds

PEOPLE = ("ann", "ben", "EC")
CONFIRMATIONS = 2
SIDES = ("transaction", "schedule")


@dataclass
class Transfer:
    """What a person would write down."""

    side: str  # where it was locked
    number: int
    owner: str
    amount: int
    deadline_s: int
    height: int
    taken_up: int = 0  # height over there
    refunded: bool = False
    acknowledged: bool = False


@dataclass
class Said:
    """Something that a relayer sent, and may send again."""

    transfer: Transfer
    body: kinds.Kind
    under: int  # height of the header it is proven under
    under_s: int = 0  # and its time
    shows: bool = True  # a refund's: whether the receipt was absent there


@dataclass
class Model:
    wallets: dict[tuple[str, str], int]
    transfers: list[Transfer] = field(default_factory=list)


class Transfers(RuleBasedStateMachine):
    said = Bundle("said")

    @initialize()
    def start(self) -> None:
        roles = {"EC": "company", "ann": "user", "ben": "user", "relay": "relay", "second": "relay"}
        tokens, rights = dict.fromkeys(PEOPLE, 100), dict.fromkeys(PEOPLE, 60)
        self.world = World(tokens, rights, roles=roles, parameters={"confirmations": CONFIRMATIONS})
        self.model = Model(
            {(side, who): money[who] for side, money in zip(SIDES, (tokens, rights), strict=True) for who in PEOPLE}
        )
        self.circulates = {"transaction": 300, "schedule": 180}

    def chain(self, side: str) -> Chain:
        chain: Chain = getattr(self.world, side)
        return chain

    def now_s(self) -> int:
        return self.world.now_ns // NS

    # -- what people do -----------------------------------------------------------------------------------------------

    @rule(
        side=st.sampled_from(SIDES),
        giver=st.sampled_from(PEOPLE),
        taker=st.sampled_from(PEOPLE),
        amount=st.integers(1, 120),
    )
    def pay(self, side: str, giver: str, taker: str, amount: int) -> None:
        reason = self.chain(side).send(giver, kinds.Pay(to=kid(taker), amount=amount, message=None)).reason
        assert reason == ("" if amount <= self.model.wallets[side, giver] else "insufficient")
        if not reason:
            self.model.wallets[side, giver] -= amount
            self.model.wallets[side, taker] += amount

    @rule(
        side=st.sampled_from(SIDES), owner=st.sampled_from(PEOPLE), amount=st.integers(1, 80), wait_s=st.integers(0, 6)
    )
    def lock(self, side: str, owner: str, amount: int, wait_s: int) -> None:
        chain, deadline_s = self.chain(side), self.now_s() + wait_s
        number = chain.app.query("lock")["locks"]
        if side == "transaction" and owner != "EC" and amount % 2:
            body: kinds.Kind = kinds.Purchase(company=kid("EC"), to=kid(owner), amount=amount, deadline_s=deadline_s)
        else:
            body = kinds.Lock(to=kid(owner), amount=amount, deadline_s=deadline_s)
        reason = chain.send(owner, body).reason
        enough = amount <= self.model.wallets[side, owner]
        assert reason == ("too-late" if not wait_s else "" if enough else "insufficient")
        if not reason:
            self.model.wallets[side, owner] -= amount
            self.model.transfers.append(Transfer(side, number, owner, amount, deadline_s, chain.height()))

    # -- what relayers carry ------------------------------------------------------------------------------------------

    @precondition(lambda self: self.model.transfers)
    @rule(
        target=said, data=st.data(), what=st.sampled_from(["unlock", "acknowledge", "refund"]), blocks=st.integers(0, 3)
    )
    def carry(self, data: st.DataObject, what: str, blocks: int) -> Any:
        """Brings the newest header after so many more blocks, and what it proves."""
        transfer = data.draw(st.sampled_from(self.model.transfers))
        source, target = self.chain(transfer.side), self.world.other(self.chain(transfer.side))
        of, to = (source, target) if what == "unlock" else (target, source)
        for _ in range(blocks):
            of.make()
        height = self.world.show_header(of, to)
        name = (lock.LOCKS if what == "unlock" else lock.RECEIPTS).key(transfer.number)
        under_s = of.lights[height].header.time_ns // NS
        _, value, proof = of.proof(name, height)
        number = transfer.number
        if what == "refund":
            body: kinds.Kind = kinds.Refund(lock=number, height=height, proof=proof)
        elif value is None:
            return Said(transfer, kinds.Object(), 0)  # nothing is there to be shown
        elif what == "unlock":
            body = kinds.Unlock(lock=number, proof=[height, value, proof])
        else:
            body = kinds.Acknowledge(lock=number, proof=[height, value, proof])
        said = Said(transfer, body, height, under_s, value is None)
        self.say(said, "relay")
        return said

    @rule(said=said, by=st.sampled_from(["relay", "second", "ann"]))
    def again(self, said: Said, by: str) -> None:
        """A replay, by whom ever."""
        self.say(said, by)

    @rule(first=said, second=consumes(said))
    def together(self, first: Said, second: Said) -> None:
        """Two relayers, one block: as if one came after the other."""
        pair = [one for one in (first, second) if not isinstance(one.body, kinds.Object)]
        if len(pair) < 2 or self.target(pair[0]) is not self.target(pair[1]):
            return
        chain = self.target(pair[0])
        raws = [chain.sign(by, one.body) for by, one in zip(("relay", "second"), pair, strict=True)]
        for one, result in zip(pair, chain.make(*raws), strict=True):
            self.judge(one, result.reason, chain.height())

    def target(self, said: Said) -> Chain:
        source = self.chain(said.transfer.side)
        return self.world.other(source) if isinstance(said.body, kinds.Unlock) else source

    def say(self, said: Said, by: str) -> None:
        if not isinstance(said.body, kinds.Object):
            chain = self.target(said)
            result = chain.send(by, said.body)
            self.judge(said, result.reason, chain.height())

    def judge(self, said: Said, reason: str, height: int) -> None:
        """Whether it may go through is the model's to say; then the model moves."""
        one = said.transfer
        there = SIDES[1 - SIDES.index(one.side)]
        open_here = not one.acknowledged and not one.refunded
        if isinstance(said.body, kinds.Unlock):
            right = not one.taken_up and self.now_s() < one.deadline_s and said.under >= one.height + CONFIRMATIONS
            if right:
                one.taken_up = height
                self.model.wallets[there, one.owner] += one.amount
        elif isinstance(said.body, kinds.Acknowledge):
            right = open_here and said.under >= one.taken_up + CONFIRMATIONS
            one.acknowledged |= right
        else:
            right = open_here and said.shows and said.under_s >= one.deadline_s
            if right:
                one.refunded = True
                self.model.wallets[one.side, one.owner] += one.amount
        assert (reason == "") == right, (reason, said)

    # -- what time and accidents do -----------------------------------------------------------------------------------

    @rule(seconds=st.integers(1, 3))
    def wait(self, seconds: int) -> None:
        self.world.pass_s(seconds)

    @rule(side=st.sampled_from(SIDES), blocks=st.integers(1, 3))
    def idle(self, side: str, blocks: int) -> None:
        chain = self.chain(side)
        for _ in range(blocks):
            root = chain.app.app_hash
            chain.make()
            assert chain.app.app_hash == root, "an empty block changes nothing"

    @rule(side=st.sampled_from(SIDES), owner=st.sampled_from(PEOPLE))
    def crash(self, side: str, owner: str) -> None:
        """Between working a block out and writing it: the block is lost, the chain goes on from what is on the disk."""
        chain = self.chain(side)
        raw = chain.sign(owner, kinds.Pay(to=kid("EC"), amount=1, message=None))
        chain.app.apply(Block(chain.height() + 1, self.world.now_ns, [raw]))
        again = App(chain.id, contracts.of(chain.sort), contracts.AUTHORITY, CHECK)
        again.load(b"", chain.height(), iter(list(chain.app.state.rows())))
        assert again.app_hash == chain.app.app_hash
        chain.take_over(again)

    # -- what must hold -----------------------------------------------------------------------------------------------

    @invariant()
    def nothing_is_made_or_lost(self) -> None:
        if not hasattr(self, "model"):
            return
        under_way = dict.fromkeys(SIDES, 0)
        crossed = dict.fromkeys(SIDES, 0)
        for one in self.model.transfers:
            assert not (one.taken_up and one.refunded), "one value, spendable twice"
            assert not one.acknowledged or one.taken_up
            there = SIDES[1 - SIDES.index(one.side)]
            if not one.acknowledged and not one.refunded:
                under_way[one.side] += one.amount
            else:
                crossed[one.side] -= 0 if one.refunded else one.amount
            crossed[there] += one.amount if one.taken_up else 0
        for side in SIDES:
            chain = self.chain(side)
            for who in PEOPLE:
                assert chain.balance(who) == self.model.wallets[side, who]
            totals = chain.app.query("lock")
            assert totals["pending_amount"] == under_way[side]
            assert totals["circulation"] == sum(self.model.wallets[side, who] for who in PEOPLE)
            other = self.circulates[SIDES[1 - SIDES.index(side)]]
            assert chain.balance(b"pool") == other - crossed[side]


Transfers.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestTransfers = Transfers.TestCase
