"""The stream: made once a tick for all, whole at first, changes after that, and whole again for who was slow."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

from pilot.page.hub import QUEUE, Hub
from pilot.page.view import View


class Counter:
    """A page that counts how often it was made."""

    def __init__(self) -> None:
        self.made = 0

    def view(self, now_s: int) -> View:
        self.made += 1
        return View(text={"made": str(self.made), "still": "x"})


def hub(counter: Counter) -> Hub:
    return Hub({"page": counter.view}, lambda: 5_000)


async def read(stream: AsyncIterator[str]) -> dict[str, Any]:
    message = await asyncio.wait_for(anext(stream), 2)
    return json.loads(message[message.index("data: ") + 6 :])


def test_whole_at_first_then_what_changed() -> None:
    async def run() -> None:
        one = hub(Counter())
        stream = one.listen("page")
        assert await read(stream) == {"now": 5_000, "t": {"made": "1", "still": "x"}}
        one.tick()
        assert await read(stream) == {"now": 5_000, "t": {"made": "2"}}
        await stream.aclose()
        assert one.listeners["page"] == set()

    asyncio.run(run())


def test_a_view_is_made_once_for_all_and_not_at_all_for_nobody() -> None:
    async def run() -> None:
        counter = Counter()
        one = hub(counter)
        one.tick()
        assert counter.made == 0
        streams = [one.listen("page") for _ in range(20)]
        for stream in streams:
            await read(stream)
        made = counter.made
        one.tick()
        assert counter.made == made + 1
        assert len({json.dumps(await read(stream)) for stream in streams}) == 1

    asyncio.run(run())


def test_who_is_slow_misses_steps_and_never_the_end() -> None:
    async def run() -> None:
        one = hub(Counter())
        slow = one.listen("page")
        await read(slow)
        for _ in range(QUEUE * 3):
            one.tick()
        text: dict[str, str] = {}
        (queue,) = one.listeners["page"]
        while not queue.empty():
            text |= (await read(slow)).get("t", {})
        assert text == {"made": str(1 + QUEUE * 3), "still": "x"}

    asyncio.run(run())


def test_who_comes_back_first_gets_what_others_have() -> None:
    async def run() -> None:
        one = hub(Counter())
        first = one.listen("page")
        await read(first)
        await first.aclose()
        one.tick()
        again = one.listen("page")
        assert (await read(again))["t"]["made"] == "2"

    asyncio.run(run())
