"""The app's side of ABCI: what each request means for an App, its store and its snapshots.

Owns: the answers; what was finalised and not yet committed; a snapshot on its way in.
Refuses: a genesis that is not this member's; proposals with transactions that are none, or stand in it twice.
Invariants: only `adopt` changes what others see, and only after `write` put it on the disk; the same requests get the
same answers on every node.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from hashlib import sha256
from typing import NamedTuple

from ledger.app import App, Applied
from ledger.app import Block as AppBlock
from ledger.engines import abci
from ledger.engines.abci import Request
from ledger.genesis import Genesis
from ledger.snapshots import FORMAT, Arriving, Snapshot, Snapshots
from ledger.state import Diff
from ledger.store import Block, Store
from wire.chain import tx as transaction
from wire.errors import WireError

VERSION = "tallygrid"

log = logging.getLogger(__name__)


class _Finalised(NamedTuple):
    block: Block
    applied: Applied


class CometApp:
    def __init__(
        self, app: App, store: Store, genesis: Genesis, snapshots: Snapshots, committed: Callable[[Block], None]
    ) -> None:
        self._app = app
        self._store = store
        self._genesis = genesis
        self._snapshots = snapshots
        self._committed = committed
        self._finalised: _Finalised | None = None
        self._arriving: Arriving | None = None

    def answer(self, request: Request) -> bytes:
        """The body of the response. `commit` is not here: it is `write`, then `adopt`."""
        method: Callable[[Request], bytes] = getattr(self, "_" + request.name)
        return method(request)

    # ------------------------------------------------------------ what needs no state

    def _echo(self, request: Request) -> bytes:
        return request.body

    def _flush(self, request: Request) -> bytes:
        return b""

    def _extend_vote(self, request: Request) -> bytes:
        return b""

    def _verify_vote_extension(self, request: Request) -> bytes:
        return abci.verdict(not request.fields.data(4))

    # ------------------------------------------------------------ the beginning

    def _info(self, request: Request) -> bytes:
        app = self._app
        return abci.info(VERSION, app.height, app.app_hash if app.height else b"")

    def _init_chain(self, request: Request) -> bytes:
        fields = request.fields
        if fields.text(2) != self._genesis.chain_id or self._genesis.hash().hex().encode() not in fields.data(5):
            raise WireError("wrong-chain", "the engine's genesis names another document than this member's")
        return abci.init_chain(self._app.app_hash)

    # ------------------------------------------------------------ transactions

    def check_txs(self, requests: list[Request]) -> list[bytes]:
        """A run of CheckTx, the signatures together. A recheck finds them checked."""
        results = self._app.check_many([request.fields.data(1) for request in requests])
        return [abci.check_tx(result) for result in results]

    def _check_tx(self, request: Request) -> bytes:
        return self.check_txs([request])[0]

    def _query(self, request: Request) -> bytes:
        key = request.fields.data(1)
        value, _ = self._app.prove(key)
        return abci.query(key, value, self._app.height)

    # ------------------------------------------------------------ blocks

    def _prepare_proposal(self, request: Request) -> bytes:
        fields = request.fields
        room = fields.number(1)
        txs = fields.repeated(2)
        good = self._app.check_many(txs)
        turn = self._app.turns()
        chosen = []
        for tx, result in zip(txs, good, strict=True):
            size = abci.tx_size(tx)
            if result.reason or size > room or turn(sha256(tx).digest()) != 0:
                continue
            room -= size
            chosen.append(tx)
        return abci.transactions(chosen)

    def _process_proposal(self, request: Request) -> bytes:
        """Says no only to what no honest proposer sends. Whether a transaction goes through is not asked here."""
        txs = request.fields.repeated(1)
        seen = set()
        try:
            for raw in txs:
                tx = transaction.open(raw)
                seen.add((tx.account, tx.sequence))
        except WireError:
            return abci.verdict(False)
        return abci.verdict(len(seen) == len(txs))

    def _finalize_block(self, request: Request) -> bytes:
        fields = request.fields
        txs = tuple(fields.repeated(1))
        block = AppBlock(fields.number(5), fields.time_ns(6), txs, fields.data(8), fields.data(4))
        applied = self._app.apply(block)
        stored = Block(block.height, block.time_ns, applied.app_hash, txs, tuple(applied.results))
        self._finalised = _Finalised(stored, applied)
        return abci.finalize_block(applied.results, applied.validator_updates, applied.app_hash)

    def write(self) -> None:
        """The first half of Commit: on the disk."""
        assert self._finalised is not None, "Commit before FinalizeBlock"
        block, applied = self._finalised
        self._store.write(applied.diff, block, applied.places)

    def adopt(self) -> bytes:
        """The second half: in force."""
        assert self._finalised is not None
        block, self._finalised = self._finalised.block, None
        self._app.commit()
        self._committed(block)
        return b""

    # ------------------------------------------------------------ state sync

    def _list_snapshots(self, request: Request) -> bytes:
        found = self._snapshots.all()
        return abci.snapshots(abci.Snapshot(s.height, FORMAT, len(s.hashes), s.hash, s.metadata()) for s in found)

    def _load_snapshot_chunk(self, request: Request) -> bytes:
        fields = request.fields
        return abci.chunk(self._snapshots.chunk(fields.number(1), fields.number(3)))

    def _offer_snapshot(self, request: Request) -> bytes:
        offered = abci.Snapshot.read(request.fields.message(1))
        if offered.format != FORMAT:
            return abci.outcome(abci.SNAPSHOT_REJECT_FORMAT)
        try:
            snapshot = Snapshot.read(offered.height, offered.metadata)
        except WireError:
            return abci.outcome(abci.SNAPSHOT_REJECT)
        if (offered.chunks, offered.hash) != (len(snapshot.hashes), snapshot.hash):
            return abci.outcome(abci.SNAPSHOT_REJECT)
        self._arriving = Arriving(snapshot, request.fields.data(2))
        return abci.outcome(abci.SNAPSHOT_ACCEPT)

    def _apply_snapshot_chunk(self, request: Request) -> bytes:
        fields, arriving = request.fields, self._arriving
        if arriving is None:
            return abci.outcome(abci.CHUNK_REJECT_SNAPSHOT)
        if not arriving.add(fields.number(1), fields.data(2)):
            log.warning("chunk %d of snapshot %d is not the announced one", fields.number(1), arriving.snapshot.height)
            return abci.refetch(fields.number(1), fields.data(3))
        chunks = arriving.chunks()
        if chunks is None:
            return abci.outcome(abci.CHUNK_ACCEPT)
        self._arriving = None
        try:
            self._app.restore(self._genesis.salt, arriving.snapshot.height, arriving.app_hash, chunks)
        except WireError as error:
            log.warning("snapshot %d: %s", arriving.snapshot.height, error)
            return abci.outcome(abci.CHUNK_REJECT_SNAPSHOT)
        changes: dict[bytes, bytes | None] = dict(self._app.state.rows())
        self._store.replace(arriving.snapshot.height, Diff(arriving.app_hash, changes))
        return abci.outcome(abci.CHUNK_ACCEPT)
