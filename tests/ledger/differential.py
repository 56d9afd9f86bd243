"""One log through the other engine: blocks that a consortium decided, made again by the local engine.

The local engine gets each block's transactions and time; what it makes of them has to have the same `app_hash`.
"""

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ledger.engines.local import LocalEngine, Rules
from ledger.store import Store
from tests.ledger.toychain import new_app
from wire.chain.header import Validator


class LogClock:
    """Shows the time of the block that is to be made."""

    def __init__(self):
        self.ns = 0

    def now_ns(self):
        return self.ns

    async def sleep(self, seconds):
        import asyncio

        await asyncio.Event().wait()


async def replay(log, genesis, folder, app=None):
    """The `app_hash` after each block of `log`."""
    folder.mkdir()
    key = Ed25519PrivateKey.generate()
    alone = genesis._replace(validators=(Validator(key.public_key().public_bytes_raw(), 1),))
    clock, store = LogClock(), Store(folder / "chain.db")
    most = max(len(block.txs) for block in log)
    engine = LocalEngine(app or new_app(at_genesis=False), store, alone, key, clock, Rules(0, most or 1, 1e12))
    await engine.start()
    hashes = []
    for block in log:
        clock.ns = block.time_ns
        receipts = await engine.execute(block.txs)
        await engine.reach(block.height)
        assert [r.result for r in receipts] == list(block.results)
        made = await engine.block(block.height)
        assert made.time_ns == block.time_ns and made.txs == block.txs
        hashes.append(made.app_hash)
    await engine.stop()
    store.close()
    return hashes
