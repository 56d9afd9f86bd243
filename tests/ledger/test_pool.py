"""Waiting transactions: who goes first, who never goes, and that every wait ends."""

import asyncio

import pytest

from ledger.app import Result
from ledger.engines import pool
from ledger.engines.pool import LATER_S, TOO_LATE, Pool


def run(coroutine):
    return asyncio.run(coroutine)


def turns(table):
    """What App.turns gives, from a table by bytes: -1 over, 0 may go, 1 waits."""
    from hashlib import sha256

    named = {sha256(raw).digest(): verdict for raw, verdict in table.items()}
    return named.__getitem__


def test_in_order_of_arrival_within_number_and_size():
    async def main():
        p = Pool()
        waits = [p.add(b"%d" % i * 10, float(i)) for i in range(5)]
        free = turns({b"%d" % i * 10: 0 for i in range(5)})
        assert p.oldest_s() == 0.0
        assert p.pick(free, 3, 10**6, 9.0) == waits[:3]
        assert p.pick(free, 9, 25, 9.0) == waits[:2]
        assert p.pick(free, 9, 1, 9.0) == waits[:1], "one that is larger than all blocks goes alone"
        assert len(p) == 5, "they stay until they are settled"
        p.settle(7, [waits[1].raw, b"a stranger's", waits[0].raw], [Result(), Result(), Result("no")])
        assert waits[1].receipt.result() == (7, 0, Result()) and waits[0].receipt.result() == (7, 2, Result("no"))
        assert len(p) == 3

    run(main())


def test_the_same_transaction_shares_a_wait():
    async def main():
        p = Pool()
        assert p.add(b"x", 0.0) is p.add(b"x", 5.0) and len(p) == 1

    run(main())


def test_what_waits_for_others_makes_way_and_gives_up_in_the_end():
    async def main():
        p = Pool()
        later, over, now = p.add(b"later", 0.0), p.add(b"over", 0.0), p.add(b"now", 0.0)
        verdicts = turns({b"later": 1, b"over": -1, b"now": 0})
        assert p.pick(verdicts, 9, 99, 1.0) == [now]
        assert over.receipt.result() == TOO_LATE and not later.receipt.done()
        assert p.pick(turns({b"later": 0, b"now": 0}), 9, 99, 2.0) == [now, later], "it stands behind now"
        assert p.pick(verdicts, 9, 99, LATER_S + 1) == [now]
        assert later.receipt.result() == TOO_LATE

    run(main())


def test_stale_ones_are_given_again_or_let_go():
    async def main():
        p = Pool()
        old, over, young = p.add(b"old", 0.0), p.add(b"over", 0.0), p.add(b"young", 8.0)
        assert p.stale(turns({b"old": 0, b"over": -1, b"young": 0}), 5.0) == [old]
        assert over.receipt.result() == TOO_LATE and not young.receipt.done()
        p.refuse(old, Result("full"))
        p.refuse(old, Result("again"))
        assert old.receipt.result().result.reason == "full"

    run(main())


def test_no_more_than_there_is_room_for(monkeypatch):
    async def main():
        monkeypatch.setattr(pool, "WAITING_MAX", 2)
        p = Pool()
        assert p.add(b"1", 0.0) and p.add(b"2", 0.0) and p.add(b"3", 0.0) is None and p.add(b"2", 0.0)

    run(main())


def test_every_wait_ends_with_the_engine():
    async def main():
        p = Pool()
        waiting = p.add(b"1", 0.0)
        p.give_up(OSError("gone"))
        with pytest.raises(OSError, match="gone"):
            await waiting.receipt
        assert not p

    run(main())
