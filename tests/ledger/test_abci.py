"""ABCI against what a real CometBFT node sent: the recorded requests get the recorded answers, however they are cut.

tests/vectors/abci_frames.json was recorded by tests/vectors/record_comet.py.
"""

import asyncio
import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from ledger import genesis
from ledger.app import App
from ledger.engines import abci
from ledger.engines.abci import Frames
from ledger.engines.base import recover
from ledger.engines.comet import AbciServer
from ledger.engines.comet_app import CometApp
from ledger.snapshots import FORMAT, Snapshot, Snapshots
from ledger.store import Store
from tests.ledger.toychain import CHAIN, START, USERS, new_app, payment
from wire import cbor
from wire.chain import protobuf as pb
from wire.errors import WireError

RECORDED = json.loads((Path(__file__).parents[1] / "vectors" / "abci_frames.json").read_text())
GENESIS = genesis.decode(bytes.fromhex(RECORDED["genesis"]))
FRAMES = [(bytes.fromhex(request), bytes.fromhex(answer)) for request, answer in RECORDED["frames"]]
FLUSH = abci.request("flush")


class Fake:
    """CometBFT's end of the socket."""

    def __init__(self, path, server, app, store):
        self.server, self.app, self.store = server, app, store
        self._path = path

    async def connect(self):
        self.reader, self.writer = await asyncio.open_unix_connection(self._path)
        self._frames, self._found = Frames(), []
        return self

    async def send(self, data):
        self.writer.write(data)
        await self.writer.drain()

    async def answer(self):
        while not self._found:
            data = await self.reader.read(1 << 16)
            assert data, "the app closed the connection"
            self._found += [pb.delimited(frame) for frame in self._frames.feed(data)]
        return self._found.pop(0)

    async def ask(self, name, body=b""):
        await self.send(abci.request(name, body) + FLUSH)
        number, answer = next(iter(pb.fields(next(Frames().feed(await self.answer())))))
        assert number == abci.NUMBERS[name] + 1, answer
        assert await self.answer() == abci.response("flush")
        return pb.Reader(answer)


@asynccontextmanager
async def serving(path, blocks=None):
    app, store = new_app(at_genesis=False), Store(path / "chain.db")
    recover(app, store, GENESIS)
    checker = ThreadPoolExecutor(1)
    handler = CometApp(
        app, store, GENESIS, Snapshots(path / "snapshots"), (blocks if blocks is not None else []).append
    )
    server = AbciServer(handler, checker)
    await server.start(path / "s")
    fake = await Fake(path / "s", server, app, store).connect()
    try:
        yield fake
    finally:
        fake.writer.close()
        await server.stop()
        checker.shutdown()
        store.close()


def run(coroutine):
    return asyncio.run(asyncio.wait_for(coroutine, 30))


def test_the_recorded_requests_get_the_recorded_answers(tmp_path):
    async def main():
        blocks = []
        async with serving(tmp_path, blocks) as fake:
            for i, (request, wanted) in enumerate(FRAMES):
                await fake.send(request)
                assert await fake.answer() == wanted, (
                    f"frame {i}: {abci.read_request(next(Frames().feed(request))).name}"
                )
            assert fake.app.height == fake.store.head().height == len(blocks) > 5
            assert [b.height for b in blocks] == list(range(1, len(blocks) + 1))

    run(main())


@pytest.mark.parametrize("size", [1, 3, 1 << 20])
def test_however_the_stream_is_cut(tmp_path, size):
    """One byte at a time, in threes, and all at once (pipelined)."""

    async def main():
        async with serving(tmp_path) as fake:
            stream = b"".join(request for request, _ in FRAMES)

            async def feed():
                for i in range(0, len(stream), size):
                    await fake.send(stream[i : i + size])

            feeding = asyncio.create_task(feed())
            for _, wanted in FRAMES:
                assert await fake.answer() == wanted
            await feeding

    run(main())


BROKEN = {
    "an unknown request": pb.delimited(pb.message(99, b"")),
    "two requests in one": pb.delimited(pb.message(2, b"") * 2),
    "an empty frame": b"\x00",
    "a number where a message belongs": pb.delimited(pb.number(2, 1)),
    "a frame without end": b"\xff\xff\xff\xff\x0f",
    "a varint of eleven bytes": b"\xff" * 10 + b"\x01",
    "a block out of turn": abci.request("finalize_block", pb.number(5, 7)),
    "a commit of nothing": abci.request("commit"),
    "another chain's genesis": abci.request("init_chain", pb.data(2, b"other")),
    "another member's genesis": abci.request("init_chain", pb.data(2, CHAIN.encode()) + pb.data(5, b"{}")),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_cannot_be_answered_stops_both(tmp_path, name):
    async def main():
        async with serving(tmp_path) as fake:
            await fake.send(BROKEN[name])
            number, _ = next(iter(pb.fields(next(Frames().feed(await fake.answer())))))
            assert number == abci.EXCEPTION
            assert await fake.reader.read() == b"", "and the connection is closed"
            with pytest.raises((WireError, AssertionError)):
                await fake.server.failed

    run(main())


def block(height, *txs):
    return pb.number(5, height) + pb.message(6, pb.timestamp(height * 10**9)) + abci.transactions(txs)


GOOD, NEXT, LATE = payment(0, 1, 1, 0), payment(0, 1, 1, 1), payment(0, 1, 1, 9)


def test_a_proposal_holds_what_can_go_through_in_order_and_in_size(tmp_path):
    async def main():
        async with serving(tmp_path) as fake:
            bad = GOOD[:-1] + b"\x00"
            offered = b"".join(pb.message(2, tx) for tx in (b"junk", NEXT, GOOD, bad, LATE, NEXT, GOOD))
            answer = await fake.ask("prepare_proposal", pb.number(1, 10_000) + offered)
            assert answer.repeated(1) == [GOOD, NEXT]
            exact = abci.tx_size(GOOD)
            assert (await fake.ask("prepare_proposal", pb.number(1, exact) + offered)).repeated(1) == [GOOD]
            assert (await fake.ask("prepare_proposal", pb.number(1, exact - 1) + offered)).repeated(1) == []

    run(main())


@pytest.mark.parametrize(
    ("txs", "accepted"),
    [
        ((GOOD, NEXT), True),
        ((), True),
        ((LATE,), True),  # useless, but well-formed: refusing it could stop the chain
        ((GOOD, GOOD), False),
        ((GOOD, payment(0, 2, 7, 0)), False),
        ((b"junk",), False),
    ],
)
def test_a_byzantine_proposer(tmp_path, txs, accepted):
    async def main():
        async with serving(tmp_path) as fake:
            answer = await fake.ask("process_proposal", abci.transactions(txs))
            assert answer.number(1) == (abci.ACCEPT if accepted else abci.REJECT)
            # decided all the same, it changes nothing that its transactions may not change
            await fake.ask("finalize_block", block(1, *txs))
            await fake.ask("commit")
            assert sum(fake.app.query("balance", u.kid) for u in USERS[:-1]) == START * 7

    run(main())


def test_finalize_may_come_again_and_keeps_nothing_before_commit(tmp_path):
    async def main():
        async with serving(tmp_path) as fake:
            first = await fake.ask("finalize_block", block(1, GOOD))
            assert fake.app.height == 0 and fake.store.head().height == 0
            again = await fake.ask("finalize_block", block(1, GOOD))
            assert first.data(5) == again.data(5) != fake.app.app_hash
        async with serving(tmp_path) as fake:
            assert (await fake.ask("info")).number(4) == 0
            await fake.ask("finalize_block", block(1, GOOD))
            await fake.ask("commit")
        async with serving(tmp_path) as fake:
            info = await fake.ask("info")
            assert (info.number(4), info.data(5)) == (1, first.data(5))
            value = await fake.ask("query", pb.data(1, b"a/" + USERS[1].kid))
            assert cbor.decode(value.data(7))[2] == START + 1
            assert (await fake.ask("query", pb.data(1, b"none"))).number(1) == 1

    run(main())


def test_the_small_answers(tmp_path):
    async def main():
        async with serving(tmp_path) as fake:
            assert (await fake.ask("echo", pb.data(1, b"hello"))).data(1) == b"hello"
            assert (await fake.ask("verify_vote_extension")).number(1) == abci.ACCEPT
            assert (await fake.ask("verify_vote_extension", pb.data(4, b"x"))).number(1) == abci.REJECT
            assert (await fake.ask("extend_vote")).data(1) == b""
            assert (await fake.ask("check_tx", pb.data(1, GOOD))).number(1) == 0
            refused = await fake.ask("check_tx", pb.data(1, b"junk"))
            assert refused.number(1) == 1 and refused.data(3)

    run(main())


# ---------------------------------------------------------------- state sync


def offer(snapshot, app_hash, **changes):
    announced = abci.Snapshot(snapshot.height, FORMAT, len(snapshot.hashes), snapshot.hash, snapshot.metadata())
    return pb.message(1, announced._replace(**changes).encode()) + pb.data(2, app_hash)


def chunk(number, data):
    return pb.number(1, number) + pb.data(2, data) + pb.data(3, b"peer")


async def grown(path, monkeypatch):
    """A chain with a snapshot of three chunks or more at height 2."""
    path.mkdir()
    async with serving(path) as fake:
        for height, tx in ((1, GOOD), (2, NEXT)):
            await fake.ask("finalize_block", block(height, tx))
            await fake.ask("commit")
        whole = App.snapshot
        monkeypatch.setattr(App, "snapshot", lambda app, height: whole(app, height, chunk_bytes=200))
        snapshot = Snapshots(path / "snapshots").make(fake.app, 2)
        listed = abci.Snapshot.read((await fake.ask("list_snapshots")).message(1))
        assert (listed.height, listed.chunks, listed.hash) == (
            2,
            len(snapshot.hashes),
            snapshot.hash,
        ) and listed.chunks > 2
        ask = [pb.number(1, 2) + pb.number(2, FORMAT) + pb.number(3, i) for i in range(listed.chunks)]
        chunks = [(await fake.ask("load_snapshot_chunk", body)).data(1) for body in ask]
        assert (await fake.ask("load_snapshot_chunk", pb.number(1, 9))).data(1) == b""
        return snapshot, fake.app.app_hash, chunks


def test_a_late_member_takes_a_snapshot_over_and_goes_on(tmp_path, monkeypatch):
    async def main():
        snapshot, app_hash, chunks = await grown(tmp_path / "old", monkeypatch)
        new = tmp_path / "new"
        new.mkdir()
        async with serving(new) as fake:
            assert (await fake.ask("offer_snapshot", offer(snapshot, app_hash))).number(1) == abci.SNAPSHOT_ACCEPT
            order = [*range(1, len(chunks)), 0]
            for number in order:
                wrong = await fake.ask("apply_snapshot_chunk", chunk(number, chunks[number] + b"x"))
                assert wrong.number(1) == abci.CHUNK_RETRY and wrong.data(3) == b"peer"
                right = await fake.ask("apply_snapshot_chunk", chunk(number, chunks[number]))
                assert right.number(1) == abci.CHUNK_ACCEPT
            assert (fake.app.height, fake.app.app_hash) == (2, app_hash)
        async with serving(new) as fake:
            assert ((await fake.ask("info")).number(4), fake.app.app_hash) == (2, app_hash)
            await fake.ask("finalize_block", block(3, payment(0, 1, 5, 2)))
            await fake.ask("commit")
            assert fake.store.head().height == 3

    run(main())


def test_bad_snapshots_are_refused(tmp_path, monkeypatch):
    async def main():
        snapshot, app_hash, chunks = await grown(tmp_path / "old", monkeypatch)
        new = tmp_path / "new"
        new.mkdir()
        async with serving(new) as fake:
            assert (await fake.ask("apply_snapshot_chunk", chunk(0, chunks[0]))).number(1) == abci.CHUNK_REJECT_SNAPSHOT
            for changes, wanted in (
                ({"format": 9}, abci.SNAPSHOT_REJECT_FORMAT),
                ({"metadata": b"junk"}, abci.SNAPSHOT_REJECT),
                ({"metadata": cbor.encode([b"short"])}, abci.SNAPSHOT_REJECT),
                ({"hash": bytes(32)}, abci.SNAPSHOT_REJECT),
                ({"chunks": 99}, abci.SNAPSHOT_REJECT),
                ({"height": 0}, abci.SNAPSHOT_REJECT),
            ):
                assert (await fake.ask("offer_snapshot", offer(snapshot, app_hash, **changes))).number(1) == wanted
            before = fake.app.app_hash
            forged = Snapshot(2, snapshot.hashes[:-1])
            for offered, wanted_hash in ((snapshot, bytes(32)), (forged, app_hash)):
                await fake.ask("offer_snapshot", offer(offered, wanted_hash))
                for number in range(len(offered.hashes)):
                    answer = await fake.ask("apply_snapshot_chunk", chunk(number, chunks[number]))
                assert answer.number(1) == abci.CHUNK_REJECT_SNAPSHOT
                assert (fake.app.height, fake.app.app_hash) == (0, before) and fake.store.head().height == 0

    run(main())
