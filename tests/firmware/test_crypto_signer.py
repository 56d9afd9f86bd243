"""Both signers, in flash and in an ATECC608 emulated at the level of the bus, on every interpreter; HMAC and HKDF."""

import hashlib
import hmac
import os
import random
import subprocess
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from firmware.crypto import p256
from firmware.crypto.hmac import hkdf_sha256
from firmware.crypto.signer import FlashSigner
from hardware.emulator.bus import I2cBus
from hardware.emulator.parts.atecc608 import Atecc608, crc16, framed
from hardware.emulator.timeline import Event
from tests.micropython import CPYTHON, ROOT, run

PEER = Path(__file__).with_name("element_peer.py")
WHERE = ["cpython", "micropython32", "micropython64"]
OTHER = ec.derive_private_key(77, ec.SECP256R1())


def point(public: ec.EllipticCurvePublicKey) -> bytes:
    return public.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def known(public: bytes) -> ec.EllipticCurvePublicKey:
    return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), public)


def kid(public: bytes) -> bytes:
    der = known(public).public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return sha256(der).digest()[:8]


def check(public: bytes, message: bytes, signature: bytes) -> None:
    r, s = (int.from_bytes(half, "big") for half in (signature[:32], signature[32:]))
    known(public).verify(utils.encode_dss_signature(r, s), message, ec.ECDSA(hashes.SHA256()))


# ---------------------------------------------------------------------- in flash


def test_a_key_in_flash() -> None:
    private = p256.generate(os.urandom)
    signer = FlashSigner(private)
    assert FlashSigner(private, signer.public_key).public_key == signer.public_key
    assert signer.kid == kid(signer.public_key)
    check(signer.public_key, b"a report", signer.sign(b"a report"))
    secret = signer.shared_secret(point(OTHER.public_key()))
    assert secret == OTHER.exchange(ec.ECDH(), known(signer.public_key))
    with pytest.raises(ValueError, match="65 bytes"):
        signer.shared_secret(b"\x04")


def test_a_new_key_is_in_its_range() -> None:
    """Random bytes outside 1 .. n-1 are thrown away, not reduced."""
    given = iter([bytes(32), b"\xff" * 32, b"\x01" * 32])
    assert p256.generate(lambda count: next(given)) == b"\x01" * 32


# ---------------------------------------------------------------------- in an ATECC608


class Board:
    """Virtual time for the bus."""

    def __init__(self) -> None:
        self.time_us = 1_000_000

    def now_us(self) -> int:
        return self.time_us

    def at(self, due_us: int, callback: Callable[[], None]) -> Event:
        raise AssertionError("no part here acts of itself")


class Bench:
    """A part, a bus, and the driver in another process."""

    def __init__(self, interpreter: str) -> None:
        self.board = Board()
        self.part = Atecc608(random.Random(1).randbytes)
        self.bus = I2cBus(self.board, [self.part])
        self.bus.hz = 100_000
        self.transfers = 0
        self.spoil: Callable[[int, bytes], bytes] = lambda number, data: data  # what is read, by number of the transfer
        environment = {**os.environ, "MICROPYPATH": f"{ROOT}:.frozen", "PYTHONPATH": str(ROOT)}
        pipe = subprocess.PIPE
        self.driver = subprocess.Popen([interpreter, PEER], stdin=pipe, stdout=pipe, env=environment, text=True)

    def do(self, *words: str | bytes) -> bytes:
        """What the driver made of it; its error as a RuntimeError."""
        self._tell(" ".join(f"x{word.hex()}" if isinstance(word, bytes) else word for word in words))
        while True:
            assert self.driver.stdout is not None
            kind, _, rest = self.driver.stdout.readline().strip().partition(" ")
            if kind == "?":
                self._tell(self._answer(*rest.split()))
            elif kind == "=":
                return bytes.fromhex(rest)
            else:
                raise RuntimeError(rest)

    def _tell(self, line: str) -> None:
        assert self.driver.stdin is not None
        self.driver.stdin.write(line + "\n")
        self.driver.stdin.flush()

    def _answer(self, what: str, *given: str) -> str:
        if what == "sleep":
            self.board.time_us += int(given[0]) * 1000
            return "ok"
        address, data, count = int(given[0]), bytes.fromhex(given[1].strip("-")), int(given[2])
        self.board.time_us += self.bus.takes_us(len(data), count)
        error, read = self.bus.transfer(address, data, count)
        self.transfers += 1
        return f"!{error}" if error else "=" + self.spoil(self.transfers, read).hex()

    def close(self) -> None:
        assert self.driver.stdin is not None
        self.driver.stdin.close()
        assert self.driver.wait(10) == 0


@pytest.fixture(params=WHERE)
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    found = Bench(CPYTHON if request.param == "cpython" else request.getfixturevalue(request.param))
    yield found
    found.close()


def test_frames_are_the_real_part_s() -> None:
    """The answer to waking and the Info command, as every data sheet and log shows them."""
    assert framed(b"\x11") == bytes.fromhex("04113343")
    assert crc16(bytes.fromhex("0730000000")) == bytes.fromhex("035d")


def test_a_key_in_the_element_signs_and_agrees(bench: Bench) -> None:
    bench.do("check")
    public = bench.do("generate")
    assert bench.do("signer") == kid(public) + public
    assert public == point(bench.part.keys[0].public_key())
    for message in (b"", b"a report", bytes(300)):
        check(public, message, bench.do("sign", message))
    secret = bench.do("shared", point(OTHER.public_key()))
    assert secret == OTHER.exchange(ec.ECDH(), known(public))


def test_it_sleeps_between_two_uses(bench: Bench) -> None:
    bench.do("generate")
    assert bench.bus.transfer(0x60, b"\x00", 0)[0] and bench.bus.transfer(0x60, b"", 4)[0]


def test_what_the_element_refuses_is_told(bench: Bench) -> None:
    with pytest.raises(RuntimeError, match=r"15 .*no such key"):
        bench.do("signer")
    bench.do("generate")
    off = b"\x04" + bytes(63) + b"\x01"
    with pytest.raises(RuntimeError, match=r"refused .*no point"):
        bench.do("shared", off)
    bench.part.locked = False
    with pytest.raises(RuntimeError, match="not configured"):
        bench.do("check")
    with pytest.raises(RuntimeError, match=r"15 .*not locked"):
        bench.do("generate")


def test_a_garbled_answer_is_read_again(bench: Bench) -> None:
    public = bench.do("generate")
    dice = random.Random(2)

    def spoil(number: int, data: bytes) -> bytes:
        """Every fifth read has a bit flipped."""
        if not data or number % 5:
            return data
        at = dice.randrange(len(data) * 8)
        return (int.from_bytes(data, "big") ^ 1 << at).to_bytes(len(data), "big")

    bench.spoil = spoil
    for _ in range(5):
        check(public, b"m", bench.do("sign", b"m"))


def test_no_bit_of_an_answer_may_flip(bench: Bench) -> None:
    """Every read is garbled: nothing is ever taken for a key."""
    bench.do("generate")
    bench.spoil = lambda number, data: data and data[:-1] + bytes((data[-1] ^ 1,))
    with pytest.raises(RuntimeError, match="None ATECC608 does not wake"):
        bench.do("signer")
    bench.spoil = lambda number, data: data if len(data) < 5 else data[:40] + bytes((data[40] ^ 16,)) + data[41:]
    with pytest.raises(RuntimeError, match="None ATECC608 answers without a good CRC"):
        bench.do("signer")


def test_a_part_that_a_reset_left_awake_is_put_to_sleep_first(bench: Bench) -> None:
    bench.do("generate")
    bench.bus.transfer(0, b"", 0)
    bench.board.time_us += 2000
    command = bytes.fromhex("0730000000")
    assert bench.bus.transfer(0x60, b"\x03" + command + crc16(command), 0) == (0, b"")
    assert len(bench.do("signer")) == 73


def test_a_dead_bus_and_an_absent_part_are_told_soon(bench: Bench) -> None:
    before_us = bench.board.time_us
    bench.bus.dead = True
    with pytest.raises(RuntimeError, match="does not wake"):
        bench.do("signer")
    bench.bus.dead = False
    bench.bus.parts.clear()
    with pytest.raises(RuntimeError, match="does not wake"):
        bench.do("signer")
    assert bench.board.time_us - before_us < 200_000


def test_a_bus_too_quick_to_wake_it_is_told(bench: Bench) -> None:
    bench.bus.hz = 400_000
    with pytest.raises(RuntimeError, match="does not wake"):
        bench.do("check")


def test_what_a_signature_blocks(bench: Bench) -> None:
    bench.do("generate")
    bench.do("signer")
    before_us = bench.board.time_us
    bench.do("sign", b"m")  # and the public key once more, as the peer makes its signer anew
    assert 250_000 < bench.board.time_us - before_us < 320_000


# ---------------------------------------------------------------------- HMAC, HKDF


@pytest.mark.parametrize("where", WHERE)
def test_hmac(where: str, request: pytest.FixtureRequest) -> None:
    interpreter = CPYTHON if where == "cpython" else request.getfixturevalue(where)
    dice = random.Random(6)
    cases = [(dice.randbytes(size), dice.randbytes(dice.randrange(300))) for size in (*range(0, 140, 3), 64, 65)]
    asked = "".join(f"hmac x{key.hex()} x{message[:9].hex()} x{message[9:].hex()}\n" for key, message in cases)
    answers = run(interpreter, Path(__file__).with_name("crypto_peer.py"), "as-found", asked=asked)
    assert answers == [hmac.new(key, message, hashlib.sha256).hexdigest() for key, message in cases]


@pytest.mark.parametrize("where", WHERE)
def test_hkdf(where: str, request: pytest.FixtureRequest) -> None:
    """RFC 5869 A.1 and A.3, and lengths around whole blocks against `cryptography`."""
    interpreter = CPYTHON if where == "cpython" else request.getfixturevalue(where)
    secret, info = b"\x0b" * 22, bytes(range(0xF0, 0xFA))
    cases = [(secret, bytes(range(13)), info, 42), (secret, b"", b"", 42)]
    cases += [(secret, b"salt", b"info", length) for length in (1, 31, 32, 33, 64, 65, 200)]
    asked = "".join(f"hkdf x{a.hex()} x{b.hex()} x{c.hex()} x{length:04x}\n" for a, b, c, length in cases)
    answers = run(interpreter, Path(__file__).with_name("crypto_peer.py"), "as-found", asked=asked)
    assert answers[:2] == [
        "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865",
        "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8",
    ]
    expected = [HKDF(hashes.SHA256(), length, salt or None, info).derive(key) for key, salt, info, length in cases]
    assert answers == [each.hex() for each in expected]


def test_hkdf_knows_its_limit() -> None:
    with pytest.raises(AssertionError):
        hkdf_sha256(b"", b"", b"", 255 * 32 + 1)
