"""Chooses who adds points, and multiplies points by scalars with it.

Owns: the choice, which hangs on the interpreter alone and is told by `kind.NAME`: viper limbs where native code runs,
big integers elsewhere (ports without an emitter, CPython); the plans of comb, window and joint sum.
Refuses: a fall-back: where native code runs and the viper files are missing, the import fails.
Invariants: a secret scalar decides which table entry is taken and with which sign, never the sequence of operations.

Both kinds have the same functions. `run(plan, digits)` carries out a plan of steps.py on the one accumulator point (so
nothing here is re-entrant); `prepare(x, y)` makes the multiples of a point; `is_lost()` is true after the identity and
after an addition of equal or opposite points, which the formulas cannot do; where it is false there are `affine()` and
`has_x(x)`; `gather(scalar, width, stride, offsets, marks)` takes digits out of a scalar; `invert(number, modulus)`.
"""

import sys

from firmware.crypto import steps

N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
P = 2**256 - 2**224 + 2**192 + 2**96 - 1

# MicroPython puts the architecture of its native code here, 0 for none.
if getattr(sys.implementation, "_mpy", 0) >> 10 & 15:
    from firmware.crypto import points_limbs as kind
else:
    from firmware.crypto import points_bigint as kind


def use(other) -> None:
    """Take another kind of points (tests and benches)."""
    global kind
    kind = other


_DOUBLE, _MULTIPLE, _END = (steps.DOUBLE,), (steps.ADD_MULTIPLE,), (steps.END,)

# scalar G: bits BLOCKS * ROWS apart are one digit, row by row from the highest.
_ROWS = range(kind.ROWS - 1, -1, -1)
_BLOCKS = range(kind.BLOCKS)
_STRIDE = kind.BLOCKS * kind.ROWS
_ROW = (steps.ADD_BASE,) * kind.BLOCKS
_COMB = bytes((_DOUBLE + _ROW) * kind.ROWS + _END)
_COMB_OFFSETS = bytes([block * kind.ROWS + row for row in _ROWS for block in _BLOCKS])
_COMB_MARKS = bytes([block << kind.TEETH for row in _ROWS for block in _BLOCKS])

# scalar times a prepared point: four bits are one digit.
_WINDOW = bytes((_DOUBLE * 4 + _MULTIPLE) * 64 + _END)
_WINDOW_OFFSETS = bytes(range(252, -1, -4))
_WINDOW_MARKS = bytes(64)

# Both, with a digit of the point at every bit, most of them NONE.
_JOINT = bytes((_DOUBLE + _MULTIPLE) * (257 - kind.ROWS) + (_DOUBLE + _MULTIPLE + _ROW) * kind.ROWS + _END)
_NOTHING = bytes((steps.NONE,)) * 257


def base(scalar: int) -> "tuple[int, int]":
    """scalar G, for 0 < scalar < N."""
    return _either_way(_COMB, _comb_digits, scalar)


def times(scalar: int, point: "tuple[int, int]") -> "tuple[int, int]":
    """scalar point, for 0 < scalar < N."""
    kind.prepare(*point)
    return _either_way(_WINDOW, _window_digits, scalar)


def joint_has_x(scalar: int, other: int, point: "tuple[int, int]", candidates) -> bool:
    """Whether scalar G + other point has one of these x. What is done depends on the numbers: not for secrets."""
    kind.prepare(*point)
    kind.run(_JOINT, _joint_digits(scalar, other))
    if kind.is_lost():
        kind.run(_JOINT, _joint_digits(-scalar % N, -other % N))
    return not kind.is_lost() and any(kind.has_x(x) for x in candidates)


def _either_way(plan: bytes, digits_of, scalar: int) -> "tuple[int, int]":
    """A few scalars meet equal or opposite points on their way; their negatives then do not."""
    kind.run(plan, digits_of(scalar))
    if not kind.is_lost():
        return kind.affine()
    kind.run(plan, digits_of(N - scalar))
    x, y = kind.affine()
    return x, P - y


def _signs(scalar: int, bits: int) -> int:
    """The number whose bits b are the digits 2 b - 1 of the scalar: no digit is zero, so none is skipped."""
    return (scalar + (1 << bits) - 1) * ((N + 1) // 2) % N


def _comb_digits(scalar: int) -> bytes:
    return kind.gather(_signs(scalar, kind.TEETH * _STRIDE), kind.TEETH, _STRIDE, _COMB_OFFSETS, _COMB_MARKS)


def _window_digits(scalar: int) -> bytes:
    return kind.gather(_signs(scalar, 256), steps.WIDTH, 1, _WINDOW_OFFSETS, _WINDOW_MARKS)


def _joint_digits(scalar: int, other: int) -> bytes:
    comb = _comb_digits(scalar)
    sparse = _sparse(other)
    digits = sparse[: 257 - kind.ROWS]
    for i in range(kind.ROWS):
        digits.append(sparse[257 - kind.ROWS + i])
        digits += comb[i * kind.BLOCKS : (i + 1) * kind.BLOCKS]
    return digits


def _sparse(scalar: int) -> bytearray:
    """Digits for the bits 256 .. 0, at least four NONE between two others."""
    raw = scalar.to_bytes(34, "little")
    digits = bytearray(_NOTHING)
    carry = at = 0
    while at < 257:
        bits = (raw[at >> 3] | raw[(at >> 3) + 1] << 8) >> (at & 7) & 31
        if bits & 1 == carry:
            at += 1
        else:
            bits += carry
            carry = bits >> 4
            digits[256 - at] = bits >> 1 ^ 8
            at += 5
    return digits
