"""A ledger node over HTTP, for relayers, wallets and tools.

Owns: the connection, the read token, an account's next number on each chain.
Refuses: what wire/chain/rest.py refuses; who cannot be reached is `NodeDown`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any, NamedTuple

import httpx

from ledger.light import LightBlock
from wire import cbor
from wire.chain import kinds, rest, tx
from wire.chain.rest import Denied, NodeDown, Outcome
from wire.errors import WireError
from wire.ids import id_text

if TYPE_CHECKING:
    from wire.envelope import Signer


class Evidence(NamedTuple):
    """A value's bytes (or None) and the proof that holds under the header of `height`."""

    height: int
    value: bytes | None
    proof: bytes


class ClientBlock(NamedTuple):
    """A block as the API tells it: events as (kind, fields)."""

    height: int
    time_s: int
    txs: list[bytes]
    events: list[tuple[str, dict[str, Any]]]
    refused: list[str]  # reasons

    @classmethod
    def read(cls, answer: Any) -> ClientBlock:
        if not isinstance(answer, dict) or set(answer) != {1, 2, 3, 4}:
            raise WireError("bad-type", "a block is {height, time, transactions, results}")
        events = [(kind, dict(fields)) for _, _, happened in answer[4] for kind, fields in happened]
        return cls(answer[1], answer[2], answer[3], events, [reason for _, reason, _ in answer[4] if reason])


class ChainClient:
    """One chain at one node, as one account sees it."""

    def __init__(self, http: httpx.AsyncClient, chain: str, signer: Signer, account: bytes) -> None:
        self.chain = chain
        self.account = account
        self._signer = signer
        self._http = http
        self._token = ""
        self._sequence: int | None = None
        self._sending = asyncio.Lock()

    async def query(self, path: str, argument: str = "") -> Any:
        return await self._read(f"/query/{path}" + (f"?arg={argument}" if argument else ""))

    async def status(self) -> tuple[int, int]:
        """Height and time (s) of the last block."""
        answer = await self._read("/status")
        return answer[1], answer[3]

    async def news(self, height: int, wait_s: int = 10) -> tuple[int, int]:
        """`status`, as soon as there is a block above that height; after `wait_s` seconds in any case."""
        answer = await self._read(f"/status?after={height}&wait={wait_s}")
        return answer[1], answer[3]

    async def genesis(self) -> tuple[str, bytes]:
        """Which sort of chain this is, and its genesis document."""
        sort, raw = await self._read("/genesis")
        return sort, raw

    async def events(self, height: int) -> list[tuple[str, dict[str, Any]]]:
        """What happened in that block, in order."""
        results = (await self._read(f"/block/{height}"))[4]
        return [(kind, dict(fields)) for _, _, events in results for kind, fields in events]

    async def light_block(self, height: int, known: int) -> bytes:
        """The encoded light block; `known` is the height that its reader trusts already."""
        raw: bytes = (await self._read(f"/header/{height}?known={known}"))[1]
        LightBlock.decode(raw)
        return raw

    async def evidence(self, key: bytes, height: int) -> Evidence:
        answer = await self._read(f"/state/{key.hex()}?height={height}")
        if not isinstance(answer, list) or len(answer) != 3:
            raise WireError("bad-type", "evidence is [height, value, proof]")
        return Evidence(*answer)

    async def block(self, height: int) -> ClientBlock:
        return ClientBlock.read(await self._read(f"/block/{height}"))

    async def blocks(self, start: int) -> AsyncIterator[ClientBlock]:
        """Every block from that height on, and then as they come."""
        height = start
        while True:
            top, _ = await self.news(height - 1)
            while height <= top:
                yield await self.block(height)
                height += 1

    async def send(self, *bodies: kinds.Kind, wait_s: int = 10) -> list[Outcome]:
        """Signs and submits in order. A number that somebody else used up is asked for again."""
        async with self._sending:  # numbers are given out in the order in which they are sent
            return await self._send(bodies, wait_s)

    async def _send(self, bodies: tuple[kinds.Kind, ...], wait_s: int) -> list[Outcome]:
        for _ in range(2):
            if self._sequence is None:
                self._sequence = (await self.query("accounts", id_text(self.account)))[0]["sequence"]
            first = self._sequence
            txs = [
                tx.sign(self._signer, self.chain, self.account, first + i, body.NUMBER, body.to_map())
                for i, body in enumerate(bodies)
            ]
            answer = await self._ask("POST", f"/v1/{self.chain}/tx?wait={wait_s}", cbor.encode(txs), self._token)
            outcomes = rest.outcomes(answer, len(txs))
            if any(outcome.reason == "sequence" or not outcome.height for outcome in outcomes):
                self._sequence = None
                if outcomes[0].reason == "sequence":
                    continue
            else:
                self._sequence += len(txs)
            return outcomes
        return outcomes

    async def _read(self, route: str) -> Any:
        for _ in range(2):
            if not self._token:
                self._token = await self._new_token()
            try:
                return await self._ask("GET", f"/v1/{self.chain}{route}", token=self._token)
            except Denied:
                self._token = ""
        raise NodeDown(f"{self._http.base_url} does not let us read {self.chain}")

    async def _new_token(self) -> str:
        try:
            nonce = (await self._ask("POST", f"/v1/{self.chain}/challenge", cbor.encode({1: self.account})))[1]
            wish = rest.wish_to_read(self._signer, self.chain, self.account, nonce)
            return str((await self._ask("POST", f"/v1/{self.chain}/token", wish))[1])
        except Denied:
            raise NodeDown(f"{self._http.base_url}: no member of {self.chain}") from None

    async def _ask(self, method: str, route: str, body: bytes = b"", token: str = "") -> Any:
        headers = dict(rest.HEADERS)
        if token:
            headers["authorization"] = f"Bearer {token}"
        try:
            reply = await self._http.request(method, route, content=body, headers=headers)
        except httpx.HTTPError as error:
            raise NodeDown(f"{self._http.base_url}: {error or type(error).__name__}") from None
        return rest.read_reply(reply.status_code, reply.headers.get("content-type", ""), reply.content)
