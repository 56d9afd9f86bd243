"""What the page asks of a gateway, and the answers from its disk.

Owns: how far it has read; which messages belong to today.
Refuses: writing, and more than a handful of messages at once.
Invariant: a file that is not there yet is an empty one.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple, Protocol

from gateway.alarms import WORDS
from gateway.store_read import Books
from pilot.page.boards import DAY_S, Notice, Stored
from wire import envelope
from wire.enrol import Entry
from wire.errors import WireError
from wire.ids import id_bytes

BATCH = 400
LEAD_S = 3_600  # before midnight, to find the reading that the day begins with
BLOCKS_SHOWN = 8
REFUSED_READ = 50  # of more at once the last ones are enough
KINDS = ("report", "attested", "coarse", "state", "receipt")
NEWCOMER = ("unknown-key",)  # what a board hears until the registrar has entered it


class Sealed(NamedTuple):
    """A slave block and what became of it."""

    height: int
    at_s: int
    urgency: int
    messages: int
    main_height: int | None


class Cabinet(Protocol):
    def names(self) -> dict[bytes, str]: ...
    def messages(self) -> list[Stored]:
        """Those that came since the last time, at most a handful; none when there are no more."""
        ...

    def blocks(self) -> list[Sealed]:
        """The last ones, newest first."""
        ...

    def refused(self) -> list[Notice]:
        """Messages refused since the last time."""
        ...

    def alarms(self) -> list[tuple[bytes | str, str]]:
        """What stands at the gateway: about whom, and what."""
        ...

    def waiting(self) -> int:
        """Messages that no block holds yet."""
        ...


class GatewayDisk:
    """A gateway's file, from the messages of today on."""

    def __init__(self, path: Path, now_s: int, offset_min: int) -> None:
        self._path = path
        local_s = now_s + offset_min * 60
        self._since_ms = (local_s - local_s % DAY_S - offset_min * 60 - LEAD_S) * 1_000
        self._books: Books | None = None
        self._message = self._refused = 0

    def _open(self) -> Books | None:
        if self._books is None and self._path.exists():
            books = Books.open(self._path)
            self._message = _before(books, self._since_ms)
            self._books = books
        return self._books

    def names(self) -> dict[bytes, str]:
        books = self._open()
        entries = (Entry.decode(envelope.split(raw).payload) for raw in books.entries()) if books else ()
        return {entry.device: entry.name for entry in entries}

    def messages(self) -> list[Stored]:
        books = self._open()
        found = books.messages(self._message, KINDS, BATCH) if books else []
        if found:
            self._message = found[-1].n
        return [Stored(one.device, one.kind, one.at_ms, one.suspect, one.raw) for one in found]

    def blocks(self) -> list[Sealed]:
        books = self._open()
        return [
            Sealed(one.height, one.at_ms // 1_000, one.urgency, one.last_n - one.first_n + 1, one.main_height)
            for one in (books.blocks(BLOCKS_SHOWN) if books else [])
        ]

    def refused(self) -> list[Notice]:
        books = self._open()
        found = []
        for one in reversed(books.refused(REFUSED_READ) if books else []):
            if one["n"] > self._refused:
                self._refused = one["n"]
                detail = f" ({one['detail']})" if one["detail"] else ""
                words = f"the gateway refused a message: {one['reason']}{detail}"
                who = one["device"] or "somebody"
                found.append(Notice(one["at_ms"] // 1_000, who, words, one["reason"] not in NEWCOMER))
        return found

    def alarms(self) -> list[tuple[bytes | str, str]]:
        books = self._open()
        return [(_about(one["about"]), WORDS[one["word"]]) for one in (books.alarms() if books else [])]

    def waiting(self) -> int:
        books = self._open()
        if books is None:
            return 0
        last = books.blocks(1)
        return books.last_n() - (last[0].last_n if last else 0)


def _about(about: str) -> bytes | str:
    """A device's id where it is one, else as it is; the gateway's own alarms are about nothing."""
    try:
        return id_bytes(about)
    except WireError:
        return about or "the gateway"


def _before(books: Books, since_ms: int) -> int:
    """The last message before that time, by halving: numbers and times rise together."""
    low, high = 0, books.last_n()
    while low < high:
        middle = (low + high + 1) // 2
        found = books.messages(middle - 1, KINDS, 1)
        low, high = (middle, high) if found and found[0].at_ms < since_ms else (low, middle - 1)
    return low
