"""A ledger node over HTTP (docs/spec.md section 6), as far as a gateway needs one.

Owns: the connection, the read token, CBOR bodies.
Refuses: an answer of another shape than the contract's (WireError); everything that is down is `NodeDown`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx

from wire import cbor, envelope
from wire.errors import WireError

if TYPE_CHECKING:
    from wire.envelope import Signer

READ_DOMAIN = "tallygrid/read/1"
CBOR_TYPE = {"content-type": "application/cbor", "accept": "application/cbor"}
ANSWER_MAX = 8 << 20


class NodeDown(Exception):
    """Not reached, or not able to answer now: try again later."""


class Node:
    def __init__(self, url: str, signer: Signer, account: bytes, timeout_s: float = 10.0) -> None:
        self.url = url
        self._signer = signer
        self._account = account
        self._tokens: dict[str, str] = {}
        self._http = httpx.AsyncClient(base_url=url, headers=CBOR_TYPE, timeout=timeout_s)

    async def close(self) -> None:
        await self._http.aclose()

    async def submit(self, chain: str, txs: list[bytes], wait_s: int) -> list[list[Any]]:
        """[status, height, index, reason, detail] for each transaction."""
        answer = await self._ask("POST", f"/v1/{chain}/tx?wait={wait_s}", cbor.encode(txs))
        if not isinstance(answer, list) or len(answer) != len(txs) or not all(_is_outcome(one) for one in answer):
            raise WireError("bad-type", "a node answers one outcome a transaction")
        return answer

    async def query(self, chain: str, path: str, argument: Any = None) -> Any:
        """A contract's answer; asks for a token first where there is none or it has run out."""
        route = f"/v1/{chain}/query/{path}?arg={cbor.encode(argument).hex()}"
        return await self._with_token(chain, route)

    async def commands(self, chain: str, after: int) -> list[list[Any]]:
        """[number, station, signed and MACed command], rising by number."""
        answer = await self._with_token(chain, f"/v1/{chain}/commands?after={after}")
        if not isinstance(answer, list):
            raise WireError("bad-type", "commands come as an array")
        return answer

    async def _with_token(self, chain: str, route: str) -> Any:
        for _ in range(2):
            if chain not in self._tokens:
                self._tokens[chain] = await self._token(chain)
            try:
                return await self._ask("GET", route, b"", {"authorization": f"Bearer {self._tokens[chain]}"})
            except PermissionError:
                self._tokens.pop(chain)
        raise NodeDown(f"{self.url} does not let us read {chain}")

    async def _token(self, chain: str) -> str:
        nonce = (await self._ask("POST", f"/v1/{chain}/challenge", cbor.encode({1: self._account})))[1]
        wish = cbor.encode({1: chain, 2: self._account, 3: nonce})
        answer = await self._ask("POST", f"/v1/{chain}/token", envelope.sign(self._signer, READ_DOMAIN, wish))
        return str(answer[1])

    async def _ask(self, method: str, route: str, body: bytes, headers: dict[str, str] | None = None) -> Any:
        try:
            reply = await self._http.request(method, route, content=body, headers=headers)
        except httpx.HTTPError as error:
            raise NodeDown(f"{self.url}: {error}") from None
        if reply.status_code in (401, 403) and headers:
            raise PermissionError(reply.status_code)
        if reply.status_code >= 500 or reply.status_code == 429:
            raise NodeDown(f"{self.url} answers {reply.status_code}")
        answer = cbor.decode(reply.content, size=ANSWER_MAX)
        if reply.status_code >= 400:
            refusal = answer if isinstance(answer, dict) else {}
            raise WireError("bad-field", f"{refusal.get(1)}: {refusal.get(2)}")
        return answer


def _is_outcome(one: Any) -> bool:
    return isinstance(one, list) and len(one) == 5 and one[0] in (0, 1, 2)
