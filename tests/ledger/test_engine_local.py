"""The local engine: when blocks are made, what receipts promise, proofs for the light client, crashes at each write."""

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ledger import genesis, light
from ledger.engines.local import LocalEngine, Rules
from ledger.light import LightClient, Params
from ledger.store import Store, StoreError
from tests.ledger.toychain import CHAIN, PAY, SALT, START, USERS, new_app, payment, signed
from wire.chain.header import Validator
from wire.errors import WireError

KEY = Ed25519PrivateKey.from_private_bytes(b"k" * 32)
GENESIS = genesis.Genesis(CHAIN, 1_000_000_000, (Validator(KEY.public_key().public_bytes_raw(), 1),), SALT)
QUICK = Rules(max_wait_s=0.01)


class SiteClock:
    """Stands still until a test moves it."""

    def __init__(self):
        self.ns = 2_000_000_000
        self._moved = asyncio.Event()

    def now_ns(self):
        return self.ns

    def move(self, seconds):
        self.ns += int(seconds * 1e9)
        self._moved.set()

    async def sleep(self, seconds):
        end = self.ns + seconds * 1e9
        while self.ns < end:
            self._moved.clear()
            await self._moved.wait()


@asynccontextmanager
async def running(path, rules=QUICK, clock=None, connect=sqlite3.connect):
    store = Store(path / "chain.db", connect)
    engine = LocalEngine(new_app(at_genesis=False), store, GENESIS, KEY, clock or SiteClock(), rules)
    try:
        await engine.start()
        yield engine
    finally:
        await engine.stop()
        store.close()


def run(coroutine):
    return asyncio.run(asyncio.wait_for(coroutine, 20))


def balance(engine, user):
    return engine.app.query("balance", USERS[user].kid)


def test_receipts_and_a_restart(tmp_path):
    async def first():
        async with running(tmp_path) as engine:
            one, two = await engine.execute([payment(0, 1, 10, 0), payment(1, 0, START * 9, 0)])
            assert (one.height, one.place, one.result.reason) == (1, 0, "")
            assert (two.height, two.place, two.result.reason) == (1, 1, "insufficient")
            assert (await engine.execute([payment(0, 1, 5, 1)]))[0].height == 2
            return engine.app.app_hash

    async def second(app_hash):
        async with running(tmp_path) as engine:
            assert engine.height() == 2 and engine.app.app_hash == app_hash
            again = await engine.execute([payment(0, 1, 10, 0), payment(1, 0, START * 9, 0), payment(0, 2, 99, 0)])
            assert [(r.height, r.place, r.result.reason) for r in again] == [
                (1, 0, ""),
                (1, 1, "insufficient"),
                (0, 0, "sequence"),
            ], "the same transaction has one receipt for ever; another one with its number has none"
            assert (await engine.execute([payment(0, 1, 5, 2)]))[0].height == 3
            assert balance(engine, 1) == START + 20

    run(second(run(first())))


def test_a_second_signature_is_the_same_transaction(tmp_path):
    async def main():
        async with running(tmp_path) as engine:
            raw = payment(0, 1, 10, 0)
            order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
            flipped = raw[:-32] + (order - int.from_bytes(raw[-32:], "big")).to_bytes(32, "big")
            receipts = await asyncio.gather(engine.execute([raw]), engine.execute([flipped]))
            assert sorted(r[0].result.reason for r in receipts) == ["", "sequence"]
            assert (await engine.execute([flipped]))[0] == (await engine.execute([raw]))[0]
            assert balance(engine, 1) == START + 10

    run(main())


def test_a_block_comes_at_n_transactions_or_after_the_wait(tmp_path):
    async def main():
        async with running(tmp_path, Rules(max_wait_s=0.3, max_txs=3)) as engine:
            loop = asyncio.get_running_loop()
            start = loop.time()
            receipts = await engine.execute([payment(0, 1, 1, i) for i in range(3)])
            assert loop.time() - start < 0.25 and {r.height for r in receipts} == {1}
            receipts = await engine.execute([payment(0, 1, 1, i) for i in range(3, 7)])
            assert [r.height for r in receipts] == [2, 2, 2, 3]
            assert 0.3 <= loop.time() - start < 2

    run(main())


def test_order_of_arrival_does_not_matter_within_an_account(tmp_path):
    async def main():
        async with running(tmp_path) as engine:
            late = asyncio.gather(*(engine.execute([payment(0, 1, 1, i)]) for i in (3, 1, 2)))
            await asyncio.sleep(0.05)
            assert engine.height() == 0
            await engine.execute([payment(0, 1, 1, 0)])
            assert all(r[0].result.reason == "" for r in await late)
            assert balance(engine, 1) == START + 4

    run(main())


def test_empty_blocks_come_when_wanted_and_when_idle(tmp_path):
    async def main():
        clock = SiteClock()
        async with running(tmp_path, clock=clock) as engine:
            await engine.reach(3)
            await asyncio.sleep(0.05)
            assert engine.height() == 3
            app_hash = engine.app.app_hash
            clock.move(31)
            await engine.execute([])
            while engine.height() < 4:
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.05)
            assert engine.height() == 4 and engine.app.app_hash == app_hash
            times = [(await engine.block(h)).time_ns for h in (1, 2, 3, 4)]
            assert times == sorted(set(times)) and times[3] == clock.ns

    run(main())


def test_time_rises_though_the_clock_falls(tmp_path):
    async def main():
        clock = SiteClock()
        async with running(tmp_path, clock=clock) as engine:
            await engine.reach(1)
            clock.ns = 0
            await engine.reach(3)
            times = [(await engine.block(h)).time_ns for h in (1, 2, 3)]
            assert times == [2_000_000_000, 2_000_000_001, 2_000_000_002]

    run(main())


def test_the_light_client_follows_and_state_is_provable(tmp_path):
    async def main():
        async with running(tmp_path) as engine:
            public = GENESIS.public(engine.app.app_hash)
            chain_id, start = genesis.trusted(public)
            client = LightClient(Params(chain_id, 10**18), start)
            key = b"a/" + USERS[1].kid
            for i in range(3):
                await engine.execute([payment(0, 1, 7, i)])
                shown = await engine.prove(key)
                client.update(await engine.light_block(shown.height, client.latest.height), 10**10)
                light.check_state(client.at(shown.height), key, shown.value, shown.proof)
                absent = await engine.prove(b"absent", shown.height)
                light.check_state(client.at(absent.height), b"absent", None, absent.proof)
                with pytest.raises(WireError):
                    light.check_state(client.at(absent.height), key, None, absent.proof)
            later = await engine.prove(key, engine.height() + 2)
            assert later.height == engine.height()
            for height in range(1, engine.height() + 1):
                client.update(await engine.light_block(height, height - 1), 10**10)

    run(main())


def test_followers_get_every_block_once_and_in_order(tmp_path):
    async def main():
        async with running(tmp_path) as engine:
            await engine.execute([payment(0, 1, 1, 0)])

            async def collect(start, count):
                blocks = engine.follow(start)
                return [await anext(blocks) for _ in range(count)]

            early, late = asyncio.create_task(collect(1, 3)), asyncio.create_task(collect(3, 1))
            await engine.execute([payment(0, 1, 2, 1)])
            await engine.execute([payment(0, 1, 3, 2)])
            blocks = await early
            assert [b.height for b in blocks] == [1, 2, 3]
            assert [b.results[0].events[0].fields["amount"] for b in blocks] == [1, 2, 3]
            assert (await late)[0] == blocks[2]

    run(main())


@pytest.mark.parametrize(
    "raw", [b"", b"x", payment(0, 1, 1, 0)[:-1], signed(0, 0, PAY, {1: USERS[1].kid, 2: 1}, chain="other")]
)
def test_what_is_no_transaction_is_refused_at_the_door(tmp_path, raw):
    async def main():
        async with running(tmp_path) as engine:
            assert (await engine.submit([raw]))[0].reason
            receipt = (await engine.execute([raw]))[0]
            assert receipt.height == 0 and receipt.result.reason

    run(main())


# ---------------------------------------------------------------- crashes


class Crash(BaseException):
    """The process is gone. BaseException: nothing in the product catches it."""


class CrashingConnection:
    """SQLite that dies before or after its n-th statement."""

    def __init__(self, fuse, *args, **kwargs):
        self._db = sqlite3.connect(*args, **kwargs)
        self._fuse = fuse
        fuse.setdefault("open", []).append(self._db)

    def execute(self, *args):
        return self._burn(self._db.execute, *args)

    def executemany(self, *args):
        return self._burn(self._db.executemany, *args)

    def _burn(self, call, *args):
        self._fuse["left"] -= 1
        if self._fuse["left"] == 0 and not self._fuse["after"]:
            raise Crash
        found = call(*args)
        if self._fuse["left"] == 0:
            found.close()
            raise Crash
        return found

    def __getattr__(self, name):
        return getattr(self._db, name)


PAYMENTS = [payment(0, 1, 10, 0), payment(1, 2, 1_005, 0), payment(2, 0, 3, 0)]


def pay_one_by_one(path, connect=sqlite3.connect):
    """What a client does that does not give up: sends each payment until it has a receipt."""

    async def main():
        store = Store(path / "chain.db", connect)
        try:
            engine = LocalEngine(new_app(at_genesis=False), store, GENESIS, KEY, SiteClock(), Rules(max_wait_s=0))
            await engine.start()
            client = asyncio.create_task(pay(engine))
            await asyncio.wait({client, engine._task}, return_when=asyncio.FIRST_COMPLETED)
            if not client.done():
                client.cancel()
                engine._task.result()  # raises the crash
            await engine.stop()
            return engine.app.app_hash, client.result()
        finally:
            store.close()  # as the system does for a dead process

    async def pay(engine):
        return [(await engine.execute([raw]))[0] for raw in PAYMENTS]

    return run(main())


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_crash_at_every_statement(tmp_path, after):
    wanted = pay_one_by_one(mkdir(tmp_path / "wanted"))
    for n in range(1, 200):
        path = mkdir(tmp_path / str(n))
        fuse = {"left": n, "after": after}
        try:
            pay_one_by_one(path, lambda *args, fuse=fuse, **kwargs: CrashingConnection(fuse, *args, **kwargs))
            assert n > 25, "the fuse was not reached, so every statement was"
            return
        except Crash:
            for db in fuse["open"]:
                db.close()  # one that died while it was opened, too
        assert pay_one_by_one(path) == wanted
    raise AssertionError("more statements than expected")


def mkdir(path):
    path.mkdir()
    return path


def test_kill_9(tmp_path):
    """A real process, killed while it makes blocks: what it gave receipts for is there, and the chain goes on."""
    code = """if True:
        import asyncio, sys
        from pathlib import Path
        from tests.ledger.test_engine_local import running
        from tests.ledger.toychain import Accounts, USERS, payment

        async def main():
            async with running(Path(sys.argv[1])) as engine:
                first = Accounts().sequence(engine.app.state, USERS[0].kid)
                for i in range(first, 10_000):
                    receipt, = await engine.execute([payment(0, 1, 0, i)])
                    print(receipt.height, engine.app.app_hash.hex(), flush=True)

        asyncio.run(main())
    """
    root = Path(__file__).parents[2]
    height = 0
    for kill_after in (1, 7, 4):
        process = subprocess.Popen(
            [sys.executable, "-c", code, tmp_path], cwd=root, env={**os.environ, "PYTHONPATH": str(root)},
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        lines = [process.stdout.readline().split() for _ in range(kill_after)]
        process.send_signal(signal.SIGKILL)
        lines += [line.split() for line in process.stdout.read().splitlines()]
        process.wait()
        assert int(lines[0][0]) > height
        height, app_hash = int(lines[-1][0]), bytes.fromhex(lines[-1][1])
        store = Store(tmp_path / "chain.db")
        assert store.block(height).app_hash == app_hash
        store.close()


def test_a_full_disk_stops_the_chain_with_a_clear_message(tmp_path):
    class Full(CrashingConnection):
        def _burn(self, call, *args):
            if self._fuse["full"] and args[0].startswith("insert into blocks"):
                raise sqlite3.OperationalError("database or disk is full")
            return call(*args)

    async def main():
        disk = {"full": False}
        async with running(tmp_path, connect=lambda *args, **kwargs: Full(disk, *args, **kwargs)) as engine:
            await engine.execute([PAYMENTS[0]])
            disk["full"] = True
            with pytest.raises(StoreError, match="full"):
                await engine.execute([PAYMENTS[1]])
            with pytest.raises(StoreError, match="full"):
                await engine.join()
            with pytest.raises(StoreError, match="full"):
                await engine.submit([PAYMENTS[1]])
        async with running(tmp_path) as engine:
            assert engine.height() == 1
            assert (await engine.execute([PAYMENTS[1]]))[0].height == 2

    run(main())


def test_an_error_after_the_block_was_kept_is_found_out_by_the_next_start(tmp_path):
    class Liar(CrashingConnection):
        def _burn(self, call, *args):
            found = call(*args)
            if self._fuse["lies"] and args[0] == "commit":
                raise sqlite3.OperationalError("disk I/O error")
            return found

    async def main():
        disk = {"lies": False}
        async with running(tmp_path, connect=lambda *args, **kwargs: Liar(disk, *args, **kwargs)) as engine:
            await engine.execute([PAYMENTS[0]])
            disk["lies"] = True
            with pytest.raises(StoreError, match="I/O"):
                await engine.execute([PAYMENTS[1]])
            assert engine.height() == 1
        async with running(tmp_path) as engine:
            assert engine.height() == 2
            assert (await engine.execute([PAYMENTS[1]]))[0].height == 2, "once, though it was sent twice"

    run(main())


def test_a_damaged_file_is_told_and_a_backup_brings_it_back(tmp_path):
    async def write():
        async with running(tmp_path) as engine:
            await engine.execute(PAYMENTS)
            engine.store.backup(tmp_path / "backup.db")
            return engine.app.app_hash

    async def start():
        async with running(tmp_path) as engine:
            return engine.app.app_hash

    app_hash = run(write())
    path = tmp_path / "chain.db"
    with sqlite3.connect(path) as db:
        db.execute("update state set value=x'00' where key=?", (b"a/" + USERS[3].kid,))
    db.close()
    with pytest.raises(StoreError, match="restore"):
        run(start())
    raw = bytearray(path.read_bytes())
    for page in range(1, len(raw) // 4096):
        raw[page * 4096 : page * 4096 + 100] = b"\xff" * 100
    path.write_bytes(raw)
    with pytest.raises(StoreError, match="restore"):
        run(start())
    path.write_bytes((tmp_path / "backup.db").read_bytes())
    assert run(start()) == app_hash


def test_two_processes_never_share_a_chain(tmp_path):
    """Two engines with one key would sign two blocks at one height."""
    one = Store(tmp_path / "chain.db")
    with pytest.raises(StoreError, match="in use"):
        Store(tmp_path / "chain.db")
    one.close()
    Store(tmp_path / "chain.db").close()


def test_another_genesis_is_refused(tmp_path):
    async def main(document):
        store = Store(tmp_path / "chain.db")
        engine = LocalEngine(new_app(at_genesis=False), store, document, KEY, SiteClock(), QUICK)
        try:
            await engine.start()
        finally:
            await engine.stop()
            store.close()

    run(main(GENESIS))
    with pytest.raises(StoreError, match="genesis"):
        run(main(GENESIS._replace(salt=b"other")))
