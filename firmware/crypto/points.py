"""Chooses who adds points, and multiplies points by scalars with it.

Owns: the choice, which hangs on the interpreter alone and is told by `kind.NAME`: viper limbs where native code runs,
big integers elsewhere (ports without an emitter, CPython); the plans of comb, window and joint sum.
Refuses: a fall-back: where native code runs and the viper files are missing, the import fails.
Invariants: a secret scalar decides which table entry is taken and with which sign, never the sequence of operations.

Both kinds have the same functions. `run(plan, digits, multiples)` carries out a plan of steps.py on the one accumulator
point (so nothing here is re-entrant); `multiples_of(x, y)` makes such a table; `is_lost()` is true after the identity
and after an addition of equal or opposite points, which the formulas cannot do; where it is false there are `affine()`
and `has_x(x)`; `invert(number, modulus)`; `gather(scalar, width, stride, offsets, marks)` takes digits out of a scalar,
`sparse(scalar)` as few as can be: for the bits 256 .. 0, at least four NONE between two others. `pad(key, byte)` is
HMAC's block, good until the next one.
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


_DOUBLE, _END = bytes((steps.DOUBLE,)), bytes((steps.END,))

# scalar G: bits BLOCKS * ROWS apart are one digit, row by row from the highest.
_ROWS = range(kind.ROWS - 1, -1, -1)
_STRIDE = kind.BLOCKS * kind.ROWS
_ROW = bytes((steps.ADD_BASE,)) * kind.BLOCKS
_COMB = (_DOUBLE + _ROW) * kind.ROWS + _END
_COMB_OFFSETS = bytes([block * kind.ROWS + row for row in _ROWS for block in range(kind.BLOCKS)])
_COMB_MARKS = bytes([offset // kind.ROWS << kind.TEETH for offset in _COMB_OFFSETS])


def base(scalar: int) -> "tuple[int, int]":
    """scalar G, for 0 < scalar < N."""
    return _either_way(_COMB, _comb_digits, scalar, None)


def times(scalar: int, point: "tuple[int, int]") -> "tuple[int, int]":
    """scalar point, for 0 < scalar < N: four bits are one digit."""
    plan = bytes((steps.DOUBLE,) * 4 + (steps.ADD_MULTIPLE,)) * 64 + _END
    return _either_way(plan, _window_digits, scalar, kind.multiples_of(*point))


def joint_has_x(scalar: int, other: int, point: "tuple[int, int]", candidates) -> bool:
    """Whether scalar G + other point has one of these x. What is done depends on the numbers: not for secrets."""
    bit = bytes((steps.DOUBLE, steps.ADD_MULTIPLE))
    plan = bit * (257 - kind.ROWS) + (bit + _ROW) * kind.ROWS + _END
    multiples = kind.multiples_of(*point)
    kind.run(plan, _joint_digits(scalar, other), multiples)
    if kind.is_lost():
        kind.run(plan, _joint_digits(-scalar % N, -other % N), multiples)
    return not kind.is_lost() and any(kind.has_x(x) for x in candidates)


def _either_way(plan: bytes, digits_of, scalar: int, multiples) -> "tuple[int, int]":
    """A few scalars meet equal or opposite points on their way; their negatives then do not."""
    kind.run(plan, digits_of(scalar), multiples)
    if not kind.is_lost():
        return kind.affine()
    kind.run(plan, digits_of(N - scalar), multiples)
    x, y = kind.affine()
    return x, P - y


def _signs(scalar: int, bits: int) -> int:
    """The number whose bits b are the digits 2 b - 1 of the scalar: no digit is zero, so none is skipped."""
    return (scalar + (1 << bits) - 1) * ((N + 1) // 2) % N


def _comb_digits(scalar: int) -> bytes:
    return kind.gather(_signs(scalar, kind.TEETH * _STRIDE), kind.TEETH, _STRIDE, _COMB_OFFSETS, _COMB_MARKS)


def _window_digits(scalar: int) -> bytes:
    return kind.gather(_signs(scalar, 256), steps.WIDTH, 1, bytes(range(252, -1, -4)), bytes(64))


def _joint_digits(scalar: int, other: int) -> bytes:
    comb = _comb_digits(scalar)
    sparse = kind.sparse(other)
    digits = sparse[: 257 - kind.ROWS]
    for i in range(kind.ROWS):
        digits.append(sparse[257 - kind.ROWS + i])
        digits += comb[i * kind.BLOCKS : (i + 1) * kind.BLOCKS]
    return digits
