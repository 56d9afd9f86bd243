"""Value across two chains over real HTTP: taken up, refunded, carried by two at once, and by a node that was killed."""

import asyncio
import time

import pytest

from tests.ledger.livenode import at_work, members, running
from wire.chain import kinds

pytestmark = pytest.mark.filterwarnings("error::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(scope="module")
def node(tmp_path_factory):
    with running(tmp_path_factory.mktemp("relayer")) as one:
        yield one


async def lock(world, amount, seconds=600):
    company = world.on("transaction", "company")
    deadline_s = int(time.time()) + seconds
    body = kinds.Lock(to=world.node.key("company").kid, amount=amount, deadline_s=deadline_s)
    done = (await company.send(body))[0]
    assert not done.reason, done
    return deadline_s


async def purses(world):
    return await world.balance("transaction", "company"), await world.balance("schedule", "company")


def test_a_purchase_brings_rights(node):
    async def all_of_it():
        async with members(node) as world:
            tokens, rights = await purses(world)
            key = node.key("company")
            deadline_s = int(time.time()) + 600
            body = kinds.Purchase(company=key.kid, to=key.kid, amount=7_000, deadline_s=deadline_s)
            async with at_work(world.relayer()):
                assert not (await world.on("transaction", "company").send(body))[0].reason
                await world.nothing_under_way()
            assert await purses(world) == (tokens - 7_000, rights + 7_000)
            await world.adds_up()

    asyncio.run(all_of_it())


def test_what_nobody_took_up_in_time_comes_back(node):
    async def all_of_it():
        async with members(node) as world:
            before = await purses(world)
            deadline_s = await lock(world, 3_000, seconds=1)
            await asyncio.sleep(deadline_s + 0.2 - time.time())
            said = []
            async with at_work(world.relayer(said=said)):
                await world.nothing_under_way()
            assert await purses(world) == before
            assert any("refund" in words and "in block" in words for words in said)
            await world.adds_up()

    asyncio.run(all_of_it())


def test_two_relayers_at_once_credit_once(node):
    """Under accounts of their own, and two more under one account."""

    async def all_of_it():
        async with members(node) as world:
            tokens, rights = await purses(world)
            said: list[str] = []
            async with at_work(*(world.relayer(who, said) for who in ("relay", "operator", "relay"))):
                for _ in range(4):
                    await lock(world, 1_000)
                await world.nothing_under_way()
            assert await purses(world) == (tokens - 4_000, rights + 4_000)
            await world.adds_up()

    asyncio.run(all_of_it())


def test_a_killed_node_comes_back_and_the_relayer_goes_on(node):
    async def all_of_it():
        async with members(node) as world:
            tokens, rights = await purses(world)
            said = []
            async with at_work(world.relayer(said=said)):
                await lock(world, 2_000)
                await asyncio.to_thread(node.kill)
                await asyncio.sleep(0.5)
                await asyncio.to_thread(node.start)
                await world.nothing_under_way()
            assert await purses(world) == (tokens - 2_000, rights + 2_000)
            assert any("127.0.0.1" in words for words in said), "it said that the node was gone"
            await world.adds_up()

    asyncio.run(all_of_it())


def test_an_idle_relayer_hardly_asks(node):
    async def all_of_it():
        async with members(node) as world:
            await asyncio.sleep(0.5)
            asked = []

            async def count(request):
                asked.append(request.url.path)

            world.http.event_hooks["request"] = [count]
            async with at_work(world.relayer()):
                await asyncio.sleep(3)
            reading = [path for path in asked if not path.endswith(("/challenge", "/token"))]
            assert len(reading) <= 24, reading  # two ways, a look each after a late empty block or two

    asyncio.run(all_of_it())
