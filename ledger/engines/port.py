"""What every engine offers, whichever orders the transactions.

Owns: the `Engine` port and the small types that cross it.
Refuses: anything that only one engine could keep.
Invariant: a receipt means durable: the block it names survives a crash of this process.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import NamedTuple, Protocol

from ledger.app import App, Result
from ledger.light import LightBlock
from ledger.store import Block, Store
from wire.chain.proof import StateProof


class Clock(Protocol):
    """The site clock."""

    def now_ns(self) -> int: ...

    async def sleep(self, seconds: float) -> None:
        """Until so much site time went by."""
        ...


class Receipt(NamedTuple):
    """Where a transaction went in. Height 0 where it never will: `result` says why."""

    height: int
    place: int
    result: Result


class Evidence(NamedTuple):
    """A value's bytes (or None), proven against the `app_hash` in the header of `height`."""

    height: int
    key: bytes
    value: bytes | None
    proof: StateProof


class Engine(Protocol):
    app: App
    store: Store

    async def start(self) -> None:
        """Genesis or recovery, then blocks. They are the same path."""
        ...

    async def stop(self) -> None: ...

    async def submit(self, raws: Sequence[bytes]) -> list[Result]:
        """Takes what may go into a block. A result without a reason means waiting, not done."""
        ...

    async def execute(self, raws: Sequence[bytes]) -> list[Receipt]:
        """`submit`, and what became of it. The same transaction again gets the receipt it got before."""
        ...

    def height(self) -> int:
        """Of the last block in force."""
        ...

    async def block(self, height: int) -> Block | None: ...

    async def light_block(self, height: int, known_height: int | None = None) -> LightBlock | None:
        """A header and its evidence; with the validators that follow `known_height`, where heights are skipped."""
        ...

    async def prove(self, key: bytes, height: int | None = None) -> Evidence:
        """Under the header of `height`, by default the newest that there is or soon will be."""
        ...

    def follow(self, height: int) -> AsyncIterator[Block]:
        """Every block from that height on, and then as they come."""
        ...

    def want(self, height: int) -> None:
        """Somebody waits for that height: make blocks up to it, empty ones too."""
        ...
