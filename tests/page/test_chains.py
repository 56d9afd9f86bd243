"""Blocks of three chains, folded: transfers with their steps in whatever order blocks come, grants, payments."""

from itertools import permutations

import pytest

from ledger.client import ClientBlock
from ledger.dispatch import Side, Why
from pilot.page.chains import At, Chains
from tests.page.rig import ANNA, BEN, CHAINS, DEPOT, START_S, Rig
from wire.chain.kinds import SCHEDULE, TRANSACTION

STEPS = [
    (TRANSACTION, ClientBlock(5, 100, [b""], [("lock/locked", {"lock": 0, "owner": ANNA, "amount": 300})], [])),
    (SCHEDULE, ClientBlock(8, 101, [b""], [("clients/header", {"chain": CHAINS[TRANSACTION], "height": 5})], [])),
    (SCHEDULE, ClientBlock(9, 102, [b""], [("clients/header", {"chain": CHAINS[TRANSACTION], "height": 6})], [])),
    (SCHEDULE, ClientBlock(10, 103, [b""], [("lock/unlocked", {"lock": 0, "to": ANNA, "credit": 300})], [])),
    (TRANSACTION, ClientBlock(7, 104, [b""], [("clients/header", {"chain": CHAINS[SCHEDULE], "height": 12})], [])),
    (TRANSACTION, ClientBlock(8, 105, [b""], [("lock/done", {"lock": 0})], [])),
]


def merged(order: tuple[int, ...]) -> Chains:
    """Blocks of one chain come in order, those of two chains in any."""
    chains = Chains(CHAINS, 1)
    for sort, block in (STEPS[place] for place in order):
        chains.take(sort, block)
    return chains


def in_order_each(order: tuple[int, ...]) -> bool:
    heights = {TRANSACTION: 0, SCHEDULE: 0}
    for sort, block in (STEPS[place] for place in order):
        if block.height < heights[sort]:
            return False
        heights[sort] = block.height
    return True


def test_a_transfer_has_its_four_steps_whatever_comes_first() -> None:
    orders = [order for order in permutations(range(len(STEPS))) if in_order_each(order)]
    assert len(orders) == 20
    for order in orders:
        (transfer,) = merged(order).transfers()
        assert transfer.locked and transfer.locked.at == At(5, 100)
        assert transfer.known == At(9, 102), "a header that is not c above the lock proves nothing"
        assert transfer.unlocked and transfer.unlocked.at == At(10, 103)
        assert transfer.back == At(7, 104)
        assert transfer.done == At(8, 105)


def test_a_step_that_was_not_taken_is_none() -> None:
    (transfer,) = merged((0, 1)).transfers()
    assert (transfer.known, transfer.unlocked, transfer.done) == (None, None, None)


def test_a_refund_ends_a_transfer() -> None:
    chains = merged((0,))
    chains.take(
        TRANSACTION, ClientBlock(9, 800, [b""], [("lock/refunded", {"lock": 0, "owner": ANNA, "amount": 300})], [])
    )
    (transfer,) = chains.transfers()
    assert transfer.refunded == At(9, 800) and transfer.done is None


def test_the_same_number_on_both_chains_is_two_transfers() -> None:
    chains = merged(tuple(range(6)))
    chains.take(SCHEDULE, ClientBlock(11, 200, [b""], [("lock/locked", {"lock": 0, "owner": BEN, "amount": 50})], []))
    assert [(one.source, one.lock) for one in chains.transfers()] == [(SCHEDULE, 0), (TRANSACTION, 0)]


@pytest.fixture
def rig() -> Rig:
    return Rig()


def grant(rig: Rig, number: int = 0) -> None:
    rig.block("schedule", ("dispatch/ordered", {"order": 4, "user": ANNA, "side": Side.BUY, "units": 3}))
    rig.block("schedule", ("dispatch/granted", {"grant": number, "order": 4, "station": DEPOT, "units": 3}))


def test_a_grant_is_paid_unit_by_unit_and_closed(rig: Rig) -> None:
    grant(rig)
    for _ in range(2):
        rig.block("schedule", ("settlement/unit", {"grant": 0, "giver": ANNA, "taker": DEPOT, "amount": 10}))
    chains = rig.website.node.chains
    assert chains.grants[0].paid == 2 and chains.paid == 2
    rig.block("schedule", ("dispatch/left", {"grant": 0, "station": DEPOT, "why": Why.TRIP}))
    rig.block("schedule", ("dispatch/closed", {"grant": 0, "units": 2, "station_wh": 21, "user_wh": 20}))
    assert chains.grants[0].closed and chains.grants[0].why == Why.TRIP
    assert [notice.words for notice in chains.notices if notice.alarm] == ["tripped: grant 0 is over"]


def test_events_of_a_grant_from_before_the_page_began_are_no_error(rig: Rig) -> None:
    rig.block("schedule", ("settlement/unit", {"grant": 77, "giver": ANNA, "taker": DEPOT, "amount": 10}))
    rig.block("schedule", ("dispatch/closed", {"grant": 77, "units": 2, "station_wh": 21, "user_wh": 20}))
    assert rig.website.node.chains.grants == {} and rig.website.node.chains.paid == 1


def test_a_blocks_line_counts_what_is_in_it(rig: Rig) -> None:
    slave = {"gateway": bytes(8), "height": 1, "urgency": 1, "messages": 3, "reports": 3}
    rig.block("main", ("slaves/block", slave), ("slaves/block", {**slave, "urgency": 0}), txs=2)
    rig.block("schedule", txs=0)
    rig.block("transaction", refused=("insufficient",))
    blocks = rig.website.node.chains.blocks
    assert blocks["main"][-1].words == "2 slave blocks" and blocks["main"][-1].urgent
    assert blocks["schedule"][-1].words.startswith("empty")
    assert rig.website.node.chains.notices[-1].words == "refused a transaction: insufficient"
    assert blocks["transaction"][-1].at == At(1, START_S)
