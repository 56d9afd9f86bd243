"""A ledger node, as far as a gateway needs one: submitting, asking, fetching commands and blocks.

Owns: the connection and the read tokens; an account's next number on a chain.
Refuses: what wire/chain/rest.py refuses; who cannot be reached is `NodeDown`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import httpx

from wire import cbor
from wire.chain import kinds, rest, tx
from wire.chain.rest import WAITING, Denied, NodeDown, Outcome
from wire.errors import WireError
from wire.ids import id_text

if TYPE_CHECKING:
    from wire.envelope import Signer

WAIT_S = 10
T = TypeVar("T")


class Node:
    def __init__(self, url: str, signer: Signer, account: bytes, timeout_s: float = 15.0) -> None:
        self.url = url
        self._signer = signer
        self._account = account
        self._tokens: dict[str, str] = {}
        self._http = httpx.AsyncClient(base_url=url, headers=rest.HEADERS, timeout=timeout_s)

    async def close(self) -> None:
        await self._http.aclose()

    async def submit(self, chain: str, txs: list[bytes], wait_s: int) -> list[Outcome]:
        answer = await self._ask("POST", f"/v1/{chain}/tx?wait={wait_s}", cbor.encode(txs))
        return rest.outcomes(answer, len(txs))

    async def query(self, chain: str, path: str, argument: str = "") -> Any:
        """A contract's answer."""
        return await self._read(chain, f"/query/{path}" + (f"?arg={argument}" if argument else ""))

    async def height(self, chain: str) -> int:
        answer = await self._read(chain, "/status")
        if not isinstance(answer, dict) or not isinstance(answer.get(1), int):
            raise WireError("bad-type", "a status is {1: height, …}")
        return int(answer[1])

    async def block_txs(self, chain: str, height: int) -> list[bytes]:
        """The transactions of one block of a chain."""
        answer = await self._read(chain, f"/block/{height}")
        if not isinstance(answer, dict) or not isinstance(answer.get(3), list):
            raise WireError("bad-type", "a block is {1: height, 2: time, 3: transactions, 4: results}")
        return [raw for raw in answer[3] if isinstance(raw, bytes)]

    async def commands(self, chain: str, after: int) -> list[list[Any]]:
        """[number, station, signed and MACed command], rising by number."""
        answer = await self._read(chain, f"/commands?after={after}")
        if not isinstance(answer, list) or not all(
            isinstance(one, list) and [type(part) for part in one] == [int, bytes, bytes] for one in answer
        ):
            raise WireError("bad-type", "commands come as an array of [number, station, order]")
        return answer

    async def _read(self, chain: str, route: str) -> Any:
        for _ in range(2):
            if chain not in self._tokens:
                self._tokens[chain] = await self._token(chain)
            try:
                return await self._ask("GET", f"/v1/{chain}{route}", token=self._tokens[chain])
            except Denied:
                self._tokens.pop(chain)
        raise NodeDown(f"{self.url} does not let us read {chain}")

    async def _token(self, chain: str) -> str:
        try:
            answer = await self._ask("POST", f"/v1/{chain}/challenge", cbor.encode({1: self._account}))
            wish = rest.wish_to_read(self._signer, chain, self._account, _field(answer, bytes))
            return _field(await self._ask("POST", f"/v1/{chain}/token", wish), str)
        except Denied:
            raise NodeDown(f"{self.url} does not know us on {chain}") from None

    async def _ask(self, method: str, route: str, body: bytes = b"", token: str = "") -> Any:
        headers = {"authorization": f"Bearer {token}"} if token else None
        try:
            reply = await self._http.request(method, route, content=body, headers=headers)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise NodeDown(f"{self.url}: {error or type(error).__name__}") from None
        return rest.read_reply(reply.status_code, reply.headers.get("content-type", ""), reply.content)


def _field(answer: Any, kind: type[T]) -> T:
    value = answer.get(1) if isinstance(answer, dict) else None
    if not isinstance(value, kind):
        raise WireError("bad-type", "the node's answer has no field 1 of the right type")
    return value


def table(answer: Any, *columns: str) -> list[dict[str, Any]]:
    """A contract's answer that is rows with these columns at least."""
    if not isinstance(answer, list) or not all(isinstance(row, dict) and row.keys() >= set(columns) for row in answer):
        raise WireError("bad-type", f"rows with {', '.join(columns)} are wanted")
    return answer


class Account:
    """The gateway's account on one chain: signs what it sends with its next numbers there."""

    def __init__(self, node: Node, chain: str, signer: Signer, account: bytes) -> None:
        self.node = node
        self.chain = chain
        self._signer = signer
        self._account = account
        self._sequence: int | None = None

    async def query(self, path: str, argument: str = "") -> Any:
        return await self.node.query(self.chain, path, argument)

    async def send(self, bodies: Sequence[kinds.Kind], wait_s: int = WAIT_S) -> list[Outcome]:
        """One outcome each, decided. NodeDown where the chain has not decided: the same may be sent again."""
        decided: list[Outcome] = []
        for _ in range(len(bodies) + 2):
            decided += await self._some(bodies[len(decided) :], wait_s)
            if len(decided) == len(bodies):
                return decided
        raise NodeDown(f"{self.node.url} does not agree with itself on our account's next number")

    async def _some(self, bodies: Sequence[kinds.Kind], wait_s: int) -> list[Outcome]:
        """Up to the first one whose number was not the next: one before it was refused without taking its number."""
        if self._sequence is None:
            self._sequence = await self._next()
        first, self._sequence = self._sequence, None  # known again only if all goes well
        txs = [
            tx.sign(self._signer, self.chain, self._account, first + i, body.NUMBER, body.to_map())
            for i, body in enumerate(bodies)
        ]
        outcomes = await self.node.submit(self.chain, txs, wait_s)
        for place, outcome in enumerate(outcomes):
            if outcome.status == WAITING:
                raise NodeDown(f"{self.node.url} has not decided yet")
            if outcome.reason == "sequence":
                return outcomes[:place]
        if all(outcome.height for outcome in outcomes):
            self._sequence = first + len(txs)
        return outcomes

    async def _next(self) -> int:
        for row in table(await self.query("accounts", id_text(self._account)), "sequence"):
            if type(row["sequence"]) is int:
                return int(row["sequence"])
        raise WireError("bad-type", "the node does not tell our account's next number")
