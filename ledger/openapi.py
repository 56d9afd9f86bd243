"""The HTTP contract as an OpenAPI document, for people and their tools. Pure.

Owns: one row a route, and the shapes of answers in JSON; `GET /v1/openapi.json` gives it.
Refuses: saying more than docs/spec.md section 6, which binds.
Invariant: every route of ledger/api.py is here and no other (tests/ledger/test_api_openapi.py).
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from wire.chain.rest import CBOR

JSON: Final = "application/json"
TEXT: Final = {"type": "string"}
NUMBER: Final = {"type": "integer", "minimum": 0}
HEX: Final = {"type": "string", "pattern": "^([0-9a-f]{2})*$", "description": "bytes as hex digits"}
ID: Final = {"type": "string", "pattern": "^[a-z2-7]{13}$", "description": "an account's or device's id"}
ANY: Final[dict[str, Any]] = {}


def _array(*items: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "prefixItems": list(items), "minItems": len(items), "maxItems": len(items)}


def _list(item: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": item}


def _map(*cells: dict[str, Any]) -> dict[str, Any]:
    """A CBOR map with the keys 1, 2 …, as JSON writes it."""
    names = [str(number) for number in range(1, len(cells) + 1)]
    return {"type": "object", "properties": dict(zip(names, cells, strict=True)), "required": names}


EVENT: Final = _array(TEXT, _list(_array(TEXT, ANY)))
OUTCOME: Final = _array({"enum": [0, 1, 2], "description": "0 done, 1 refused, 2 waiting"}, NUMBER, NUMBER, TEXT, TEXT)


class Route(NamedTuple):
    path: str
    summary: str
    answer: dict[str, Any]
    method: str = "get"
    query: tuple[tuple[str, dict[str, Any], str], ...] = ()
    body: dict[str, Any] | None = None
    member: bool = True  # a token is needed
    media: tuple[str, ...] = (JSON, CBOR)


WAIT: Final = ("wait", NUMBER, "at most so many seconds; 60 is the most")
HEIGHT: Final = {"type": "string", "pattern": "^([0-9]{1,15}|last)$"}

ROUTES: Final = (
    Route("/v1", "the chains of this node: id and sort", _list(_array(TEXT, TEXT)), member=False),
    Route("/v1/openapi.json", "this document", {"type": "object"}, member=False, media=(JSON,)),
    Route(
        "/v1/{chain}/tx", "signed transactions in order; one outcome each", _list(OUTCOME),
        "post", (WAIT,), {"type": "array", "items": HEX, "minItems": 1, "maxItems": 2_000}, member=False,
    ),
    Route(
        "/v1/{chain}/challenge", "a nonce to sign, good for one minute, once", _map(HEX),
        "post", (), _map(ID), member=False,
    ),
    Route(
        "/v1/{chain}/token", "a token and the time (s) it holds until, for {1: chain, 2: account, 3: nonce}, signed",
        _map(TEXT, NUMBER), "post", (), HEX, member=False,
    ),
    Route(
        "/v1/{chain}/status", "height, app_hash, time (s) of the last block", _map(NUMBER, HEX, NUMBER),
        query=(("after", NUMBER, "wait until there is a block above this height"), WAIT),
    ),
    Route("/v1/{chain}/genesis", "sort of chain, genesis document", _array(TEXT, HEX)),
    Route(
        "/v1/{chain}/header/{height}", "a light block: header, commit, validators", _array(NUMBER, HEX),
        query=(("known", NUMBER, "height whose header the reader trusts"),),
    ),
    Route(
        "/v1/{chain}/block/{height}", "height, time (s), transactions, results with events",
        _map(NUMBER, NUMBER, _list(HEX), _list(_array(NUMBER, TEXT, _list(EVENT)))),
    ),
    Route(
        "/v1/{chain}/state/{key}", "height, value or null, proof", _array(NUMBER, {"type": ["string", "null"]}, HEX),
        query=(("height", NUMBER, "of the header that the proof is to hold under"),),
    ),
    Route(
        "/v1/{chain}/query/{path}", "a contract's answer", ANY, query=(("arg", TEXT, "an id, mostly"),), media=(JSON,),
    ),
    Route(
        "/v1/{chain}/commands", "number, station, signed order, where this node dispatches",
        _list(_array(NUMBER, ID, HEX)), query=(("after", NUMBER, "the last number that is known"),),
    ),
    Route(
        "/v1/{chain}/events", "what happens, as it happens; ends with the token", TEXT,
        query=(("from", NUMBER, "height to begin with"),), media=("text/event-stream",),
    ),
)  # fmt: skip

PLACES: Final = {"chain": TEXT, "height": HEIGHT, "key": HEX, "path": TEXT}
REFUSAL: Final = {"$ref": "#/components/schemas/Refusal"}


def document() -> dict[str, Any]:
    paths: dict[str, dict[str, Any]] = {}
    for route in ROUTES:
        paths.setdefault(route.path, {})[route.method] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "tallygrid ledger node",
            "version": "1",
            "description": "JSON for people, CBOR for machines: in JSON bytes are hex, ids text, a map's numbers text.",
        },
        "paths": paths,
        "components": {
            "schemas": {"Refusal": {**_map(TEXT, TEXT), "description": "1 reason, 2 detail"}},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(route: Route) -> dict[str, Any]:
    places = [name.strip("{}") for name in route.path.split("/") if name.startswith("{")]
    parameters: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": PLACES[name]} for name in places
    ]
    parameters += [
        {"name": name, "in": "query", "schema": schema, "description": words} for name, schema, words in route.query
    ]
    content = {media: _content(media, route) for media in route.media}
    answers: dict[str, Any] = {"200": {"description": route.summary, "content": content}}
    if places:
        answers |= {
            "400": _refusal("what was asked is wrong"),
            "403": _refusal("no member of this chain, or no such chain: the same for all"),
            "429": _refusal("too much; Retry-After says when again"),
        }
    operation: dict[str, Any] = {"summary": route.summary, "parameters": parameters, "responses": answers}
    if route.body is not None:
        binary = {"schema": {"type": "string", "format": "binary"}}
        operation["requestBody"] = {"required": True, "content": {JSON: {"schema": route.body}, CBOR: binary}}
    if route.member:
        operation["security"] = [{"token": []}]
    return operation


def _content(media: str, route: Route) -> dict[str, Any]:
    return {"schema": {"type": "string", "format": "binary"} if media == CBOR else route.answer}


def _refusal(words: str) -> dict[str, Any]:
    return {"description": words, "content": {JSON: {"schema": REFUSAL}, CBOR: {"schema": {"type": "string"}}}}
