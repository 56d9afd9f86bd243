"""ES256 signatures by the batch: the port that an App checks transactions through.

Owns: worker threads (`cryptography` lets go of the interpreter lock while it verifies) and the parsed keys lately used.
Refuses: nothing by raising: what does not hold is answered False.
Invariant: the answer to a claim depends on the claim alone, never on its neighbours or on the number of workers.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey

from ledger.app import Claim
from wire.chain import keys
from wire.errors import WireError

CHUNK = 64  # claims that a worker takes at a time: far above what handing them over costs
KEYS_MAX = 16_384


class SignatureChecker:
    """Callable as `ledger.app.CheckSignatures`. Closed when the chain is."""

    def __init__(self, workers: int | None = None) -> None:
        self._pool = ThreadPoolExecutor(workers or os.cpu_count() or 1, thread_name_prefix="signatures")

    def __call__(self, claims: Sequence[Claim]) -> list[bool]:
        work = [(_key(public), message, signature) for public, message, signature in claims]
        if len(work) <= CHUNK:
            return _check(work)
        chunks = [work[i : i + CHUNK] for i in range(0, len(work), CHUNK)]
        return [holds for part in self._pool.map(_check, chunks) for holds in part]

    def close(self) -> None:
        self._pool.shutdown()


@lru_cache(KEYS_MAX)
def _key(public: bytes) -> EllipticCurvePublicKey | None:
    try:
        return keys.point(public)
    except WireError:
        return None


def _check(work: Sequence[tuple[EllipticCurvePublicKey | None, bytes, bytes]]) -> list[bool]:
    answers = []
    for key, message, signature in work:
        try:
            if key is not None:
                keys.verify(key, message, signature)
            answers.append(key is not None)
        except WireError:
            answers.append(False)
    return answers
