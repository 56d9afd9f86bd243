"""How contracts keep rows: one shelf a kind of thing, keys that docs/spec-ledger.md lists, rows that are NamedTuples.

Owns: the key scheme `prefix/` + name, and turning a kept tuple back into its row; the wrapping of handlers.
Refuses: (by name) a row that must be there and is not.
Invariant: no prefix is the beginning of another, so a scan of one shelf sees no row of a second.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar

from ledger.app import Context, Handler, Refused
from ledger.state import Draft, Reader
from wire.chain.kinds import Kind
from wire.ids import id_text

Row = TypeVar("Row", bound=tuple[Any, ...])
K = TypeVar("K", bound=Kind)


class Shelf(Generic[Row]):
    def __init__(self, prefix: str, row: Callable[..., Row]) -> None:
        self.prefix = prefix.encode() + b"/"
        self._row = row

    def key(self, name: bytes | int) -> bytes:
        return self.prefix + (name.to_bytes(8, "big") if isinstance(name, int) else name)

    def get(self, view: Reader, name: bytes | int) -> Row | None:
        value = view.get(self.key(name))
        if value is None:
            return None
        assert isinstance(value, tuple)
        return self._row(*value)

    def need(self, view: Reader, name: bytes | int, reason: str) -> Row:
        row = self.get(view, name)
        if row is None:
            raise Refused(reason, id_text(name) if isinstance(name, bytes) and len(name) == 8 else str(name))
        return row

    def put(self, draft: Draft, name: bytes | int, row: Row) -> None:
        draft.put(self.key(name), row)

    def delete(self, draft: Draft, name: bytes | int) -> None:
        draft.delete(self.key(name))

    def all(self, view: Reader) -> Iterator[tuple[bytes, Row]]:
        for key, value in view.scan(self.prefix):
            assert isinstance(value, tuple)
            yield key[len(self.prefix) :], self._row(*value)


class Counter:
    """A number under a key of its own, 0 until it is written."""

    def __init__(self, key: str) -> None:
        self.key = key.encode()

    def get(self, view: Reader) -> int:
        value = view.get(self.key)
        assert value is None or isinstance(value, int)
        return value or 0

    def put(self, draft: Draft, value: int) -> None:
        draft.put(self.key, value)

    def take(self, draft: Draft) -> int:
        """The next number: 0, 1, 2 …"""
        number = self.get(draft)
        draft.put(self.key, number + 1)
        return number


def on(kind: type[K], function: Callable[[Context, K], None]) -> tuple[int, Handler]:
    """A row of a contract's handlers: the body is decoded by its kind's table before the function sees it."""

    def run(ctx: Context, tx: Any) -> None:
        function(ctx, kind.of(tx.body))

    return kind.NUMBER, run
