"""Signatures by the batch, on all cores.

Owns: worker processes (Python threads would wait for each other's interpreter lock), what share each of them gets.
Refuses: nothing by raising: what does not hold is answered with its reason.
Invariants: the answer to a claim depends on the claim alone; a worker that dies costs time, never an answer; workers
start when a backlog shows that one core is not enough, and end with the process that started them.
"""

from __future__ import annotations

import asyncio
import marshal
import os
import signal
import sys
from functools import lru_cache

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey

from wire.chain import keys
from wire.chain.keys import KeyRing
from wire.errors import REASONS, WireError

Claim = tuple[bytes, bytes, bytes]  # kid, message, signature

FEW = 64  # claims that are checked sooner here than they are handed over
KEYS_MAX = 4_096
_HOLDS = 255


class Checker:
    def __init__(self, ring: KeyRing, workers: int) -> None:
        self.ring = ring
        self._wanted = workers
        self._workers: list[asyncio.subprocess.Process] = []

    async def check(self, claims: list[Claim], backlog: bool) -> list[str]:
        """For each claim nothing, or why it does not hold. `backlog`: more waits than one core gets done."""
        if backlog and len(self._workers) < self._wanted:
            self._workers.append(await _start())
        if not self._workers or len(claims) < FEW:
            return self._here(claims)
        share = -(-len(claims) // (len(self._workers) + 1))
        parts = [claims[i : i + share] for i in range(0, len(claims), share)]
        for worker, part in zip(self._workers, parts[1:], strict=False):
            self._hand(worker, part)
        answers = self._here(parts[0])
        for worker, part in zip(list(self._workers), parts[1:], strict=False):
            answers += await self._answer(worker, part)
        return answers

    def _here(self, claims: list[Claim]) -> list[str]:
        verify, answers = self.ring.verify, []
        for kid, message, signature in claims:
            try:
                verify(kid, message, signature)
                answers.append("")
            except WireError as error:
                answers.append(error.reason)
        return answers

    def _hand(self, worker: asyncio.subprocess.Process, claims: list[Claim]) -> None:
        public_key = self.ring.public_key
        body = marshal.dumps([(public_key(kid), message, signature) for kid, message, signature in claims])
        assert worker.stdin is not None
        worker.stdin.write(len(body).to_bytes(4, "big") + body)

    async def _answer(self, worker: asyncio.subprocess.Process, claims: list[Claim]) -> list[str]:
        assert worker.stdout is not None
        try:
            found = await worker.stdout.readexactly(len(claims))
        except (asyncio.IncompleteReadError, ConnectionError):  # it was killed: its share is checked here
            self._workers.remove(worker)
            return self._here(claims)
        return ["" if code == _HOLDS else REASONS[code] for code in found]

    async def close(self) -> None:
        for worker in self._workers:
            assert worker.stdin is not None
            worker.stdin.close()
            await worker.wait()
        self._workers.clear()


async def _start() -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        "from gateway.verify import work; work()",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )


def work() -> None:
    """A worker's life: until its input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which then ends our input
    source, sink = sys.stdin.buffer, sys.stdout.buffer
    while head := source.read(4):
        claims = marshal.loads(source.read(int.from_bytes(head, "big")))
        sink.write(bytes(_code(*claim) for claim in claims))
        sink.flush()


def _code(public_key: bytes, message: bytes, signature: bytes) -> int:
    try:
        keys.verify(_key(public_key), message, signature)
    except WireError as error:
        return REASONS.index(error.reason)
    return _HOLDS


@lru_cache(KEYS_MAX)
def _key(public_key: bytes) -> EllipticCurvePublicKey:
    return keys.point(public_key)
