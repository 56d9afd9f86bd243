"""P-256 on every interpreter and both kinds of points, judged by `cryptography` and by RFC 6979's own numbers."""

import random
from collections.abc import Callable, Iterable, Iterator
from hashlib import sha256
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.micropython import CPYTHON, run

PEER = Path(__file__).with_name("crypto_peer.py")
P = 2**256 - 2**224 + 2**192 + 2**96 - 1
N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
ES256 = ec.ECDSA(hashes.SHA256())

# Small, at both ends, around the comb's and the window's joints, and with long runs of equal bits.
EDGES = [1, 2, 3, 4, 5, 7, 8, 15, 16, 17, 2**22, 2**44 - 1, 2**44, 2**128, 2**220, 2**255, 2**256 - 2**32]
# Twice the comb's last entry, all of whose signs are plus: the last addition is of two equal points.
TWICE_AN_ENTRY = 2 * sum(1 << 44 * tooth + 22 for tooth in range(6))
EDGES += [TWICE_AN_ENTRY, (N - 1) // 2]
SCALARS = sorted({each % N for each in EDGES} | {-each % N for each in EDGES})

Peer = Callable[[Iterable[tuple[object, ...]]], list[str]]


def big(number: int) -> bytes:
    return number.to_bytes(32, "big")


def little(number: int) -> bytes:
    return number.to_bytes(34, "little")


# On armhf the interpreter compiles the viper files itself, by the Thumb-2 emitter that has the wrong long branches.
VIPER = ["micropython32 viper", "micropython64 viper", "micropython_armhf viper"]
BIGINT = ["micropython32 bigint", "micropython64 bigint", "cpython bigint"]


def asker(request: pytest.FixtureRequest) -> Peer:
    where, kind = request.param.split()
    interpreter = CPYTHON if where == "cpython" else request.getfixturevalue(where)

    def ask(questions: Iterable[tuple[object, ...]]) -> list[str]:
        lines = [" ".join([str(name), *(f"x{word.hex()}" for word in words)]) for name, *words in questions]  # type: ignore[attr-defined]
        answers = run(interpreter, PEER, kind, asked="\n".join(lines) + "\n")
        assert len(answers) == len(lines)
        return answers

    return ask


@pytest.fixture(scope="module", params=VIPER + BIGINT)
def peer(request: pytest.FixtureRequest) -> Peer:
    return asker(request)


@pytest.fixture(scope="module", params=VIPER)
def viper(request: pytest.FixtureRequest) -> Peer:
    return asker(request)


def key(scalar: int) -> ec.EllipticCurvePrivateKey:
    return ec.derive_private_key(scalar, ec.SECP256R1())


def point(key: ec.EllipticCurvePrivateKey | ec.EllipticCurvePublicKey) -> bytes:
    public = key.public_key() if isinstance(key, ec.EllipticCurvePrivateKey) else key
    return public.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def judge(public: bytes, message: bytes, signature: bytes) -> bool:
    """What `cryptography` says; of our fixed-length form it knows r and s only."""
    try:
        known = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), public)
        der = utils.encode_dss_signature(int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big"))
        known.verify(der, message, ES256)
    except (InvalidSignature, ValueError):
        return False
    return len(signature) == 64 and len(public) == 65


def test_where_native_code_runs_it_is_taken(viper: Peer) -> None:
    assert viper([("kind",)]) == [b"viper limbs".hex()]


def test_elsewhere_big_integers_are() -> None:
    assert run(CPYTHON, PEER, "as found", asked="kind\n") == [b"big integers".hex()]


def test_rfc_6979_a_2_5(peer: Peer) -> None:
    private = bytes.fromhex("C9AFA9D845BA75166B5C215767B1D6934E50C3DB36E89B127B8A622B120F6721")
    public = (
        "0460fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb6"
        "7903fe1008b8bc99a41ae9e95628bc64f2f1b20c2d7e9f5177a3c294d4462299"
    )
    sample = (
        "efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716"
        "f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8"
    )
    test = (
        "f1abb023518351cd71d881567b1ea663ed3efcf6c5132b354f28d3b0b7d38367"
        "019f4113742a2b14bd25926b49c649155f267e60d3814b4c0cc84250e46f0083"
    )
    questions = [("public", private), ("sign", private, b"sample"), ("sign", private, b"test")]
    assert peer(questions) == [public, sample, test]


def test_public_keys_of_edge_scalars(peer: Peer) -> None:
    assert peer(("public", big(scalar)) for scalar in SCALARS) == [point(key(scalar)).hex() for scalar in SCALARS]


def test_random_signatures_hold(peer: Peer) -> None:
    dice = random.Random(1)
    given = [(dice.randrange(1, N), dice.randbytes(dice.randrange(200))) for _ in range(200)]
    given += [(scalar, b"edge") for scalar in SCALARS]
    signatures = peer(("sign", big(scalar), message) for scalar, message in given)
    for (scalar, message), signature in zip(given, signatures, strict=True):
        assert judge(point(key(scalar)), message, bytes.fromhex(signature))


def signed(dice: random.Random) -> Iterator[tuple[bytes, bytes, bytes]]:
    """(public, message, signature), each signature in its low and its high form."""
    for _ in range(30):
        own, message = key(dice.randrange(1, N)), dice.randbytes(60)
        r, s = utils.decode_dss_signature(own.sign(message, ES256))
        yield point(own), message, big(r) + big(s)
        yield point(own), message, big(r) + big(N - s)


def test_it_verifies_what_others_signed_high_and_low(peer: Peer) -> None:
    dice = random.Random(2)
    assert set(peer(("verify", *each) for each in signed(dice))) == {"01"}


def made(secret: int, nonce: int, message: bytes) -> tuple[bytes, bytes, bytes]:
    """A signature with a nonce of our choice."""
    r = key(nonce).public_key().public_numbers().x % N
    hashed = int.from_bytes(sha256(message).digest(), "big")
    return point(key(secret)), message, big(r) + big(pow(nonce, -1, N) * (hashed + r * secret) % N)


def test_sums_that_meet_equal_and_opposite_points_on_their_way(peer: Peer) -> None:
    """Keys and nonces that are small multiples: u1 G and u2 Q then share points, and the sum may be a table's entry."""
    small = [1, 2, 3, 5, 16, N - 1, N - 2, N - 3, 2**22, 2**44, N - 2**44]
    cases = [made(secret, nonce, b"m") for secret in small for nonce in small]
    assert set(peer(("verify", *each) for each in cases)) == {"01"}


def test_a_sum_whose_last_addition_is_of_equal_points(peer: Peer) -> None:
    def ends_with_the_entry(signature: bytes, message: bytes) -> bool:
        hashed = int.from_bytes(sha256(message).digest(), "big")
        scalar = hashed * pow(int.from_bytes(signature[32:], "big"), -1, N)
        signs = (scalar + 2**264 - 1) * (N + 1) // 2 % N
        return all(signs >> 44 * tooth + 22 & 1 for tooth in range(6))

    tried = (made(3, TWICE_AN_ENTRY, b"%d" % i) for i in range(1000))
    public, message, signature = next(each for each in tried if ends_with_the_entry(each[2], each[1]))
    other = message + b"."
    assert peer([("verify", public, message, signature), ("verify", public, other, signature)]) == ["01", "00"]


def test_a_sum_that_is_the_identity_is_refused(peer: Peer) -> None:
    hashed = int.from_bytes(sha256(b"m").digest(), "big")
    cases = [(secret, -hashed * pow(secret, -1, N) % N, s) for secret in (1, 7, N - 1) for s in (1, 2, 3**100 % N)]
    assert set(peer(("verify", point(key(a)), b"m", big(r) + big(s)) for a, r, s in cases)) == {"00"}


def wrapped() -> tuple[bytes, bytes, bytes]:
    """A valid signature whose point has its x between n and p, so that r = x - n."""
    for x in range(N, P):
        square = (x**3 - 3 * x + B) % P
        y = pow(square, (P + 1) // 4, P)
        if y * y % P == square:
            break
    hashed = int.from_bytes(sha256(b"m").digest(), "big")
    r, s = x - N, 12345
    inverse = pow(r, -1, N)
    first = times(s * inverse % N, (x, y))
    second = key(-hashed * inverse % N).public_key().public_numbers()
    own = ec.EllipticCurvePublicNumbers(*plus(first, (second.x, second.y)), ec.SECP256R1()).public_key()
    return point(own), b"m", big(r) + big(s)


B = 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B


def plus(a: tuple[int, int], b: tuple[int, int]) -> tuple[int, int]:
    top, bottom = (3 * a[0] ** 2 - 3, 2 * a[1]) if a == b else (b[1] - a[1], b[0] - a[0])
    slope = top * pow(bottom, -1, P) % P
    x = (slope**2 - a[0] - b[0]) % P
    return x, (slope * (a[0] - x) - a[1]) % P


def times(scalar: int, of: tuple[int, int]) -> tuple[int, int]:
    """For the test's own points only: from the highest bit down."""
    result = of
    for bit in bin(scalar)[3:]:
        result = plus(result, result)
        if bit == "1":
            result = plus(result, of)
    return result


def test_r_may_stand_for_an_x_above_n(peer: Peer) -> None:
    public, message, signature = wrapped()
    assert judge(public, message, signature)
    other = signature[:31] + bytes((signature[31] ^ 1,)) + signature[32:]
    assert peer([("verify", public, message, signature), ("verify", public, message, other)]) == ["01", "00"]


def spoilt() -> dict[str, tuple[bytes, bytes, bytes]]:
    own = key(0x1234567)
    public, message = point(own), b"message"
    r, s = utils.decode_dss_signature(own.sign(message, ES256))
    x, y = int.from_bytes(public[1:33], "big"), int.from_bytes(public[33:], "big")
    whole = big(r) + big(s)
    top = 2**256 - 1
    signatures = {
        **{f"r = {name}": big(value) + big(s) for name, value in (("0", 0), ("n", N), ("p", P), ("all ones", top))},
        **{f"s = {name}": big(r) + big(value) for name, value in (("0", 0), ("n", N), ("p", P), ("all ones", top))},
        **{f"r = s = {value}": big(value) * 2 for value in (0, 1, N - 1, N, N + 1)},
        "r and s exchanged": big(s) + big(r),
        "n - r": big(N - r) + big(s),
        "1/s": big(r) + big(pow(s, -1, N)),
        "a byte less": whole[:-1],
        "a byte more": whole + b"\x00",
        "a byte before": b"\x00" + whole,
        "nothing": b"",
        "DER": own.sign(message, ES256),
        **{f"bit {bit}": (int.from_bytes(whole, "big") ^ 1 << bit).to_bytes(64, "big") for bit in range(0, 512, 37)},
    }
    keys = {
        "another's": point(key(2)),
        "the opposite": b"\x04" + big(x) + big(P - y),
        "x and y exchanged": b"\x04" + big(y) + big(x),
        "off the curve": b"\x04" + big(x) + big(y ^ 1),
        "zeros": b"\x04" + bytes(64),
        "x = p": b"\x04" + big(P) + big(y),
        "y + p": b"\x04" + big(x) + (y + P if y + P < 2**256 else P).to_bytes(32, "big"),
        "all ones": b"\x04" + b"\xff" * 64,
        "the identity": b"\x00",
        "compressed": bytes((2 + y % 2,)) + big(x),
        "hybrid": bytes((6 + y % 2,)) + public[1:],
        "without its 4": public[1:],
        "a byte more": public + b"\x00",
        "nothing": b"",
    }
    return {
        **{f"signature: {name}": (public, message, each) for name, each in signatures.items()},
        **{f"key: {name}": (each, message, whole) for name, each in keys.items()},
        "message": (public, message + b".", whole),
        "no message": (public, b"", whole),
    }


def test_bad_signatures_and_keys_are_refused(peer: Peer) -> None:
    cases = spoilt()
    answers = dict(zip(cases, peer(("verify", *each) for each in cases.values()), strict=True))
    assert {name: answer for name, answer in answers.items() if answer != "00"} == {}
    assert not any(judge(*each) for each in cases.values())


def test_shared_secrets(peer: Peer) -> None:
    dice = random.Random(3)
    others = [key(scalar) for scalar in (1, 2, N - 1, *(dice.randrange(1, N) for _ in range(3)))]
    pairs = [(scalar, other) for scalar in SCALARS for other in others]
    pairs += [(dice.randrange(1, N), key(dice.randrange(1, N))) for _ in range(30)]
    expected = [key(scalar).exchange(ec.ECDH(), other.public_key()).hex() for scalar, other in pairs]
    assert peer(("ecdh", big(scalar), point(other)) for scalar, other in pairs) == expected


def test_bad_private_keys_and_points_are_refused(peer: Peer) -> None:
    good = big(5)
    publics = {public for name, (public, *_) in spoilt().items() if name.startswith("key: ")}
    points_off = [each for each in publics if each not in (point(key(2)), spoilt()["key: the opposite"][0])]
    questions: list[tuple[object, ...]] = [("ecdh", good, each) for each in points_off]
    for bad in (big(0), big(N), big(N + 1), big(2**256 - 1), b"", good[1:], good + b"\x00"):
        questions += [("public", bad), ("sign", bad, b"m"), ("ecdh", bad, point(key(2)))]
    assert set(peer(questions)) == {"refused"}


def test_inversion(peer: Peer) -> None:
    dice = random.Random(4)
    for modulus in (P, N):
        numbers = [0, 1, 2, modulus - 1, modulus - 2, *(1 << i for i in range(0, 256, 13))]
        numbers += [-(1 << i) % modulus for i in range(3, 256, 14)] + [dice.randrange(modulus) for _ in range(100)]
        expected = [big(pow(each, -1, modulus) if each else 0).hex() for each in numbers]
        assert peer(("invert", big(each), big(modulus)) for each in numbers) == expected


# Instructions of field.py on slots 0, 1 and 2, as generate.py writes them: code, out, a, b, m + 128, n + 128.
FACTORS = [(1, -1), (1, 1), (3, 3), (1, -8), (4, -1), (1, -2), (-1, 0), (8, 8), (-8, -8), (1, 0)]


def operands(dice: random.Random) -> list[int]:
    """Numbers that the machine may meet: below 2^257, around multiples of p, limbs full or empty."""
    edges = [0, 1, P - 1, P, P + 1, 2 * P - 1, 2 * P, 2**256 - 1, 2**256, 2**257 - 1]
    edges += [8191 << 13 * i for i in range(19)]
    return edges + [dice.randrange(2**257) for _ in range(12)]


def test_field_arithmetic_at_its_edges(viper: Peer) -> None:
    numbers = operands(random.Random(5))
    inverse = pow(2**260, -1, P)
    cases = [((0, 0, 1, 2, 128, 128), a, b, a * b * inverse) for a in numbers for b in numbers]
    cases += [((1, 0, 1, 1, 128, 128), a, 0, a * a * inverse) for a in numbers]
    cases += [
        ((2, 0, 1, 2, m + 128, n + 128), a, b, m * a + n * b)
        for m, n in FACTORS
        for a in numbers[::2]
        for b in numbers[1::2]
    ]
    answers = viper(("machine", bytes(code), little(0), little(a), little(b)) for code, a, b, _ in cases)
    for (code, a, b, expected), answer in zip(cases, answers, strict=True):
        raw = bytes.fromhex(answer)
        limbs = [int.from_bytes(raw[i : i + 2], "little") for i in range(0, 40, 2)]
        value = sum(limb << 13 * i for i, limb in enumerate(limbs))
        assert max(limbs) < 8192 and value < 2**257 and value % P == expected % P, (code, hex(a), hex(b))
