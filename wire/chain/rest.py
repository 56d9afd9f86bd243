"""The HTTP contract of a ledger node (docs/spec.md section 6), as far as both its ends must agree on it. Pure.

Owns: the signed wish to read, what replies mean, the shape of outcomes.
Refuses: replies of another shape (WireError). Being down, busy or closed to us are answers of their own.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from wire import cbor, envelope
from wire.errors import WireError

if TYPE_CHECKING:
    from wire.envelope import Signer

READ_DOMAIN = "tallygrid/read/1"
CBOR = "application/cbor"
HEADERS = {"content-type": CBOR, "accept": CBOR}
REPLY_MAX = 16 << 20

DONE, REFUSED, WAITING = range(3)


class NodeDown(Exception):
    """Not reached, or not able to answer now: try again later."""


class Denied(Exception):
    """The token is no good (any more), or we are no member."""


class Outcome(NamedTuple):
    """What became of one transaction."""

    status: int
    height: int
    place: int
    reason: str
    detail: str


def wish_to_read(signer: Signer, chain: str, account: bytes, nonce: bytes) -> bytes:
    return envelope.sign(signer, READ_DOMAIN, cbor.encode({1: chain, 2: account, 3: nonce}))


def read_reply(status: int, content_type: str, content: bytes) -> Any:
    if status in (401, 403):
        raise Denied
    if status >= 500 or status == 429:
        raise NodeDown(f"the node answers {status}")
    value: Any
    if content_type.startswith("application/json"):
        try:
            value = json.loads(content)
        except (ValueError, RecursionError):  # RecursionError: brackets in brackets, thousands deep
            raise WireError("bad-type", "not the JSON it says it is") from None
    else:
        value = cbor.decode(content, size=REPLY_MAX)
    if status >= 400:
        refusal = value if isinstance(value, dict) else {}
        raise WireError(str(refusal.get(1, "bad-field")), str(refusal.get(2, f"status {status}")))
    return value


def outcomes(value: Any, count: int) -> list[Outcome]:
    if not isinstance(value, list) or len(value) != count:
        raise WireError("bad-type", "a node answers one outcome a transaction")
    for one in value:
        if not (
            isinstance(one, list) and [type(part) for part in one] == [int, int, int, str, str] and one[0] in (0, 1, 2)
        ):
            raise WireError("bad-type", "an outcome is [status, height, place, reason, detail]")
    return [Outcome(*one) for one in value]
