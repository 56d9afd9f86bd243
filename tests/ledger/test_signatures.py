"""Batches of signatures: the same answers in this process and in workers, and when a worker is killed."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ledger.signatures import FEW, SignatureChecker, check
from wire.chain.keys import PrivateKey

KEYS = [PrivateKey.derive("signatures", str(i)) for i in range(3)]
GOOD = [(key.public_key, message, key.sign(message)) for key in KEYS for message in (b"", b"one", b"two" * 99)]
key, message, signature = GOOD[0]
BAD = [
    (key, message + b"x", signature),
    (KEYS[1].public_key, message, signature),
    (key, message, signature[:63]),
    (key, message, bytes(64)),
    (key, message, signature + b"\x00"),
    (key[:64], message, signature),
    (b"", message, signature),
    (b"\x04" + bytes(64), message, signature),
]
MIXED = (GOOD + BAD) * 4
WANTED = ([True] * len(GOOD) + [False] * len(BAD)) * 4


@pytest.fixture
def checker():
    checker = SignatureChecker(2)
    yield checker
    checker.close()


def test_few_and_many_get_the_same_answers(checker):
    assert len(MIXED) > FEW
    assert check(MIXED) == WANTED == checker(MIXED)
    assert checker(MIXED[:FEW]) == WANTED[:FEW] and checker([]) == []
    assert checker(MIXED[: FEW + 1]) == WANTED[: FEW + 1]


def test_a_killed_worker_is_replaced(checker):
    checker(MIXED)
    for victim in (0, 1):
        os.kill(checker._workers[victim]._process.pid, signal.SIGKILL)
        checker._workers[victim]._process.wait()
        assert checker(MIXED) == WANTED
        assert checker(MIXED) == WANTED and len(checker._workers) == 2


def test_workers_end_with_their_parent():
    code = """if True:
        import os, signal
        from tests.ledger.test_signatures import MIXED
        from ledger.signatures import SignatureChecker
        checker = SignatureChecker(2)
        checker(MIXED)
        print(*(w._process.pid for w in checker._workers), flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    """
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
    )
    pids = [int(pid) for pid in done.stdout.split()]
    assert len(pids) == 2
    for _ in range(200):
        if not any(os.path.exists(f"/proc/{pid}/exe") for pid in pids):
            return
        time.sleep(0.02)
    raise AssertionError("workers outlive their parent")
