"""A ledger node, as far as a gateway needs one: submitting, asking, fetching commands.

Owns: the connection and the read tokens.
Refuses: what wire/chain/rest.py refuses; who cannot be reached is `NodeDown`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx

from wire import cbor
from wire.chain import rest
from wire.chain.rest import Denied, NodeDown, Outcome
from wire.errors import WireError

if TYPE_CHECKING:
    from wire.envelope import Signer


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

    async def commands(self, chain: str, after: int) -> list[list[Any]]:
        """[number, station, signed and MACed command], rising by number."""
        answer = await self._read(chain, f"/commands?after={after}")
        if not isinstance(answer, list):
            raise WireError("bad-type", "commands come as an array")
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
            nonce = (await self._ask("POST", f"/v1/{chain}/challenge", cbor.encode({1: self._account})))[1]
            wish = rest.wish_to_read(self._signer, chain, self._account, nonce)
            return str((await self._ask("POST", f"/v1/{chain}/token", wish))[1])
        except Denied:
            raise NodeDown(f"{self.url} does not know us on {chain}") from None

    async def _ask(self, method: str, route: str, body: bytes = b"", token: str = "") -> Any:
        headers = {"authorization": f"Bearer {token}"} if token else None
        try:
            reply = await self._http.request(method, route, content=body, headers=headers)
        except httpx.HTTPError as error:
            raise NodeDown(f"{self.url}: {error or type(error).__name__}") from None
        return rest.read_reply(reply.status_code, reply.headers.get("content-type", ""), reply.content)
