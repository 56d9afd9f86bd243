"""A consortium on this machine under load, and one log through both engines."""

from __future__ import annotations

import asyncio
import os
import pickle
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benches import _ledger
from benches._ledger import percentile
from benches._ledger_local import transfers_ms
from ledger.app import Event
from ledger.engines import testnet
from ledger.engines.comet import CometEngine
from ledger.engines.local import Rules
from ledger.engines.replay import replay
from ledger.engines.testnet import Member
from ledger.signatures import SignatureChecker

OFFERED_PER_S = 600
FROM_S = 5
BATCHES_PER_S = 20

MEMBER = """if True:
    import asyncio, pickle, sys
    from benches import _ledger
    from ledger.signatures import SignatureChecker

    async def main():
        engine = pickle.loads(bytes.fromhex(sys.argv[1])).engine(_ledger.app(SignatureChecker(1)))
        await engine.start()
        print("up", flush=True)
        await engine.join()

    asyncio.run(main())
"""


def lay_out(binary: Path, folder: str, powers: tuple[int, ...], block_s: float) -> list[Member]:
    now_ns, sections = time.time_ns(), _ledger.sections()
    return testnet.lay_out(
        binary, Path(folder), _ledger.CHAIN, now_ns, salt=b"bench", sections=sections, powers=powers, block_s=block_s
    )


def others(members: list[Member]) -> list[subprocess.Popen[str]]:
    """Members in processes of their own, as organisations are."""
    return [
        subprocess.Popen(
            [sys.executable, "-c", MEMBER, pickle.dumps(member).hex()],
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ,
        )
        for member in members
    ]


async def consortium(binary: Path, seconds: int) -> tuple[float, float]:
    """Committed transactions a second from second 5 on, and p95 of their latency in ms, at one member."""
    raws = _ledger.payments(OFFERED_PER_S * seconds)
    with tempfile.TemporaryDirectory() as folder:
        first, *rest = lay_out(binary, folder, (10, 10, 10, 10), 1.0)
        processes = others(rest)
        engine = first.engine(_ledger.app(SignatureChecker(1)))
        try:
            await engine.start()
            for process in processes:
                await asyncio.to_thread(process.stdout.readline)  # type: ignore[union-attr]
            return await _offer(engine, raws, seconds)
        finally:
            await engine.stop()
            engine.store.close()
            for process in processes:
                process.kill()
                process.wait()


async def _offer(engine: CometEngine, raws: list[bytes], seconds: int) -> tuple[float, float]:
    loop = asyncio.get_running_loop()
    size, start = OFFERED_PER_S // BATCHES_PER_S, loop.time()
    done: list[tuple[float, float]] = []  # committed at, latency

    async def send(batch: list[bytes]) -> None:
        sent = loop.time()
        receipts = await engine.execute(batch)
        assert all(not receipt.result.reason for receipt in receipts)
        done.extend([(loop.time() - start, loop.time() - sent)] * len(batch))

    sending = []
    for i in range(0, len(raws), size):
        await asyncio.sleep(max(0.0, start + i / OFFERED_PER_S - loop.time()))
        sending.append(asyncio.create_task(send(raws[i : i + size])))
    await asyncio.gather(*sending)
    counted = [latency for at, latency in done if FROM_S <= at < seconds]
    return len(counted) / (seconds - FROM_S), 1_000 * percentile(counted, 0.95)


async def differential(binary: Path, count: int) -> tuple[int, int]:
    """Heights at which the two engines differ, and heights compared, for one log of mixed transactions."""
    raws = _ledger.mixed(count)
    checker = SignatureChecker()
    with tempfile.TemporaryDirectory() as folder:
        member = lay_out(binary, folder, (10,), 0.1)[0]
        engine = member.engine(_ledger.app(checker))
        await engine.start()
        kinds: set[str] = set()
        try:
            for i in range(0, len(raws), 250):
                for receipt in await engine.execute(raws[i : i + 250]):
                    kinds.add(receipt.result.reason)
                    kinds.update(event.kind for event in receipt.result.events if isinstance(event, Event))
            log = [await engine.block(height) for height in range(1, engine.height() + 1)]
        finally:
            await engine.stop()
            engine.store.close()
        blocks = [block for block in log if block is not None]
        assert sum(len(block.txs) for block in blocks) >= count and {"insufficient", "lock/locked", "record"} <= kinds
        made = await replay(blocks, member.genesis, _ledger.app(checker), Path(folder) / "local.db")
    checker.close()
    return sum(a.app_hash != b.app_hash for a, b in zip(blocks, made, strict=True)), len(blocks)


def measure(figures: dict[str, Any], binary: Path, seconds: int, transfers: int, log: int) -> None:
    per_s, p95_ms = asyncio.run(consortium(binary, seconds))
    figures["comet_tx_per_s"], figures["comet_p95_ms"] = round(per_s), round(p95_ms)
    for name, block_s in (("comet_transfer_1s_p50_ms", 1.0), ("comet_transfer_100ms_p50_ms", 0.1)):
        took = asyncio.run(transfers_ms("cometbft", Rules(max_wait_s=block_s), transfers, 1))
        figures[name] = round(percentile(took, 0.5))
    figures["differential"], figures["differential_heights"] = asyncio.run(differential(binary, log))
