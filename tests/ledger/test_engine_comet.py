"""A real consortium on loopback: four CometBFT validators with our app behind each, killed, cut off, joined late.

Run where a cometbft is (TALLYGRID_COMETBFT, or on PATH); named as not run where none is.
"""

import asyncio
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from ledger import genesis, light
from ledger.engines import comet_node, testnet
from ledger.engines.comet_node import NodeError
from ledger.engines.replay import replay
from ledger.light import LightClient, Params
from ledger.store import StoreError
from tests.ledger.toychain import CHAIN, SALT, START, USERS, VALIDATOR, new_app, payment, signed

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def cometbft():
    path = os.environ.get("TALLYGRID_COMETBFT") or shutil.which("cometbft")
    if not path:
        pytest.skip("no cometbft here: run ./tallygrid test where Go is installed, which builds it")
    return Path(path)


def lay_out(cometbft, path, **changes):
    settings = {"block_s": 0.1, "propose_s": 0.3, "idle_s": 1.0} | changes
    return testnet.lay_out(cometbft, path, CHAIN, time.time_ns(), salt=SALT, **settings)


async def started(member, **more):
    engine = member.engine(new_app(at_genesis=False), **more)
    await engine.start()
    return engine


async def ended(engine):
    await engine.stop()
    engine.store.close()


@asynccontextmanager
async def running(members, **more):
    engines = list(await asyncio.gather(*(started(member, **more) for member in members)))
    try:
        yield engines
    finally:
        await asyncio.gather(*(ended(engine) for engine in engines))


def run(coroutine, seconds=90):
    return asyncio.run(asyncio.wait_for(coroutine, seconds))


def agree(engines):
    """All stores have the same app_hash at every height that they share."""
    top = min(engine.height() for engine in engines)
    for height in range(1, top + 1):
        assert len({engine.store.block(height).app_hash for engine in engines}) == 1, height
    return top


async def until(holds, seconds=30):
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it does not come"
        await asyncio.sleep(0.05)


def test_a_consortium_survives_one_of_four_and_halts_without_two(cometbft, tmp_path):
    members = lay_out(cometbft, tmp_path)

    async def main():
        async with running(members) as engines:
            sent = 0

            async def pay(engine, count):
                nonlocal sent
                numbers = range(sent, sent + count)
                sent += count
                receipts = await engine.execute([payment(0, 1, 1, i) for i in numbers])
                assert [r.result.reason for r in receipts] == [""] * count

            await pay(engines[0], 5)
            await pay(engines[1], 5)
            bad = (await engines[2].execute([payment(2, 1, START * 2, 0)]))[0]
            assert bad.height > 0 and bad.result.reason == "insufficient"
            assert (await engines[3].execute([payment(2, 1, START * 2, 0)]))[0] == bad, "one receipt, on every node"

            await ended(engines.pop())  # 1 of 4: goes on
            await pay(engines[0], 5)
            await ended(engines.pop())  # 2 of 4: halts
            blocked = asyncio.create_task(pay(engines[0], 5))
            await asyncio.sleep(2)
            assert not blocked.done()
            engines.append(await started(members[2]))  # and resumes
            await blocked
            engines.append(await started(members[3]))
            await pay(engines[3], 5)
            await until(lambda: all(e.app.query("balance", USERS[1].kid) == START + 25 for e in engines))
            agree(engines)

            chain_id, start = genesis.trusted(members[0].genesis.public(b""))
            client = LightClient(Params(chain_id, 10**18), start)
            key = b"a/" + USERS[1].kid
            shown = await engines[1].prove(key)
            await engines[3].reach(shown.height)
            for height in (1, 2, shown.height):
                block = await engines[3].light_block(height, client.latest.height)
                client.update(block, time.time_ns())
            light.check_state(client.at(shown.height), key, shown.value, shown.proof)
            log = [await engines[0].block(h) for h in range(1, engines[0].height() + 1)]
        made = await replay(log, members[0].genesis, new_app(at_genesis=False), tmp_path / "local.db")
        assert [b._replace(light=None) for b in made] == log, "times, results and app_hash at each height"

    run(main())


def test_node_and_app_end_together(cometbft, tmp_path):
    members = lay_out(cometbft, tmp_path, powers=(10,))

    async def main():
        async with running(members) as (engine,):
            await engine.execute([payment(0, 1, 1, 0)])
            process = engine._node._process
            process.kill()
            with pytest.raises(NodeError, match="ended"):
                await engine.join()
            with pytest.raises(NodeError):
                await engine.submit([payment(0, 1, 1, 1)])
        async with running(members) as (engine,):
            assert engine.app.query("balance", USERS[1].kid) == START + 1
            full = sqlite3.OperationalError("database or disk is full")

            def fail(fill):
                raise StoreError(str(full))

            engine.store._transaction = fail
            waiting = asyncio.create_task(engine.execute([payment(0, 1, 1, 1)]))
            with pytest.raises(NodeError, match="full"):
                await engine.join()
            with pytest.raises(NodeError, match="full"):
                await waiting
            await until(lambda: engine._node.exit_status() is not None)
        async with running(members) as (engine,):
            receipt = (await engine.execute([payment(0, 1, 1, 1)]))[0]
            assert receipt.result.reason == "" and engine.app.query("balance", USERS[1].kid) == START + 2

    run(main())


MEMBER = """if True:
    import asyncio, pickle, sys
    from tests.ledger.test_engine_comet import started

    async def main():
        engine = await started(pickle.loads(bytes.fromhex(sys.argv[1])))
        print("up", flush=True)
        await engine.join()

    asyncio.run(main())
"""


def test_kill_9_under_load(cometbft, tmp_path):
    """One of two members (so nothing goes on without it) is killed while blocks are made, and comes back each time."""
    import pickle

    members = lay_out(cometbft, tmp_path, powers=(10, 10))

    def other():
        return subprocess.Popen(
            [sys.executable, "-c", MEMBER, pickle.dumps(members[1]).hex()], cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    async def main():
        process = other()
        async with running(members[:1]) as (engine,):
            done = 0

            async def load():
                nonlocal done
                while True:
                    await engine.execute([payment(0, 1, 0, done)])
                    done += 1

            loading = asyncio.create_task(load())
            for wait_s in (0.05, 0.18, 0.31):
                had = done
                await until(lambda: done >= had + 3)  # noqa: B023
                await asyncio.sleep(wait_s)
                process.send_signal(signal.SIGKILL)
                process.wait()
                process = other()
            had = done
            await until(lambda: done >= had + 3)
            loading.cancel()
            with suppress(asyncio.CancelledError):
                await loading
            top = engine.height()
            mine = [engine.store.block(h).app_hash for h in range(1, top)]
        process.kill()
        process.wait()
        with sqlite3.connect(f"file:{members[1].home}/chain.db?mode=ro", uri=True) as db:
            theirs = [row[0] for row in db.execute("select app_hash from blocks order by height")]
        assert len(theirs) >= top - 1 > 8 and theirs[: top - 1] == mine

    run(main())


def test_a_late_member_joins_by_a_snapshot(cometbft, tmp_path):
    members = lay_out(cometbft, tmp_path, powers=(10, 10), watchers=1)

    async def main():
        async with running(members[:2], snapshot_every=4) as engines:
            for i in range(6):
                await engines[0].execute([payment(0, 1, 1, i)])
            await until(lambda: engines[0]._snapshots.all() and engines[1]._snapshots.all())
            trusted = await engines[0].light_block(1)
            late = testnet.syncing(members[2], members[:2], 1, trusted.header.hash())
            watcher = await started(late)
            await until(lambda: watcher.height() >= 4)
            receipt = (await engines[0].execute([payment(0, 1, 1, 6)]))[0]
            await watcher.reach(receipt.height)
            assert watcher.store.block(1) is None, "it began with the snapshot"
            assert watcher.store.block(receipt.height) == engines[0].store.block(receipt.height)
            await ended(watcher)

    run(main())


def test_validators_change_by_a_transaction(cometbft, tmp_path):
    members = lay_out(cometbft, tmp_path, powers=(10, 10))

    async def main():
        async with running(members) as engines:
            key = members[0].genesis.validators[0].key
            receipt = (await engines[0].execute([signed(0, 0, VALIDATOR, {1: key, 2: 13})]))[0]
            await until(lambda: engines[0].height() >= receipt.height + 3)
            powers = [
                sorted(v.power for v in (await engines[1].light_block(receipt.height + after)).validators)
                for after in (1, 2)
            ]
            assert powers == [[10, 10], [10, 13]]
            chain_id, start = genesis.trusted(members[0].genesis.public(b""))
            client = LightClient(Params(chain_id, 10**18), start)
            for height in range(1, receipt.height + 3):
                client.update(await engines[1].light_block(height), time.time_ns())

    run(main())


# ---------------------------------------------------------------- without a network


@pytest.mark.parametrize(
    ("said", "good"),
    [("0.38.21", True), ("v0.38.25", True), ("0.38.20", False), ("0.38.3", False), ("1.0.1", False), ("0.37.9", False),
     ("", False), ("tendermint", False)],
)  # fmt: skip
def test_which_engines_are_taken(tmp_path, monkeypatch, said, good):
    binary = tmp_path / "cometbft"
    binary.write_text(f"#!/bin/sh\necho {said}\n")
    binary.chmod(0o755)
    if good:
        assert comet_node.find_engine(tmp_path) == binary
    else:
        with pytest.raises(NodeError, match="wanted is"):
            comet_node.find_engine(tmp_path)
    binary.unlink()
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NodeError, match="install-engine"):
        comet_node.find_engine()
    with pytest.raises(NodeError, match="no Go"):
        comet_node.install_engine(tmp_path / "engine")


def test_settings_are_set_once_and_in_their_section():
    text = "a = 1\n# b = 2\n[x]\nb = 3\n[y]\nb = 4\n"
    assert (
        comet_node.set_values(text, {"": {"a": "9"}, "y": {"b": '"\\1"'}})
        == 'a = 9\n# b = 2\n[x]\nb = 3\n[y]\nb = "\\1"\n'
    )
    for wrong in ({"": {"b": "1"}}, {"z": {"b": "1"}}, {"x": {"a": "1"}}):
        with pytest.raises(NodeError):
            comet_node.set_values(text, wrong)


def test_every_listener_is_on_loopback_and_a_home_keeps_its_key(cometbft, tmp_path):
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    member = lay_out(cometbft, tmp_path, powers=(10,))[0]
    text = (member.home / "config" / "config.toml").read_text()
    listeners = [line for line in text.splitlines() if line.partition(" = ")[0].endswith("laddr")]
    assert len(listeners) >= 4 and all("127.0.0.1" in line or line.endswith('""') for line in listeners), listeners
    for name in ("priv_validator_key.json", "node_key.json"):
        assert (member.home / "config" / name).stat().st_mode & 0o077 == 0
    other = Ed25519PrivateKey.generate()
    with pytest.raises(NodeError, match="one key for ever"):
        comet_node.lay_out(cometbft, member.home, member.genesis, other, other, member.settings)


def test_a_long_path_has_a_short_socket(tmp_path):
    assert comet_node.socket_path(Path("/tmp/x")) == Path("/tmp/x/app.sock")
    long = comet_node.socket_path(tmp_path / ("x" * 90) / "home")
    assert len(str(long)) < 100 and long != comet_node.socket_path(tmp_path / ("x" * 90) / "home2")
