"""The vocabulary: strict decoding against cbor2, verification against bare cryptography, trees against bare SHA-256.

Owns: the figures of docs/spec.md's codecs. With --fuzz: a million random inputs for every decoder.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import time
from collections.abc import Callable, Mapping
from hashlib import sha256

import cbor2
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from benches import _fuzz
from wire import envelope, report, rows
from wire.chain import merkle
from wire.chain.keys import KeyRing, PrivateKey, point

GOALS = {"decode_ratio": "<= 6", "verify_ratio": ">= 0.95", "merkle_ratio": ">= 0.7", "fuzz_wrong": "== 0"}
ROUNDS = 101


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--fuzz", action="store_true", help="instead: random inputs for every decoder")
    parser.add_argument("--count", type=int, default=1_000_000, help="how many (default 1,000,000)")
    parser.add_argument("--seed", type=int, default=1, help="repeats a run (default 1)")


def run(args: argparse.Namespace) -> Mapping[str, float | int | str]:
    return _fuzzed(args.seed, args.count) if args.fuzz else {**_decoding(), **_verifying(), **_hashing()}


def _fuzzed(seed: int, count: int) -> dict[str, float | int | str]:
    started = time.perf_counter()

    def progress(done: int) -> None:
        print(f"\r{done:,} of {count:,} inputs, seed {seed}", end="", file=sys.stderr, flush=True)

    wrong = _fuzz.run(random.Random(seed), count, progress)
    print(file=sys.stderr)
    for line in wrong[:20]:
        print(line, file=sys.stderr)
    return {
        "fuzz_inputs": count,
        "fuzz_wrong": len(wrong),
        "fuzz_seed": seed,
        "fuzz_s": round(time.perf_counter() - started, 1),
    }


def pairs(ours: Callable[[], object], bare: Callable[[], object], times: int) -> tuple[float, float, float]:
    """Seconds for one call of each, and ours ÷ bare: medians over rounds taken in turn, since machines drift."""
    rounds = []
    for _ in range(ROUNDS):
        first, second = _seconds(ours, times), _seconds(bare, times)
        rounds.append((first, second, first / second))
    ours_s, bare_s, ratio = (sorted(column)[ROUNDS // 2] for column in zip(*rounds, strict=True))
    return ours_s, bare_s, ratio


def _seconds(call: Callable[[], object], times: int) -> float:
    start = time.perf_counter()
    for _ in range(times):
        call()
    return (time.perf_counter() - start) / times


def _report() -> bytes:
    """Ten rows as a household's meter makes them after a year."""
    made = [rows.encode_row(60, 3_120_450 + 6 * i, 1_204, 360 + i, 231_200 - 37 * i, 1_590 + i) for i in range(10)]
    return rows.encode(os.urandom(8), 3, 525_600, os.urandom(32), 1_760_000_000, rows.SYNCED, made)


def _decoding() -> dict[str, float]:
    payload = _report()
    ours, theirs, ratio = pairs(lambda: report.decode(payload), lambda: cbor2.loads(payload), 300)
    return {"decode_report_us": ours * 1e6, "cbor2_decode_us": theirs * 1e6, "decode_ratio": ratio}


def _verifying() -> dict[str, float]:
    key = PrivateKey.derive("bench")
    ring = KeyRing()
    ring.add(key.public_key)
    signed = envelope.split(envelope.sign(key, rows.DOMAIN, _report()))
    message = envelope.to_sign(signed.kid, rows.DOMAIN, signed.payload)
    public = point(key.public_key)
    algorithm = ec.ECDSA(hashes.SHA256())
    r, s = (int.from_bytes(half, "big") for half in (signed.signature[:32], signed.signature[32:]))
    der = encode_dss_signature(r, s)
    ours, bare, ratio = pairs(
        lambda: ring.verify(key.kid, message, signed.signature), lambda: public.verify(der, message, algorithm), 50
    )
    return {"verify_per_s": 1 / ours, "cryptography_verify_per_s": 1 / bare, "verify_ratio": 1 / ratio}


def _hashing() -> dict[str, float]:
    """A block's worth of reports against 2n - 1 bare calls on inputs of the same lengths."""
    leaves = [os.urandom(400) for _ in range(300)]
    prefixed = [b"\0" + leaf for leaf in leaves]
    node = b"\1" + bytes(64)
    inner = [node] * (len(leaves) - 1)

    def bare() -> None:
        for data in prefixed:
            sha256(data).digest()
        for data in inner:
            sha256(data).digest()

    ours, _, ratio = pairs(lambda: merkle.root(leaves), bare, 5)
    return {"merkle_leaves_per_s": len(leaves) / ours, "merkle_ratio": 1 / ratio}
