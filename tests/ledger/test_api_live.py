"""What a node tells whom, on a real server: strangers, members, followers."""

import asyncio
import json

import httpx
import pytest

from ledger.contracts.accounts import ACCOUNTS
from tests.ledger.livenode import NAME, members, running
from wire import cbor
from wire.chain import kinds, rest, tx
from wire.chain.keys import PrivateKey
from wire.ids import id_text

CHAIN = f"{NAME}-transaction"
NOBODY = PrivateKey.derive("nobody")
DENIAL = {1: "denied", 2: "a member's token is needed"}


@pytest.fixture(scope="module")
def node(tmp_path_factory):
    with running(tmp_path_factory.mktemp("api")) as one:
        yield one


def in_world(node, work):
    async def all_of_it():
        async with members(node) as world:
            return await work(world)

    return asyncio.run(all_of_it())


def reading_routes(node):
    account = node.key("company").kid
    state = ACCOUNTS.key(account).hex()
    queries = ("accounts", "balance", "record", "lock", "clients", "parameters", "nonsense")
    fixed = (
        "status",
        "status?after=0&wait=1",
        "genesis",
        "header/1",
        "header/last",
        "header/x",
        "block/1",
        "block/999",
    )
    return [*fixed, f"state/{state}", "state/zz", "commands", "events", *(f"query/{name}" for name in queries)]


def test_a_schedule_key_reads_nothing_of_the_transaction_chain(node):
    """The dispatch account is on the schedule chain alone. Its token, no token and nonsense get the same answer, byte
    for byte, on every reading route of the other chain and of a chain that there is not."""

    async def look(world):
        dispatch = world.on("schedule", "dispatch")
        await dispatch.status()
        for chain in (CHAIN, "no-such-chain"):
            for route in reading_routes(node):
                for token in ("", f"Bearer {dispatch._token}", "Bearer x", "Basic x"):
                    headers = {**rest.HEADERS, **({"authorization": token} if token else {})}
                    reply = await world.http.get(f"/v1/{chain}/{route}", headers=headers)
                    assert (reply.status_code, cbor.decode(reply.content)) == (403, DENIAL), route

    in_world(node, look)


def test_no_token_for_who_is_no_member(node):
    async def look(world):
        for who, account in ((node.key("dispatch"), None), (NOBODY, None), (NOBODY, node.key("company").kid)):
            account = account or who.kid
            asked = await world.http.post(f"/v1/{CHAIN}/challenge", content=cbor.encode({1: account}))
            wish = rest.wish_to_read(who, CHAIN, account, cbor.decode(asked.content)[1])
            reply = await world.http.post(f"/v1/{CHAIN}/token", content=wish)
            assert (reply.status_code, cbor.decode(reply.content)) == (403, DENIAL)

    in_world(node, look)


def test_refused_transactions_do_not_tell_who_is_a_member(node):
    async def look(world):
        company, body = node.key("company"), kinds.Pay(to=NOBODY.kid, amount=1, message=None).to_map()
        member = tx.sign(NOBODY, CHAIN, company.kid, 0, kinds.Pay.NUMBER, body)
        stranger = tx.sign(NOBODY, CHAIN, NOBODY.kid, 0, kinds.Pay.NUMBER, body)
        forged = tx.sign(company, CHAIN, company.kid, 0, kinds.Pay.NUMBER, body)[:-1] + b"\0"
        answers = []
        for wait in (0, 5):
            reply = await world.http.post(
                f"/v1/{CHAIN}/tx?wait={wait}", content=cbor.encode([member, stranger, forged])
            )
            answers += cbor.decode(reply.content)
        assert len({json.dumps(one) for one in answers}) == 1, answers
        assert answers[0][3] == "denied"

    in_world(node, look)


def test_a_guess_of_what_was_sent_gets_no_receipt(node):
    async def look(world):
        company = world.on("transaction", "company")
        sequence = (await company.query("accounts", id_text(company.account)))[0]["sequence"]
        body = kinds.Pay(to=node.key("operator").kid, amount=5, message=None)
        done = (await company.send(body))[0]
        assert done.height

        class Guess:
            kid = node.key("company").kid

            @staticmethod
            def sign(message):
                return NOBODY.sign(message)

        guess = tx.sign(Guess, CHAIN, company.account, sequence, body.NUMBER, body.to_map())
        reply = await world.http.post(f"/v1/{CHAIN}/tx", content=cbor.encode([guess]))
        assert cbor.decode(reply.content)[0][:2] == [1, 0]
        again = tx.sign(node.key("company"), CHAIN, company.account, sequence, body.NUMBER, body.to_map())
        reply = await world.http.post(f"/v1/{CHAIN}/tx", content=cbor.encode([again]))
        assert cbor.decode(reply.content)[0][:2] == [0, done.height], "who signs it again gets the receipt"

    in_world(node, look)


def test_anyone_may_know_which_chains_there_are_and_no_more(node):
    reply = httpx.get(f"{node.url}/v1", headers={"accept": "application/json"})
    assert reply.json() == [[f"{NAME}-{sort}", sort] for sort in ("main", "schedule", "transaction")]


def test_json_for_people(node):
    key = node.key("operator")
    ask = {"json": {"1": id_text(key.kid)}, "headers": {"accept": "application/json"}}
    nonce = bytes.fromhex(httpx.post(f"{node.url}/v1/{CHAIN}/challenge", **ask).json()["1"])
    wish = rest.wish_to_read(key, CHAIN, key.kid, nonce).hex()
    answer = httpx.post(f"{node.url}/v1/{CHAIN}/token", json=wish, headers={"accept": "application/json"}).json()
    headers = {"authorization": f"Bearer {answer['1']}", "accept": "application/json"}
    assert set(httpx.get(f"{node.url}/v1/{CHAIN}/status", headers=headers).json()) == {"1", "2", "3"}
    assert httpx.get(f"{node.url}/v1/{CHAIN}/query/parameters", headers=headers).json()["confirmations"] == 1


@pytest.mark.parametrize(
    ("route", "reason"),
    [
        ("header/x", "bad-field"),
        ("header/99999", "bad-field"),
        ("block/99999", "bad-field"),
        ("state/zz", "bad-field"),
        ("state/00?height=99999999", "bad-field"),
        ("state/00?height=0", "bad-field"),
        ("query/nonsense", "unknown-query"),
        ("query/balance", "bad-argument"),
        ("commands", "bad-field"),
        ("status?after=-1", "bad-field"),
    ],
)
def test_a_member_is_told_what_is_wrong(node, route, reason):
    async def look(world):
        reader = world.on("transaction", "operator")
        await reader.status()
        headers = {**rest.HEADERS, "authorization": f"Bearer {reader._token}"}
        reply = await world.http.get(f"/v1/{CHAIN}/{route}", headers=headers)
        assert (reply.status_code, cbor.decode(reply.content)[1]) == (400, reason)

    in_world(node, look)


@pytest.mark.parametrize(
    "body", [b"", b"\xff", b"\x80", cbor.encode([1]), cbor.encode([b""] * 2_001), bytes((4 << 20) + 1)]
)
def test_bodies_that_are_none(node, body):
    reply = httpx.post(f"{node.url}/v1/{CHAIN}/tx", content=body, timeout=30)
    assert reply.status_code == 400


def test_followers_hear_what_happens(node):
    async def look(world):
        company = world.on("transaction", "company")
        top, _ = await company.status()
        headers = {"authorization": f"Bearer {company._token}"}
        body = kinds.Pay(to=node.key("operator").kid, amount=7, message="for the test")
        heard = []
        async with world.http.stream("GET", f"/v1/{CHAIN}/events?from={top + 1}", headers=headers) as stream:
            assert stream.headers["content-type"].startswith("text/event-stream")
            done = (await company.send(body))[0]
            async with asyncio.timeout(10):
                async for line in stream.aiter_lines():
                    heard.append(line)
                    if line == "event: block":
                        break
        assert f"id: {done.height}.0.0" in heard
        assert any(line.startswith("data:") and '"for the test"' in line for line in heard)

    in_world(node, look)


def test_waiting_for_news_costs_one_question(node):
    async def look(world):
        company = world.on("transaction", "company")
        await asyncio.sleep(1)
        top, _ = await company.status()
        assert await company.news(top, 1) == await company.status()
        waiting = asyncio.ensure_future(company.news(top, 20))
        other = world.on("transaction", "operator")
        done = (await other.send(kinds.Pay(to=node.key("company").kid, amount=1, message=None)))[0]
        assert (await asyncio.wait_for(waiting, 5))[0] >= done.height

    in_world(node, look)
