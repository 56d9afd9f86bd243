"""What a signature, a verification, a shared secret and a MAC cost a device, in instructions of the 32-bit MicroPython.

One build of the field arithmetic serves every port with native code, so there is one `sign_instructions`; the
`bigint_` figures are for ports without (Raspberry Pi OS on ARM64, an ESP32-C3 whose port has no emitter).
"""

import argparse
import random

from benches._callgrind import CHECKOUT, Counter, compiled
from pilot import runtimes

GOALS = {
    "sign_instructions": "<= 4800000",
    "verify_instructions": "<= 15000000",
    "ecdh_instructions": "<= 25000000",
    "hmac_instructions": "<= 50000",
    "native_bytes_largest": "<= 20000",
    "secret_spread_permille": "<= 0.2",
}

SETUP = """
from firmware.crypto import hmac, p256, points
private, message = bytes(range(1, 33)), bytes(64)
public = p256.public_key(private)
signature = p256.sign(private, message)
assert p256.verify(public, message, signature)
"""
STATEMENTS = {
    "sign": "p256.sign(private, message)",
    "verify": "p256.verify(public, message, signature)",
    "ecdh": "p256.ecdh(private, public)",
    "public_key": "p256.public_key(private)",
    "hmac": "hmac.hmac_sha256(private, message)",
    "hkdf": "hmac.hkdf_sha256(private, b'', b'info', 32)",
}
BIGINT = "from firmware.crypto import points, points_bigint\npoints.use(points_bigint)\n"
HEAP = """
import gc
gc.collect()
before = gc.mem_alloc()
from firmware.crypto import p256
p256.sign(bytes(range(1, 33)), b"")
gc.collect()
print(gc.mem_alloc() - before)
"""
BOARDS = ("armv6m", "armv7emsp", "xtensawin", "rv32imc")  # RP2040, RP2350, ESP32 with Xtensa, ESP32 with RISC-V
VIPER = ("field.py", "limbs.py")


def run(args: argparse.Namespace) -> dict[str, float]:
    found = runtimes.need("micropython32", "valgrind")
    counter = Counter(str(found.path("micropython32")), str(found.path("valgrind")))
    sources = [path for path in (CHECKOUT / "firmware/crypto").glob("*.py") if not path.stem.startswith("generate")]
    counter.compile([*sources, CHECKOUT / "firmware/__init__.py"])
    figures: dict[str, float] = {}
    for name, statement in STATEMENTS.items():
        few, many = (1, 21) if name.startswith("h") else (1, 6)
        figures[f"{name}_instructions"] = counter.instructions(SETUP, statement, few, many)
    for name in ("sign", "verify"):
        figures[f"bigint_{name}_instructions"] = counter.instructions(BIGINT + SETUP, STATEMENTS[name], 1, 3)
    figures["secret_spread_permille"] = spread(counter)
    figures["heap_bytes"] = int(counter.run(HEAP))
    for board in BOARDS:
        sizes = [len(compiled(CHECKOUT / "firmware/crypto" / name, board)) for name in VIPER]
        figures[f"native_bytes_{board}"] = sum(sizes)
    figures["native_bytes_largest"] = max(figures[f"native_bytes_{board}"] for board in BOARDS)
    return figures


def spread(counter: Counter) -> float:
    """How far the machine's work for a point depends on the secret scalar, over a few. Around it is Python's: big
    integers modulo n, whose time may vary, and which are blinded where they are secret."""
    dice = random.Random(1)
    costs = []
    for _ in range(4):
        digits = f"{SETUP}\ndigits = points._comb_digits({dice.randrange(1 << 256)})"
        costs.append(counter.instructions(digits, "points.kind.run(points._COMB, digits)", 1, 11))
    return 1000 * (max(costs) - min(costs)) / min(costs)
