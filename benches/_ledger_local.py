"""The local engine under load, over HTTP; the light client; whole transfers between two chains."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import uvicorn
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from benches._ledger import CHAIN, KEY, app, genesis, payments, percentile
from ledger import api, light
from ledger.client import ChainClient
from ledger.engines.local import LocalEngine, Rules
from ledger.engines.testnet import free_ports
from ledger.light import LightBlock, Params
from ledger.signatures import SignatureChecker
from ledger.store import Store
from pilot.experiments.lab import Clock, Setup, key, open_lab
from wire import cbor
from wire.chain import header as comet
from wire.chain import kinds, merkle, tx
from wire.chain.header import BlockID, Commit, CommitSig, Header, Validator
from wire.chain.kinds import SCHEDULE, TRANSACTION
from wire.ids import kid_of

BATCH = 1_000
UNDER_WAY = 4  # batches that the loader has sent and not yet been answered

# What sends: a process of its own, that reads batches from a file and asks for no more than the answers.
LOADER = """if True:
    import asyncio, sys, time, httpx
    from wire import cbor

    async def main(url, path, under_way):
        batches = cbor.decode(open(path, "rb").read(), size=1 << 30)
        async with httpx.AsyncClient(timeout=120) as http:
            async def send():
                while batches:
                    answer = await http.post(url, content=batches.pop(0))
                    rows = cbor.decode(answer.content, size=1 << 26)
                    assert all(row[0] == 0 for row in rows), rows[0]
            start = time.perf_counter()
            await asyncio.gather(*(send() for _ in range(under_way)))
            print(time.perf_counter() - start)

    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
"""


def verify_only(checker: SignatureChecker, raws: list[bytes]) -> float:
    """Signatures a second through the engine's workers, opened beforehand."""
    by_kid = {kid_of(row[2]): row[2] for row in genesis().sections["accounts"]}
    opened = [tx.open(raw) for raw in raws]
    claims = [(by_kid[one.kid], one.signed, one.signature) for one in opened]
    checker(claims[:BATCH])  # workers start, keys are parsed
    start = time.perf_counter()
    for i in range(0, len(claims), BATCH):
        assert all(checker(claims[i : i + BATCH]))
    return len(claims) / (time.perf_counter() - start)


async def local_tx_per_s(checker: SignatureChecker, raws: list[bytes], max_txs: int) -> float:
    """From the first batch sent to the last answered, each answer after its block was durable."""
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder) / "chain.db")
        chain = app(checker)
        engine = LocalEngine(chain, store, genesis(), KEY, Clock(), Rules(max_txs=max_txs))
        await engine.start()
        port = free_ports(1)[0]
        node = api.Node({CHAIN: api.Hosted(engine, lambda account: None)}, Clock())
        server = uvicorn.Server(uvicorn.Config(api.create_app(node), port=port, log_level="warning", lifespan="off"))
        serving = asyncio.create_task(server.serve())
        while not server.started:
            await asyncio.sleep(0.01)
        batches = Path(folder) / "batches"
        batches.write_bytes(cbor.encode([cbor.encode(raws[i : i + BATCH]) for i in range(0, len(raws), BATCH)]))
        gc.collect()
        url = f"http://127.0.0.1:{port}/v1/{CHAIN}/tx?wait=60"
        words = [sys.executable, "-c", LOADER, url, str(batches), str(UNDER_WAY)]
        done = await asyncio.to_thread(subprocess.run, words, check=True, capture_output=True, text=True)
        elapsed_s = float(done.stdout)
        blocks = [await engine.block(h) for h in range(1, engine.height() + 1)]
        server.should_exit = True
        await serving
        await engine.stop()
        store.close()
        assert sum(len(block.txs) for block in blocks if block) == len(raws)
        return len(raws) / elapsed_s


def header_ms() -> float:
    """One adjacent header with four validators: read, hashed, its four signatures checked. Median of 200."""
    keys = {
        Validator(k.public_key().public_bytes_raw(), 10): k for k in (Ed25519PrivateKey.generate() for _ in range(4))
    }
    validators = comet.in_order(keys)
    mine, blank = comet.validators_hash(validators), merkle.EMPTY_ROOT
    raws = []
    for height in range(1, 202):
        header = Header(
            "bench", height, height * 10**9, BlockID(bytes(32), 1, bytes(32)), blank, blank, mine, mine, blank,
            bytes(31) + b"a", blank, blank, validators[0].address,
        )  # fmt: skip
        bare = Commit(height, 0, BlockID(header.hash(), 1, bytes(32)), ())
        votes = [CommitSig(comet.COMMIT, v.address, header.time_ns) for v in validators]
        signed = tuple(
            vote._replace(signature=keys[v].sign(bare.sign_bytes("bench", vote)))
            for v, vote in zip(validators, votes, strict=True)
        )
        raws.append(LightBlock(header, bare._replace(signatures=signed), validators).encode())
    trusted, params, times = light.genesis("bench", 0, validators), Params("bench", 10**18), []
    for raw in raws:
        start = time.perf_counter()
        trusted = light.verify(params, trusted, LightBlock.decode(raw), 202 * 10**9)
        times.append(time.perf_counter() - start)
    return 1_000 * percentile(times, 0.5)


async def transfers_ms(engine: str, rules: Rules, count: int, at_once: int) -> list[float]:
    """Whole transfers, from the call that sends the lock to the event that credits it, the relayer included."""
    names = [f"user{i}" for i in range(at_once)]
    people: dict[str, tuple[str, str]] = dict.fromkeys(names, ("user", "TS"))
    people |= {"EC": ("company", "TS"), "relay": ("relay", "TS")}
    setup = Setup(people, dict.fromkeys(names, 1_000), {"EC": 10**6}, rules=rules)
    took: list[float] = []
    async with open_lab(setup, engine, lambda line: None) as lab:
        credited: dict[bytes, asyncio.Future[float]] = {}
        watching = asyncio.create_task(_watch(lab.member("EC", SCHEDULE), credited))

        async def person(name: str) -> None:
            client = lab.member(name, TRANSACTION)
            for _ in range(count // at_once):
                credited[key(name).kid] = asyncio.get_running_loop().create_future()
                start = time.perf_counter()
                await client.send(kinds.Lock(to=key(name).kid, amount=1_000, deadline_s=lab.clock.now_s() + 3_600))
                took.append(1_000 * (await credited[key(name).kid] - start))

        await asyncio.gather(*(person(name) for name in names))
        watching.cancel()
    return took


async def _watch(client: ChainClient, credited: dict[bytes, asyncio.Future[float]]) -> None:
    async for block in client.blocks(1):
        for kind, fields in block.events:
            if kind == "lock/unlocked":
                credited[fields["to"]].set_result(time.perf_counter())


def measure_local(figures: dict[str, Any], count: int) -> None:
    checker = SignatureChecker()
    raws = payments(count)
    figures["verify_only_per_s"] = round(verify_only(checker, raws))
    figures["local_tx_per_s"] = round(asyncio.run(local_tx_per_s(checker, raws, 1_000)))
    figures["ratio"] = round(figures["local_tx_per_s"] / figures["verify_only_per_s"], 3)
    few = raws[: max(count // 10, 100)]
    figures["local_tx_per_s_10"] = round(asyncio.run(local_tx_per_s(checker, few, 10)))
    checker.close()


def measure_transfers(figures: dict[str, Any], count: int) -> None:
    took = asyncio.run(transfers_ms("local", Rules(), count, 1))
    figures["transfer_p50_ms"] = round(percentile(took, 0.5))
    figures["transfer_p99_ms"] = round(percentile(took, 0.99))
