"""A chain's blocks once more through the local engine: what anybody who has them can do, to see that state follows.

Owns: feeding a log, block for block and with each block's time, to an app that begins at the same genesis.
Refuses: a log with a gap.
Invariant: the engine is the local one as it is; only its clock is the log's, and its validator one of our own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ledger.app import App
from ledger.engines.local import LocalEngine, Rules
from ledger.genesis import Genesis
from ledger.store import Block, Store
from wire.chain.header import Validator


class LogClock:
    """Shows the time of the block that is to be made."""

    def __init__(self) -> None:
        self.ns = 0

    def now_ns(self) -> int:
        return self.ns

    async def sleep(self, seconds: float) -> None:
        await asyncio.Event().wait()


class _Replayer(LocalEngine):
    def _is_wanted(self) -> bool:
        """By the log only: what the app waits for, the log has or has not."""
        return self.app.height < self._wanted


async def replay(log: Iterable[Block], genesis: Genesis, app: App, path: Path) -> list[Block]:
    """The blocks that the local engine makes of the log's transactions; its store is left at `path`."""
    key = Ed25519PrivateKey.generate()
    alone = genesis._replace(validators=(Validator(key.public_key().public_bytes_raw(), 1),))
    clock, store = LogClock(), Store(path)
    engine = _Replayer(app, store, alone, key, clock, Rules(max_wait_s=0, max_txs=1 << 30, idle_s=1e12))
    made: list[Block] = []
    await engine.start()
    try:
        for block in log:
            assert block.height == engine.height() + 1, f"block {block.height} on height {engine.height()}"
            clock.ns = block.time_ns
            await engine.execute(block.txs)
            await engine.reach(block.height)
            found = await engine.block(block.height)
            assert found is not None
            made.append(found)
    finally:
        await engine.stop()
        store.close()
    return made
