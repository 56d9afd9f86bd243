"""CometBFT's RPC: JSON over HTTP to the node beside us.

Owns: one connection, made again when it breaks; calls, and batches of transactions.
Refuses: answers that are no answers; as RpcError.
Invariant: blocking, so callers give it a thread; what comes back is believed by nobody before the light client.
"""

from __future__ import annotations

import http.client
import json
from collections.abc import Sequence
from threading import Lock
from typing import Any

from ledger.engines import comet_json
from ledger.light import LightBlock
from wire.chain.header import Validators

BATCH = 500
PAGE = 100  # validators an answer


class RpcError(Exception):
    """The node did not answer, or said no."""


class Rpc:
    def __init__(self, port: int, host: str = "127.0.0.1", timeout_s: float = 10.0) -> None:
        self._address = (host, port)
        self._timeout_s = timeout_s
        self._connection: http.client.HTTPConnection | None = None
        self._lock = Lock()

    def call(self, method: str, **params: Any) -> Any:
        answer = self._post({"jsonrpc": "2.0", "id": 0, "method": method, "params": params})
        return _result(method, answer)

    def broadcast(self, txs: Sequence[bytes]) -> None:
        """Hands transactions to the node's mempool; whether it keeps them, blocks will show."""
        for start in range(0, len(txs), BATCH):
            self._post(
                [
                    {
                        "jsonrpc": "2.0",
                        "id": i,
                        "method": "broadcast_tx_async",
                        "params": {"tx": comet_json.base64_text(tx)},
                    }
                    for i, tx in enumerate(txs[start : start + BATCH])
                ]
            )

    def _post(self, document: Any) -> Any:
        body = json.dumps(document).encode()
        with self._lock:
            for attempt in (0, 1):  # a kept connection may have been closed meanwhile
                try:
                    connection = self._connection or http.client.HTTPConnection(*self._address, timeout=self._timeout_s)
                    self._connection = connection
                    connection.request("POST", "/", body, {"Content-Type": "application/json"})
                    return json.loads(connection.getresponse().read())
                except (OSError, http.client.HTTPException, ValueError) as error:
                    self.close()
                    if attempt:
                        raise RpcError(f"{self._address}: {error!r}") from error
        raise AssertionError("unreachable")

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    # ------------------------------------------------------------ what the light client wants

    def height(self) -> int:
        return int(self.call("status")["sync_info"]["latest_block_height"])

    def light_block(self, height: int, known_height: int | None = None) -> LightBlock:
        signed = self.call("commit", height=str(height))["signed_header"]
        skips = known_height is not None and height != known_height + 1
        return LightBlock(
            comet_json.header(signed["header"]),
            comet_json.commit(signed["commit"]),
            self.validators(height),
            self.validators((known_height or 0) + 1) if skips else (),
        )

    def validators(self, height: int) -> Validators:
        found: list[Any] = []
        for page in range(1, 100):
            answer = self.call("validators", height=str(height), page=str(page), per_page=str(PAGE))
            found += answer["validators"]
            if len(found) >= int(answer["total"]):
                break
        return comet_json.validators(found)


def _result(method: str, answer: Any) -> Any:
    if not isinstance(answer, dict) or "result" not in answer:
        raise RpcError(f"{method}: {answer.get('error') if isinstance(answer, dict) else answer!r}")
    return answer["result"]
