"""Points of P-256 by big integers: for ports without a native emitter, and for CPython.

Owns: one accumulator point; see `points.py`.
Refuses: choosing steps, checking points.
Invariants: an addition that the formulas cannot do leaves Z = 0 for good, so `affine` never gives a wrong point; the
sequence of operations does not depend on the scalar, but a big integer's own time may: hence the blinding in `invert`.
"""

from os import urandom

from firmware.crypto import comb_bytes, steps

TEETH, BLOCKS, ROWS = comb_bytes.TEETH, comb_bytes.BLOCKS, comb_bytes.ROWS
NAME = "big integers"

_P = 2**256 - 2**224 + 2**192 + 2**96 - 1

_point = None  # Jacobian: (X/Z^2, Y/Z^3)


def pad(key: bytes, byte: int) -> bytes:
    return bytes([each ^ byte for each in key]) + bytes((byte,)) * (64 - len(key))


def gather(scalar: int, width: int, stride: int, offsets: bytes, marks: bytes) -> bytes:
    digits = bytearray(marks)
    for i in range(len(digits)):
        bits = scalar >> offsets[i]
        for at in range(width):
            digits[i] |= (bits >> at * stride & 1) << at
    return digits


def sparse(scalar: int) -> bytearray:
    digits = bytearray((steps.NONE,) * 257)
    carry = at = 0
    while at < 257:
        bits = scalar >> at & 31
        if bits & 1 == carry:
            at += 1
        else:
            bits += carry
            carry = bits >> 4
            digits[256 - at] = bits >> 1 ^ 8
            at += 5
    return digits


def run(plan: bytes, digits: bytes, multiples=None) -> None:
    """Carry out the steps; what they mean is in steps.py."""
    global _point
    point = None
    at = 0
    for step in plan[:-1]:
        if step == steps.DOUBLE:
            point = point and _double(*point)
            continue
        digit = digits[at]
        at += 1
        if step == steps.STORE:
            multiples[digit - steps.MULTIPLES] = point
        elif step == steps.START_MULTIPLE:
            point = _signed_entry(multiples, digit)
        elif step == steps.ADD_BASE:
            point = _add(point, _base_entry(digit))
        elif digit != steps.NONE:
            point = _add(point, _signed_entry(multiples, digit))
    _point = point


def multiples_of(x: int, y: int):
    multiples = [(x, y, 1)] * steps.MULTIPLES
    run(steps.ODD_MULTIPLES, steps.ODD_MULTIPLES_DIGITS, multiples)
    return multiples


def is_lost() -> bool:
    return _point[2] == 0


def has_x(x: int) -> bool:
    X, _, Z = _point
    return (x * Z % _P * Z - X) % _P == 0


def affine() -> "tuple[int, int]":
    X, Y, Z = _point
    z = invert(Z, _P)
    zz = z * z % _P
    return X * zz % _P, Y * zz % _P * z % _P


def invert(number: int, modulus: int) -> int:
    """1/number modulo a prime, by Euclid's algorithm on a blinded number, whose steps then tell nothing of it."""
    blind = int.from_bytes(urandom(16), "little") | 1
    a, b = number * blind % modulus, modulus
    x, y = 1, 0
    while a:
        q = b // a
        a, b = b - q * a, a
        x, y = y - q * x, x
    return y * blind % modulus


def _signed(digit: int, width: int) -> "tuple[int, int]":
    """What a digit names: the index of an entry, and 1 or -1."""
    half = 1 << width - 1
    sign = (digit // half & 1) - 1
    return (digit ^ sign) & half - 1, 2 * sign + 1


def _base_entry(digit: int) -> "tuple[int, int, int]":
    index, sign = _signed(digit, TEETH)
    at = ((digit >> TEETH << TEETH - 1) + index) * 64
    x = int.from_bytes(comb_bytes.ENTRIES[at : at + 32], "little")
    y = int.from_bytes(comb_bytes.ENTRIES[at + 32 : at + 64], "little")
    return x, y * sign % _P, 1


def _signed_entry(multiples, digit: int) -> "tuple[int, int, int]":
    index, sign = _signed(digit, steps.WIDTH)
    x, y, z = multiples[index]
    return x, y * sign % _P, z


def _double(X: int, Y: int, Z: int) -> "tuple[int, int, int]":
    zz = Z * Z % _P
    yy = Y * Y % _P
    b = X * yy % _P
    slope = 3 * (X - zz) * (X + zz) % _P
    x = (slope * slope - 8 * b) % _P
    return x, (slope * (4 * b - x) - 8 * yy * yy) % _P, 2 * Y * Z % _P


def _add(point, entry) -> "tuple[int, int, int]":
    if point is None:
        return entry
    X, Y, Z = point
    x, y, z = entry
    zz = Z * Z % _P
    if z != 1:  # public: which table the entry is from
        zz2 = z * z % _P
        X = X * zz2 % _P
        Y = Y * zz2 % _P * z % _P
    dx = (x * zz - X) % _P
    dy = (zz * Z % _P * y - Y) % _P
    dx2 = dx * dx % _P
    dx3 = dx * dx2 % _P
    e = X * dx2 % _P
    x3 = (dy * dy - dx3 - 2 * e) % _P
    return x3, (dy * (e - x3) - Y * dx3) % _P, Z * z % _P * dx % _P
