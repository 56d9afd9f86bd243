"""CometBFT-format blocks of a chain with one validator: header, commit and the places of its transactions.

Owns: what each header field is made of, and the chain of headers so far.
Refuses: I/O and clocks: the time is given, the block goes out as a value.
Invariants: header times rise strictly; nothing is signed that the app did not apply first.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ledger.app import App, Applied
from ledger.app import Block as AppBlock
from ledger.genesis import Genesis
from ledger.light import LightBlock
from ledger.store import Block
from wire.chain import header as comet
from wire.chain import merkle
from wire.chain.header import BlockID, Commit, CommitSig, Header

MAX_BYTES = 4 << 20
NO_GAS = -1


class Sealed(NamedTuple):
    block: Block
    applied: Applied


class Sealer:
    """Makes the next block on a head. `follows` moves the head, once a block is on the disk."""

    def __init__(self, app: App, genesis: Genesis, key: Ed25519PrivateKey) -> None:
        public = key.public_key().public_bytes_raw()
        assert [v.key for v in genesis.validators] == [public], "a chain of one has one validator, and its key is here"
        self._app = app
        self._key = key
        self._address = comet.address_of(public)
        self.validators = genesis.validators
        self._validators_hash = comet.validators_hash(genesis.validators)
        self.chain_id = genesis.chain_id
        self.time_ns = genesis.time_ns - 1  # the first block may carry the time of the genesis
        self._commit = Commit(0, 0, BlockID(), ())
        self._results_hash = merkle.EMPTY_ROOT

    def follows(self, block: Block) -> None:
        assert block.light is not None
        light = LightBlock.decode(block.light)
        self.time_ns = light.header.time_ns
        self._commit = light.commit
        self._results_hash = comet.results_hash([(r.code, r.reason.encode()) for r in block.results])

    def seal(self, txs: Sequence[bytes], now_ns: int) -> Sealed:
        """Applies and signs; the app has yet to commit, and a store to write."""
        app = self._app
        names = [sha256(tx).digest() for tx in txs]
        header = Header(
            chain_id=self.chain_id,
            height=app.height + 1,
            time_ns=max(now_ns, self.time_ns + 1),
            last_block_id=self._commit.block_id,
            last_commit_hash=self._commit.hash(),
            data_hash=merkle.root(names),
            validators_hash=self._validators_hash,
            next_validators_hash=self._validators_hash,
            consensus_hash=comet.consensus_hash(MAX_BYTES, NO_GAS),
            app_hash=app.app_hash,
            last_results_hash=self._results_hash,
            evidence_hash=merkle.EMPTY_ROOT,
            proposer=self._address,
        )
        applied = app.apply(AppBlock(header.height, header.time_ns, txs, self._address, header.hash(), names))
        light = LightBlock(header, self._sign(header, txs), self.validators)
        results = tuple(applied.results)
        block = Block(header.height, header.time_ns, applied.app_hash, tuple(txs), results, light.encode())
        return Sealed(block, applied)

    def _sign(self, header: Header, txs: Sequence[bytes]) -> Commit:
        commit = Commit(header.height, 0, comet.block_id(header, txs, self._commit), ())
        vote = CommitSig(comet.COMMIT, self._address, header.time_ns)
        signature = self._key.sign(commit.sign_bytes(self.chain_id, vote))
        return commit._replace(signatures=(vote._replace(signature=signature),))
