"""ES256 signatures by the batch: the port that an App checks transactions through.

Owns: worker processes, for Python threads would wait for each other's interpreter lock 10,000 times a second.
Refuses: nothing by raising: what does not hold is answered False.
Invariants: the answer to a claim depends on the claim alone, never on its neighbours or the number of workers; a worker
lives no longer than the process that started it, for then its input ends.
"""

from __future__ import annotations

import marshal
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from functools import lru_cache
from threading import Lock
from typing import IO

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey

from ledger.app import Claim
from wire.chain import keys
from wire.errors import WireError

FEW = 24  # claims that are checked sooner here than they are handed over
KEYS_MAX = 16_384


class SignatureChecker:
    """Callable as `ledger.app.CheckSignatures`. Workers start with the first large batch."""

    def __init__(self, workers: int | None = None) -> None:
        self._wanted = workers or os.cpu_count() or 1
        self._workers: list[_Worker] = []
        self._lock = Lock()

    def __call__(self, claims: Sequence[Claim]) -> list[bool]:
        if len(claims) <= FEW:
            return check(claims)
        with self._lock:
            while len(self._workers) < self._wanted:
                self._workers.append(_Worker())
            share = -(-len(claims) // self._wanted)
            shares = [claims[i : i + share] for i in range(0, len(claims), share)]
            busy = [(worker, part, worker.ask(part)) for worker, part in zip(self._workers, shares, strict=False)]
            answers: list[bool] = []
            for worker, part, asked in busy:
                found = worker.answer(len(part)) if asked else None
                if found is None:  # it was killed: another one takes its place, its share is checked here
                    self._workers.remove(worker)
                    worker.close()
                    found = check(part)
                answers += found
            return answers

    def close(self) -> None:
        with self._lock:
            for worker in self._workers:
                worker.close()
            self._workers.clear()


class _Worker:
    """A process that reads batches and writes one byte for each claim."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", "from ledger.signatures import work; work()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )

    def ask(self, claims: Sequence[Claim]) -> bool:
        stream = self._process.stdin
        assert stream is not None
        try:
            write_batch(stream, claims)
        except OSError:
            return False
        return True

    def answer(self, count: int) -> list[bool] | None:
        stream = self._process.stdout
        assert stream is not None
        found = stream.read(count)
        return [byte == 1 for byte in found] if len(found) == count else None

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()


def write_batch(stream: IO[bytes], claims: Sequence[Claim]) -> None:
    body = marshal.dumps([(bytes(key), bytes(message), bytes(signature)) for key, message, signature in claims])
    stream.write(len(body).to_bytes(4, "big") + body)
    stream.flush()


def work() -> None:
    """A worker's life: until its input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which then ends our input
    source, sink = sys.stdin.buffer, sys.stdout.buffer
    while head := source.read(4):
        sink.write(bytes(check(marshal.loads(source.read(int.from_bytes(head, "big"))))))
        sink.flush()


def check(claims: Sequence[Claim]) -> list[bool]:
    answers = []
    for public, message, signature in claims:
        key = _key(public)
        try:
            if key is not None:
                keys.verify(key, message, signature)
            answers.append(key is not None)
        except WireError:
            answers.append(False)
    return answers


@lru_cache(KEYS_MAX)
def _key(public: bytes) -> EllipticCurvePublicKey | None:
    try:
        return keys.point(public)
    except WireError:
        return None
