"""A chain's history as evidence: everything somebody needs to check it from genesis, in a bundle's records.

Owns: which records a chain gives (genesis, headers, transactions), and checking them by applying every block again.
Refuses: taking anything for granted: validators and genesis are compared with what the reader was told to trust.
Invariant: what passes here was signed by who had to sign it, and led to exactly the balances that are told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from ledger import contracts, light
from ledger.app import App, Block, Result
from ledger.genesis import Genesis
from ledger.light import LightBlock, Params, Trusted
from ledger.signatures import SignatureChecker
from ledger.store import Store
from wire.chain import header as comet
from wire.errors import WireError


def records(store: Store, sort: str) -> Iterator[tuple[str, list[Any]]]:
    """Of one chain: its genesis, then each block's header and transactions."""
    chain_id = store.chain_id
    yield "genesis", [chain_id, sort, store.genesis]
    head = store.head()
    for height in range(1, (head.height if head else 0) + 1):
        block = store.block(height)
        assert block is not None and block.light is not None
        yield "header", [chain_id, block.light]
        for raw, result in zip(block.txs, block.results, strict=True):
            yield "tx", [chain_id, height, raw, result.code]


def genesis_hash(raw: bytes) -> bytes:
    """What a reader is told to trust of a chain: the hash of the document that its members agreed on."""
    return sha256(raw).digest()


@dataclass
class Replay:
    """One chain applied again from genesis; `told` hears every transaction's result and events."""

    sort: str
    document: Genesis
    checker: SignatureChecker
    told: Callable[[bytes, Result], None] = lambda raw, result: None
    txs: int = 0
    _waiting: LightBlock | None = None
    _txs: list[bytes] = field(default_factory=list)
    _codes: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        document = self.document
        self.app = App(document.chain_id, contracts.of(self.sort), contracts.AUTHORITY, self.checker)
        self.app.genesis(document.salt, document.sections, document.time_ns)
        self.params = Params(document.chain_id, 1, 1)
        self.trusted: Trusted = light.genesis(document.chain_id, document.time_ns, document.validators)
        self._results: list[tuple[int, bytes]] = []

    def header(self, raw: bytes) -> None:
        """The next block's header: signed by the validators that follow, on the state and results so far."""
        self.finish()
        block = LightBlock.decode(raw)
        if block.header.height != self.trusted.height + 1:
            raise WireError("bad-link", f"header {block.header.height} after {self.trusted.height}")
        self.trusted = light.verify(self.params, self.trusted, block, None)
        if block.header.app_hash != self.app.app_hash:
            raise WireError("bad-root", f"block {block.header.height}: the state before it is another")
        if block.header.last_results_hash != comet.results_hash(self._results):
            raise WireError("bad-root", f"block {block.header.height}: the results before it are others")
        self._waiting = block

    def tx(self, height: int, raw: bytes, code: int) -> None:
        if self._waiting is None or height != self._waiting.header.height:
            raise WireError("bad-link", f"a transaction of block {height} out of place")
        self._txs.append(raw)
        self._codes.append(code)

    def finish(self) -> None:
        """Applies the block whose header and transactions have been told."""
        block = self._waiting
        if block is None:
            return
        header = block.header
        if header.data_hash != comet.data_hash(self._txs):
            raise WireError("bad-root", f"block {header.height}: its transactions are others")
        applied = self.app.apply(Block(header.height, header.time_ns, self._txs, header.proposer, header.hash()))
        if [result.code for result in applied.results] != self._codes:
            raise WireError("bad-proof", f"block {header.height}: a result is another than the one told")
        self.app.commit()
        self._results = [(result.code, result.reason.encode()) for result in applied.results]
        for raw, result in zip(self._txs, applied.results, strict=True):
            self.told(raw, result)
        self.txs += len(self._txs)
        self._waiting, self._txs, self._codes = None, [], []
