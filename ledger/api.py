"""A ledger node over HTTP: docs/spec.md section 6.

Owns: routes, CBOR and JSON bodies, tokens on every reading route, limits on rate and size, server-sent events.
Refuses: strangers, all alike and whatever they ask; bodies over the limit; more than the rate allows.
Invariants: nothing of a chain goes to who is no member of it, whether as answer, event, proof or error; an event stream
ends with its token.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from ledger import openapi
from ledger.access import Door, Limits, Meter
from ledger.app import Result
from ledger.desk import Desk
from ledger.engines.port import Clock, Engine
from ledger.store import Block
from wire import cbor
from wire.chain.rest import CBOR, DONE, REFUSED, WAITING
from wire.errors import WireError
from wire.ids import id_bytes, id_text

BODY_MAX = 4 << 20
TXS_MAX = 2_000
WAIT_S_MAX = 60
BODY_S = 30.0
HEARTBEAT_S = 10.0
AHEAD_MAX = 1_001  # blocks that a proof may ask for: more than any chain's confirmations
STREAMS_MAX = 16  # event streams of one account at a time
# What a check says before a signature holds: to a stranger it would tell who is a member.
UNSIGNED = ("unknown-account", "barred", "unknown-key", "bad-signature")


@dataclass
class Hosted:
    """One chain of this node. `desk` is there where this node dispatches."""

    engine: Engine
    member_key: Callable[[bytes], bytes | None]
    desk: Desk | None = None
    sort: str = ""


@dataclass
class Node:
    chains: Mapping[str, Hosted]
    clock: Clock
    limits: Limits | None = None  # of each peer; None where only this machine can ask
    door: Door = field(init=False)
    unfinished: set[asyncio.Future[Any]] = field(default_factory=set)
    streams: Counter[tuple[str, bytes]] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.door = Door(self._member_key)
        self._meter = Meter(self.limits) if self.limits is not None else None

    def wait_s(self, request: Request, txs: int = 0) -> float:
        """How long this peer has to wait before it may ask that; 0 is now."""
        if self._meter is None or request.client is None:
            return 0.0
        return self._meter.take(request.client.host, txs, asyncio.get_running_loop().time())

    def _member_key(self, chain: str, account: bytes) -> bytes | None:
        return self.chains[chain].member_key(account) if chain in self.chains else None

    def now_s(self) -> int:
        return self.clock.now_ns() // 1_000_000_000


class Denied(Exception):
    """Whoever asked is no reader of this chain."""


class Busy(Exception):
    """More than one peer may have; with the seconds after which it may ask again."""


Handler = Callable[[Node, Request, str, Hosted], Any]


def create_app(node: Node) -> Starlette:
    def route(path: str, handler: Handler, method: str = "GET", open_to_all: bool = False) -> Route:
        async def answer(request: Request) -> Response:
            try:
                _pace(node.wait_s(request))
                chain, hosted = _admit(node, request, open_to_all)
                return await handler(node, request, chain, hosted)  # type: ignore[no-any-return]
            except Denied:
                return _reply(request, {1: "denied", 2: "a member's token is needed"}, 403)
            except Busy as busy:
                reply = _reply(request, {1: "too-many", 2: f"again in {busy} s"}, 429)
                reply.headers["retry-after"] = str(busy)
                return reply
            except WireError as error:
                return _reply(request, {1: error.reason, 2: error.detail}, 400)

        return Route("/v1/{chain}" + path, answer, methods=[method])

    async def chains(request: Request) -> Response:
        """Which chains there are is no secret; how far they are is."""
        return _reply(request, [[name, hosted.sort] for name, hosted in sorted(node.chains.items())])

    async def description(request: Request) -> Response:
        return JSONResponse(openapi.document())

    return Starlette(
        routes=[
            Route("/v1", chains),
            Route("/v1/openapi.json", description),
            route("/tx", _tx, "POST", open_to_all=True),
            route("/challenge", _challenge, "POST", open_to_all=True),
            route("/token", _token, "POST", open_to_all=True),
            route("/status", _status),
            route("/genesis", _genesis),
            route("/header/{height}", _header),
            route("/block/{height}", _block),
            route("/state/{key}", _state),
            route("/query/{path:path}", _query),
            route("/commands", _commands),
            route("/events", _events),
        ]
    )


def _admit(node: Node, request: Request, open_to_all: bool) -> tuple[str, Hosted]:
    chain = request.path_params["chain"]
    hosted = node.chains.get(chain)
    if hosted is None:
        raise Denied
    if not open_to_all and _reader(node, request, chain) is None:
        raise Denied
    return chain, hosted


def _token_of(request: Request) -> str:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token if scheme == "Bearer" else ""


def _reader(node: Node, request: Request, chain: str) -> bytes | None:
    return node.door.reader(chain, _token_of(request), node.now_s())


def _pace(wait_s: float) -> None:
    if wait_s > 0:
        raise Busy(int(wait_s) + 1)


async def _body(request: Request) -> bytes:
    """The body, as long as it is not too long and comes in time."""
    raw = bytearray()
    try:
        async with asyncio.timeout(BODY_S):
            async for part in request.stream():
                raw += part
                if len(raw) > BODY_MAX:
                    raise WireError("too-big", f"a body has at most {BODY_MAX} bytes")
    except TimeoutError:
        raise WireError("truncated", f"the body did not come in {BODY_S:.0f} s") from None
    return bytes(raw)


async def _asked(request: Request, depth: int, size: int) -> Any:
    """The body's value. For people it may be JSON, in the form that answers have: `plain`."""
    raw = await _body(request)
    return _json(raw) if _is_json(request) else cbor.decode(raw, depth, size)


def _is_json(request: Request) -> bool:
    return request.headers.get("content-type", "").startswith("application/json")


def _json(raw: bytes) -> Any:
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):
        raise WireError("bad-type", "not the JSON it says it is") from None


def _unhex(value: Any) -> Any:
    """Bytes as JSON has them; what is no hex stays what it is and is refused as such."""
    if isinstance(value, str):
        with suppress(ValueError):
            return bytes.fromhex(value)
    return value


# ---------------------------------------------------------------- answers


def _reply(request: Request, value: Any, status: int = 200) -> Response:
    if "json" in request.headers.get("accept", ""):
        return JSONResponse(plain(value), status)
    return Response(cbor.encode(value), status, media_type=CBOR)


def plain(value: Any) -> Any:
    """For people: byte strings as hex, ids as text, maps' numbers as text."""
    if isinstance(value, bytes):
        return id_text(value) if len(value) == 8 else value.hex()
    if isinstance(value, (list, tuple)):
        return [plain(each) for each in value]
    if isinstance(value, dict):
        return {str(key): plain(each) for key, each in value.items()}
    return value


def _number(text: str, name: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise WireError("bad-field", f"{name} is a number")
    return int(text)


# ---------------------------------------------------------------- writing


async def _tx(node: Node, request: Request, chain: str, hosted: Hosted) -> Response:
    wait_s = min(_number(request.query_params.get("wait", "10"), "wait"), WAIT_S_MAX)
    txs = await _asked(request, 2, BODY_MAX)
    if isinstance(txs, list):
        txs = [_unhex(raw) for raw in txs]
    if not isinstance(txs, list) or not 0 < len(txs) <= TXS_MAX or not all(isinstance(raw, bytes) for raw in txs):
        raise WireError("bad-type", f"the body is an array of 1 to {TXS_MAX} signed transactions")
    _pace(node.wait_s(request, len(txs)))
    member = _reader(node, request, chain) is not None
    if not wait_s:
        return _reply(request, [_outcome(result, member) for result in await hosted.engine.submit(txs)])
    work = asyncio.ensure_future(hosted.engine.execute(txs))
    done, _ = await asyncio.wait({work}, timeout=wait_s)
    if not done:
        node.unfinished.add(work)  # it goes on: a block will have it, whether somebody still waits or not
        work.add_done_callback(node.unfinished.discard)
        return _reply(request, [[WAITING, 0, 0, "", "still waiting: ask again with the same transaction"] for _ in txs])
    return _reply(request, [_outcome(one.result, member, one.height, one.place) for one in work.result()])


def _outcome(result: Result, member: bool, height: int = 0, place: int = 0) -> list[Any]:
    if result.reason in UNSIGNED and not height and not member:
        result = Result("denied", "no member's signature, or not with the key in use")
    status = REFUSED if result.reason else (DONE if height else WAITING)
    return [status, height, place, result.reason, result.detail]


# ---------------------------------------------------------------- tokens


async def _challenge(node: Node, request: Request, chain: str, hosted: Hosted) -> Response:
    wish = await _asked(request, 1, 64)
    if isinstance(wish, dict) and isinstance(wish.get("1"), str):
        wish = {1: id_bytes(wish["1"])}
    if not isinstance(wish, dict) or not isinstance(wish.get(1), bytes) or len(wish[1]) != 8:
        raise WireError("bad-field", "{1: account}")
    return _reply(request, {1: node.door.challenge(chain, wish[1], secrets.token_bytes(32), node.now_s())})


async def _token(node: Node, request: Request, chain: str, hosted: Hosted) -> Response:
    token = secrets.token_urlsafe(24)
    raw = await _body(request)
    try:
        if _is_json(request):
            raw = _unhex(_json(raw))
        if not isinstance(raw, bytes):
            raise Denied
        grant = node.door.answer(chain, raw, token, node.now_s())
    except WireError:
        raise Denied from None  # a stranger learns nothing, not even why
    return _reply(request, {1: token, 2: grant.until_s})


# ---------------------------------------------------------------- reading


async def _status(node: Node, request: Request, chain: str, hosted: Hosted) -> Response:
    """With `?after=H` once there is a block above that height, or after `wait` seconds: so that followers need not ask
    again and again."""
    engine = hosted.engine
    after = request.query_params.get("after")
    if after is not None:
        wait_s = min(_number(request.query_params.get("wait", "10"), "wait"), WAIT_S_MAX)
        await _above(engine, _number(after, "after"), wait_s)
    block = await engine.block(engine.height())
    time_s = block.time_ns // 1_000_000_000 if block else 0
    return _reply(request, {1: engine.height(), 2: engine.app.app_hash, 3: time_s})


async def _above(engine: Engine, height: int, wait_s: float) -> None:
    if engine.height() > height:
        return
    coming = asyncio.ensure_future(anext(engine.follow(height + 1)))
    try:
        await asyncio.wait({coming}, timeout=wait_s)
    finally:
        coming.cancel()


async def _genesis(node: Node, request: Request, chain: str, hosted: Hosted) -> Response:
    """The document as its members agreed on it."""
    return _reply(request, [hosted.sort, hosted.engine.store.genesis])


async def _header(node: Node, request: Request, chain: str, hosted: Hosted) -> Response:
    text = request.path_params["height"]
    engine = hosted.engine
    height = engine.height() if text == "last" else _number(text, "height")
    known = request.query_params.get("known")
    light = await engine.light_block(height, _number(known, "known") if known is not None else None)
    if light is None:
        raise WireError("bad-field", f"no header of height {height}")
    return _reply(request, [height, light.encode()])


async def _block(node: Node, request: Request, chain: str, hosted: Hosted) -> Response:
    height = _number(request.path_params["height"], "height")
    block = await hosted.engine.block(height)
    if block is None:
        raise WireError("bad-field", f"no block of height {height}")
    results = [[r.code, r.reason, [[e.kind, _pairs(e.fields)] for e in r.events]] for r in block.results]
    return _reply(request, {1: block.height, 2: block.time_ns // 1_000_000_000, 3: list(block.txs), 4: results})


def _pairs(fields: Mapping[str, Any]) -> list[list[Any]]:
    return [[name, _flat(value)] for name, value in fields.items()]


def _flat(value: Any) -> Any:
    return [_flat(each) for each in value] if isinstance(value, tuple) else value


async def _state(node: Node, request: Request, chain: str, hosted: Hosted) -> Response:
    try:
        key = bytes.fromhex(request.path_params["key"])
    except ValueError:
        raise WireError("bad-field", "a key is hex digits") from None
    text = request.query_params.get("height")
    height = _number(text, "height") if text is not None else None
    if height is not None and not 0 < height <= hosted.engine.height() + AHEAD_MAX:
        raise WireError("bad-field", f"a height is above 0 and at most {AHEAD_MAX} ahead")
    evidence = await hosted.engine.prove(key, height)
    return _reply(request, [evidence.height, evidence.value, evidence.proof.encode()])


async def _query(node: Node, request: Request, chain: str, hosted: Hosted) -> Response:
    """Contracts answer people and tools: always JSON."""
    answer = hosted.engine.app.query(request.path_params["path"], request.query_params.get("arg"))
    return JSONResponse(plain(answer))


async def _commands(node: Node, request: Request, chain: str, hosted: Hosted) -> Response:
    if hosted.desk is None:
        raise WireError("bad-field", "this node dispatches nothing")
    return _reply(request, hosted.desk.after(_number(request.query_params.get("after", "0"), "after")))


async def _events(node: Node, request: Request, chain: str, hosted: Hosted) -> Response:
    token = _token_of(request)
    account = node.door.reader(chain, token, node.now_s())
    if account is None:
        raise Denied
    if node.streams[chain, account] >= STREAMS_MAX:
        raise Busy(int(HEARTBEAT_S))
    last = request.headers.get("last-event-id", "")
    start = _number(last.split(".")[0], "last event id") if last else 0
    start = max(start, _number(request.query_params.get("from", "1"), "from"), 1)
    stream = _stream(node, chain, hosted, start, (token, account))
    return StreamingResponse(stream, media_type="text/event-stream", headers={"cache-control": "no-store"})


async def _stream(node: Node, chain: str, hosted: Hosted, start: int, reader: tuple[str, bytes]) -> AsyncIterator[str]:
    """Until the token is over, or its account is no member any more."""
    token, account = reader
    blocks = hosted.engine.follow(start)
    waiting: asyncio.Future[Any] | None = None
    node.streams[chain, account] += 1
    try:
        while True:
            waiting = waiting or asyncio.ensure_future(anext(blocks))
            done, _ = await asyncio.wait({waiting}, timeout=HEARTBEAT_S)
            if node.door.reader(chain, token, node.now_s()) is None:
                yield "event: over\ndata: {}\n\n"  # asks anew, with a new token and Last-Event-ID
                return
            if done:
                yield _told(waiting.result())
                waiting = None
            else:
                yield ": alive\n\n"
    finally:
        if waiting is not None:
            waiting.cancel()
        node.streams[chain, account] -= 1
        if not node.streams[chain, account]:
            del node.streams[chain, account]


def _told(block: Block) -> str:
    lines = []
    for index, result in enumerate(block.results):
        for number, event in enumerate(result.events):
            data = json.dumps(plain(event.fields))
            lines.append(f"id: {block.height}.{index}.{number}\nevent: {event.kind}\ndata: {data}\n\n")
    head = json.dumps({"height": block.height, "time_s": block.time_ns // 1_000_000_000, "txs": len(block.txs)})
    return "".join([*lines, f"id: {block.height}\nevent: block\ndata: {head}\n\n"])
