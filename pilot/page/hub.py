"""What is live: each page's view is made once a tick for all who look at it, and each gets what changed.

Owns: the ticks, one short queue a listener, the messages of the stream.
Refuses: to wait for a slow listener: it skips what it missed and gets the whole view again.
Invariant: whoever applied every message shows exactly the last view. A tick without changes still sends the time, so
that silence means a lost server.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

from pilot.page.view import View, changes

TICK_S = 1.0
QUEUE = 8
RETRY_MS = 1_000


class Hub:
    def __init__(self, pages: Mapping[str, Callable[[int], View]], now_ms: Callable[[], int]) -> None:
        self.pages = pages
        self.now_ms = now_ms
        self.listeners: dict[str, set[asyncio.Queue[str | None]]] = {page: set() for page in pages}
        self._last: dict[str, View] = {}

    async def run(self) -> None:
        while True:
            self.tick()
            await asyncio.sleep(TICK_S)

    def tick(self) -> None:
        for page, queues in self.listeners.items():
            if queues:
                message = self._message(changes(self._last[page], self._look(page)))
                for queue in queues:
                    _put(queue, message)

    def view(self, page: str) -> View:
        return self.pages[page](self.now_ms() // 1_000)

    def _look(self, page: str) -> View:
        self._last[page] = self.view(page)
        return self._last[page]

    def _message(self, changed: dict[str, Any]) -> str:
        body = json.dumps({"now": self.now_ms(), **changed}, ensure_ascii=False, separators=(",", ":"))
        return f"data: {body}\n\n"

    async def listen(self, page: str) -> AsyncIterator[str]:
        queue: asyncio.Queue[str | None] = asyncio.Queue(QUEUE)
        if not self.listeners[page]:
            self._look(page)
        self.listeners[page].add(queue)
        try:
            yield f"retry: {RETRY_MS}\n" + self._message(changes(View(), self._last[page]))
            while True:
                message = await queue.get()
                yield self._message(changes(View(), self._last[page])) if message is None else message
        finally:
            self.listeners[page].discard(queue)


def _put(queue: asyncio.Queue[str | None], message: str) -> None:
    """None stands for all that did not fit."""
    if queue.full():
        while not queue.empty():
            queue.get_nowait()
        queue.put_nowait(None)
    else:
        queue.put_nowait(message)
