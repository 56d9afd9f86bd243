"""Writes the unrolled field arithmetic of P-256. Runs on CPython, is not flashed.

Owns: `field.py`: MicroPython viper code for a small machine for numbers modulo p, and for inversion.
Refuses: hand edits of that file; the house test compares it with what this script writes.

`python -m firmware.crypto.generate`, at the root of the checkout, writes it anew.

Why limbs of 13 bits. Viper integers are as wide as the machine's word, and products must fit into 31 bits. Twenty limbs
of 13 bits hold 260 bits, and a column of the product sums twenty products of 26 bits: less than 2^31. With 14 bits the
sum overflows, with 12 bits there are 22 limbs and a fifth more products. Montgomery's R is 2^260, so numbers up to 16 p
fit and are reduced lazily: all that the machine makes is below 2^257, and the product of any two below 2^258 is too.

Why it is unrolled. `P[3] * x + C[7]` with constant indices is eight machine instructions; a loop costs thrice that.

Why it is a machine. A call from Python costs as much as half a multiplication. So each step of `steps.py` is a program,
a row of instructions on numbered slots, and all the steps of a point multiplication are one call.

How the code is shaped. Viper keeps its first two locals in registers, so these are the scratch pointer P and the
running sum x. No conditional branch spans 4 kB of code: before 1.27, MicroPython encoded longer ones wrongly on Thumb-2
(its issue 17940). That is why the big blocks stand one after another, each under its own short `if`, and why the loop
around them is unconditional.
"""

from collections.abc import Iterator
from pathlib import Path

from firmware.crypto import steps
from firmware.crypto.generate_comb import LIMB_BITS, LIMBS, TEETH, doc, literal

HALF = LIMBS // 2
MASK = (1 << LIMB_BITS) - 1

# Inversion: 590 division steps suffice for 256 bits when they start at delta = 1/2. 14 of them look only at the lowest
# limb of f and g and give a matrix with entries up to 2^14, which is then applied to all of f, g, d, e.
INVERSE_BITS = 14
INVERSE_LIMBS = 19
INVERSE_ROUNDS = 43
UNROLLED = 3  # limbs

# The machine's memory, in bytes: for each of Karatsuba's three products (low, high, sum) ten limbs of the second
# operand and the 19 columns of the product; the summed halves of the first operand; Montgomery's quotient; the slots.
COLUMN_COUNT = 2 * HALF - 1
BLOCK_BYTES = 2 * HALF + 4 * COLUMN_COUNT
LOW, HIGH, SUM = (BLOCK_BYTES * i for i in range(3))
SUM_A = 3 * BLOCK_BYTES
QUOTIENT = SUM_A + 2 * HALF
SLOTS = QUOTIENT + 2 * LIMBS
SLOT_BYTES = 2 * LIMBS
SLOT_NAMES = ("X", "Y", "Z", "ZZ", "ZZZ", "x2", "y2", "z2", "zz2", "zzz2", "one", "a", "b", "c", "d", "e")
BASE_SLOTS = 2  # x2, y2: an entry of the comb
MULTIPLE_SLOTS = 5  # x2, y2, z2 and its square and cube
MEMORY_BYTES = SLOTS + SLOT_BYTES * len(SLOT_NAMES)

# p = 2^256 - 2^224 + 2^192 + 2^96 - 1 as (sign, limb, shift); the -1 makes -1/p = 1 modulo 2^13, so that the quotient
# limb of Montgomery's reduction is the column itself.
POWERS_OF_P = tuple((sign, *divmod(power, LIMB_BITS)) for sign, power in ((1, 96), (1, 192), (-1, 224), (1, 256)))

MULTIPLY, SQUARE, LINEAR, SIGNED, FROM_BASE, FROM_MULTIPLES, TO_MULTIPLES, STOP = range(8)
BIAS = 128  # m and n are stored as one byte

Instruction = tuple[int, str, str, str, int, int]  # code, out, a, b, m, n


def mul(out: str, a: str, b: str) -> Instruction:
    """out = a b"""
    return MULTIPLY, out, a, b, 0, 0


def sqr(out: str, a: str) -> Instruction:
    """out = a a"""
    return SQUARE, out, a, a, 0, 0


def lin(out: str, m: int, a: str, n: int, b: str) -> Instruction:
    """out = m a + n b, with |m|, |n| <= 8"""
    return LINEAR, out, a, b, m, n


def signed(out: str, a: str) -> Instruction:
    """out = a or -a, as the digit says"""
    return SIGNED, out, a, a, 0, 0


def move(code: int, first: str, count: int) -> Instruction:
    """That many slots from or to the table's entry"""
    return code, first, first, first, 0, count * SLOT_BYTES // 8


FETCH_BASE = (move(FROM_BASE, "x2", BASE_SLOTS), signed("y2", "y2"))
FETCH_MULTIPLE = (move(FROM_MULTIPLES, "x2", MULTIPLE_SLOTS), signed("y2", "y2"))

# Jacobian coordinates: the point is (X/Z^2, Y/Z^3). Each formula is what the machine runs, line by line.
DOUBLE = (  # 4 products, 4 squares; a = -3 turns 3 X^2 + a Z^4 into 3 (X - Z^2)(X + Z^2)
    sqr("a", "Z"),
    sqr("b", "Y"),
    mul("c", "X", "b"),
    lin("d", 1, "X", -1, "a"),
    lin("a", 3, "X", 3, "a"),
    mul("a", "a", "d"),  # a: slope
    mul("Z", "Y", "Z"),
    lin("Z", 1, "Z", 1, "Z"),
    sqr("X", "a"),
    lin("X", 1, "X", -8, "c"),
    lin("c", 4, "c", -1, "X"),
    mul("Y", "a", "c"),
    sqr("b", "b"),
    lin("Y", 1, "Y", -8, "b"),
)


# (X, Y, Z) += (x2, y2, 1). Where both have one x it is wrong, and Z stays 0 for good.
ADD_AFFINE = (  # 8 products, 3 squares
    mul("a", "x2", "ZZ"),
    lin("a", 1, "a", -1, "X"),  # a: difference of the x
    mul("b", "y2", "ZZZ"),
    lin("b", 1, "b", -1, "Y"),  # b: difference of the y
    sqr("c", "a"),
    mul("d", "a", "c"),
    mul("e", "X", "c"),
    mul("Z", "Z", "a"),
    sqr("X", "b"),
    lin("X", 1, "X", -1, "d"),
    lin("X", 1, "X", -2, "e"),
    lin("e", 1, "e", -1, "X"),
    mul("e", "b", "e"),
    mul("Y", "Y", "d"),
    lin("Y", 1, "e", -1, "Y"),
)
POWERS_OF_Z = (sqr("ZZ", "Z"), mul("ZZZ", "ZZ", "Z"))
TO_COMMON_Z = (mul("X", "X", "zz2"), mul("Y", "Y", "zzz2"), mul("Z", "Z", "z2"))

# In the order of steps.py.
PROGRAMS = (
    DOUBLE,
    (*FETCH_BASE, *POWERS_OF_Z, *ADD_AFFINE),
    (*FETCH_MULTIPLE, *POWERS_OF_Z, *TO_COMMON_Z, *ADD_AFFINE),
    (*FETCH_BASE, lin("X", 1, "x2", 0, "x2"), lin("Y", 1, "y2", 0, "y2"), lin("Z", 1, "one", 0, "one")),
    (*FETCH_MULTIPLE, lin("X", 1, "x2", 0, "x2"), lin("Y", 1, "y2", 0, "y2"), lin("Z", 1, "z2", 0, "z2")),
    # Store
    (*POWERS_OF_Z, move(TO_MULTIPLES, "X", MULTIPLE_SLOTS)),
    # Into Montgomery's form: x2 and y2 are a point's, z2 is R^2.
    (move(FROM_MULTIPLES, "x2", 3), mul("X", "x2", "z2"), mul("Y", "y2", "z2"), lin("Z", 1, "one", 0, "one")),
    # To affine and out of Montgomery's form: x2 is 1/(Z R), y2 is R^3, z2 is 1.
    (
        move(FROM_MULTIPLES, "x2", 3),
        mul("a", "x2", "y2"),
        sqr("b", "a"),
        mul("X", "X", "b"),
        mul("b", "b", "a"),
        mul("Y", "Y", "b"),
        mul("X", "X", "z2"),
        mul("Y", "Y", "z2"),
    ),
)


def programs() -> bytes:
    """Where each program begins, two bytes each, then the programs; six bytes an instruction, slots by number."""
    assert len(PROGRAMS) == steps.END
    starts, body = b"", b""
    for program in PROGRAMS:
        starts += (2 * len(PROGRAMS) + len(body)).to_bytes(2, "little")
        for code, *slots, m, n in program:
            body += bytes((code, *map(SLOT_NAMES.index, slots), m + BIAS, n + BIAS))
        body += bytes((STOP,))
    return starts + body


def half(offset: int) -> str:
    """A halfword of the scratch memory."""
    return f"P[{offset // 2}]"


def word(offset: int) -> str:
    return f"ptr32(P)[{offset // 4}]"


def column(product: int, number: int) -> str:
    return word(product + 2 * HALF + 4 * number)


def second_operand(limb: str) -> Iterator[str]:
    """The second operand's low half, high half, and their sum."""
    for i in range(LIMBS):
        yield f"{half((LOW if i < HALF else HIGH) + 2 * (i % HALF))} = {limb.format(i)}"
    for i in range(HALF):
        yield f"{half(SUM + 2 * i)} = {half(LOW + 2 * i)} + {half(HIGH + 2 * i)}"


def first_operand_sum() -> Iterator[str]:
    for i in range(HALF):
        yield f"{half(SUM_A + 2 * i)} = a[{i}] + a[{i + HALF}]"


def rows(squared: bool) -> Iterator[str]:
    """Ten limbs of a by ten limbs of the second operand, row by row; when squared, that operand is the doubled a, and a
    row begins at the diagonal with the single square."""
    begun = set()
    for i in range(HALF):
        yield f"x = a[{i}]"
        for j in range(i if squared else 0, HALF):
            product = "x * x" if squared and i == j else f"{half(2 * j)} * x"
            more = f" + {column(LOW, i + j)}" if i + j in begun else ""
            yield f"{column(LOW, i + j)} = {product}{more}"
            begun.add(i + j)


def three_products(squared: bool) -> Iterator[str]:
    """Karatsuba: low by low, high by high, sum by sum, by moving the pointers on.

    A sum by sum may pass 2^31; what counts is its difference to the other two, which is right modulo 2^32.
    """
    yield "product = 0"
    yield "while product < 3:"
    yield from (f" {line}" for line in rows(squared))
    yield f" P = ptr16(int(P) + {BLOCK_BYTES})"
    yield f" a = ptr16(int(a) + {2 * HALF})"
    yield " product += 1"
    yield " if product == 2:"
    yield f"  a = ptr16(base + {SUM_A})"
    yield "P = ptr16(base)"


def column_terms(number: int) -> Iterator[str]:
    """What falls into one column of a b + q p: Karatsuba's three products, then q times the powers of two of p."""
    inside = range(COLUMN_COUNT)
    if number in inside:
        yield f"x = {column(LOW, number)} + x"
    if number - LIMBS in inside:
        yield f"x = {column(HIGH, number - LIMBS)} + x"
    if number - HALF in inside:
        yield f"x = {column(SUM, number - HALF)} + x"
        yield f"x = x - {column(LOW, number - HALF)}"
        yield f"x = x - {column(HIGH, number - HALF)}"
    for sign, limb, shift in POWERS_OF_P:
        if number - limb in range(LIMBS):
            term = f"({half(QUOTIENT + 2 * (number - limb))} << {shift})"
            yield f"x = {term} + x" if sign > 0 else f"x = x - {term}"


def reduce() -> Iterator[str]:
    """Montgomery: the low twenty columns are the quotient, the high ones the result."""
    yield "x = 0"
    for number in range(2 * LIMBS - 1):
        yield from column_terms(number)
        target = half(QUOTIENT + 2 * number) if number < LIMBS else f"out[{number - LIMBS}]"
        yield f"{target} = x & {MASK}"
        yield f"x = x >> {LIMB_BITS}"
    yield f"out[{LIMBS - 1}] = x"


def linear() -> Iterator[str]:
    """m a + n b - q p in one pass; q, from the top limbs, is never too great, so the result is never negative.

    The limbs below are worth less than 16 units of the top limb, hence the 32; 9 bits of it lie below 2^256.
    """
    top = LIMBS - 1
    yield "P = a"
    yield f"x = P[{top}] * m + b[{top}] * n - 32 >> {256 % LIMB_BITS}"
    yield "q = x"  # minus q times the -1 in p
    for i in range(LIMBS):
        yield f"x = P[{i}] * m + x"
        yield f"x = b[{i}] * n + x"
        for sign, limb, shift in POWERS_OF_P:
            if limb == i:
                yield f"x = x - (q << {shift})" if sign > 0 else f"x = (q << {shift}) + x"
        yield f"out[{i}] = x & {MASK}"
        yield f"x = x >> {LIMB_BITS}"
    yield "P = ptr16(base)"


def move_slots() -> Iterator[str]:
    """Between the slots and the entry that the next digit names; `sign` remembers the digit's."""
    yield "digit = digits[0]"
    yield "digits = ptr8(int(digits) + 1)"
    yield f"if code == {FROM_BASE}:"
    yield f" sign = (digit >> {TEETH - 1} & 1) - 1"
    yield f" digit = ((digit ^ sign) & {(1 << TEETH - 1) - 1}) + (digit >> {TEETH} << {TEETH - 1})"
    yield f" entry = ptr16(int(base_entries) + digit * {BASE_SLOTS * SLOT_BYTES})"
    yield "else:"
    yield f" sign = (digit >> {steps.WIDTH - 1}) - 1"
    yield f" digit = (digit ^ sign) & {steps.MULTIPLES - 1}"
    yield f" entry = ptr16(int(multiples) + digit * {MULTIPLE_SLOTS * SLOT_BYTES})"
    yield f"if code == {TO_MULTIPLES}:"
    yield " out = entry"
    yield " entry = a"
    yield "while n > 0:"
    yield from (f" out[{i}] = entry[{i}]" for i in range(4))
    yield " out = ptr16(int(out) + 8)"
    yield " entry = ptr16(int(entry) + 8)"
    yield " n -= 1"


def when(condition: str, *blocks: Iterator[str]) -> Iterator[str]:
    yield f"if {condition}:"
    for block in blocks:
        yield from (f" {line}" for line in block)


def machine() -> Iterator[str]:
    """The one viper function: carries out steps up to their END. The second argument is only a register's name."""
    yield "@micropython.viper"
    yield "def run(P: ptr16, x: int, step: ptr8, digits: ptr8, programs: ptr8, base_entries: ptr8, multiples: ptr8):"
    operands = enumerate(("out", "a", "b"), 1)
    body = [
        "base = int(P)",
        "sign = 0",
        "empty = 1",
        "while True:",
        " number = step[0]",
        " step = ptr8(int(step) + 1)",
        f" if number == {steps.END}:",
        "  return",
        f" if number == {steps.DOUBLE}:",
        "  if empty:",
        "   continue",
        f" if number == {steps.ADD_BASE} or number == {steps.ADD_MULTIPLE}:",
        f"  if digits[0] == {steps.NONE} and number == {steps.ADD_MULTIPLE}:",
        "   digits = ptr8(int(digits) + 1)",
        "   continue",
        "  if empty:",
        f"   number += {steps.START_BASE - steps.ADD_BASE}",
        "  empty = 0",
        " program = ptr8(int(programs) + ptr16(programs)[number])",
        " while True:",
        "  code = program[0]",
        f"  if code == {STOP}:",
        "   break",
        *(f"  {name} = ptr16(base + {SLOTS} + program[{i}] * {SLOT_BYTES})" for i, name in operands),
        f"  m = program[4] - {BIAS}",
        f"  n = program[5] - {BIAS}",
        "  program = ptr8(int(program) + 6)",
    ]
    blocks = (
        when(f"code == {MULTIPLY}", second_operand("b[{}]")),
        when(f"code == {SQUARE}", second_operand("a[{}] << 1")),
        when(f"code <= {SQUARE}", first_operand_sum()),
        when(f"code == {MULTIPLY}", three_products(squared=False)),
        when(f"code == {SQUARE}", three_products(squared=True)),
        when(f"code <= {SQUARE}", reduce()),
        when(f"code == {SIGNED}", iter(("m = (sign << 1) + 1", f"code = {LINEAR}"))),
        when(f"code == {LINEAR}", linear()),
        when(f"code > {SIGNED}", move_slots()),
    )
    yield from (f" {line}" for line in body)
    for block in blocks:
        yield from (f"   {line}" for line in block)


def division_steps() -> Iterator[str]:
    """The matrix (u v; q r) of so many division steps on the lowest limbs of f and g.

    It is kept as top = u + v 2^16 and bottom = q + r 2^16, for whatever is done to u is done to v.
    """
    yield from ("f = w[0]", f"x = w[{INVERSE_LIMBS}]", "top = 1", "bottom = 1 << 16", "i = 0")
    yield f"while i < {INVERSE_BITS}:"
    yield " negative = zeta >> 30"
    yield " odd = 0 - (x & 1)"
    yield " x = (((f ^ negative) - negative) & odd) + x"  # x: g
    yield " bottom = (((top ^ negative) - negative) & odd) + bottom"
    yield " negative = negative & odd"
    yield " zeta = (zeta ^ negative) - 1"
    yield " f = (x & negative) + f"
    yield " top = (bottom & negative) + top << 1"
    yield " x = x >> 1"
    yield " i += 1"
    for low, high, both in (("u", "v", "top"), ("q", "r", "bottom")):
        yield f"{low} = (({both} & 65535) ^ 32768) - 32768"
        yield f"{high} = {both} - {low} >> 16"


def apply_matrix(offset: int, modular: bool) -> Iterator[str]:
    """(f, g) or (d, e) times the matrix, over 2^14; m and n times the modulus make d and e divisible.

    They are in two's complement: a sign counts as one limb more, above the top limb.
    """
    bits, limbs, mask = INVERSE_BITS, INVERSE_LIMBS, (1 << INVERSE_BITS) - 1
    yield f"w = ptr16(base + {offset})"
    yield f"minus = w[{limbs - 1}] >> {bits - 1}"
    yield f"minus2 = w[{2 * limbs - 1}] >> {bits - 1}"
    yield f"x = u * w[0] + v * w[{limbs}]"
    yield f"y = q * w[0] + r * w[{limbs}]"
    if modular:
        yield f"modulus = ptr16(base + {8 * limbs})"
        for factor, sum_, one, other in (("m", "x", "u", "v"), ("n", "y", "q", "r")):
            yield f"{factor} = {one} * minus + {other} * minus2"
            yield f"{factor} = {factor} - (inverse * ({sum_} & {mask}) + {factor} & {mask})"
            yield f"{sum_} = modulus[0] * {factor} + {sum_}"
    yield f"x = x >> {bits}"
    yield f"y = y >> {bits}"
    yield "i = 0"
    yield f"while i < {limbs - 1}:"
    for i in range(UNROLLED):
        yield f" x = u * w[{i + 1}] + x"
        yield f" x = v * w[{limbs + i + 1}] + x"
        yield f" y = q * w[{i + 1}] + y"
        yield f" y = r * w[{limbs + i + 1}] + y"
        if modular:
            yield f" x = modulus[{i + 1}] * m + x"
            yield f" y = modulus[{i + 1}] * n + y"
        for at, sum_ in ((i, "x"), (limbs + i, "y")):
            yield f" w[{at}] = {sum_} & {mask}"
            yield f" {sum_} = {sum_} >> {bits}"
    yield f" w = ptr16(int(w) + {2 * UNROLLED})"
    if modular:
        yield f" modulus = ptr16(int(modulus) + {2 * UNROLLED})"
    yield f" i += {UNROLLED}"
    yield f"w[0] = x - u * minus - v * minus2 & {mask}"
    yield f"w[{limbs}] = y - q * minus - r * minus2 & {mask}"


def divide() -> Iterator[str]:
    """Inversion by Bernstein and Yang's division steps: no branch and no address depends on the numbers."""
    yield "@micropython.viper"
    yield "def divide(w: ptr16, x: int, inverse: int):"
    yield " base = int(w)"
    yield " zeta = -1"  # -(delta + 1/2)
    yield " round = 0"
    yield f" while round < {INVERSE_ROUNDS}:"
    yield "  w = ptr16(base)"
    yield from (f"  {line}" for line in division_steps())
    yield from (f"  {line}" for line in apply_matrix(0, modular=False))
    yield from (f"  {line}" for line in apply_matrix(4 * INVERSE_LIMBS, modular=True))
    yield "  round += 1"


def field_file() -> str:
    numbers = {
        "MEMORY_BYTES": MEMORY_BYTES,
        "SLOTS": SLOTS,
        "SLOT_BYTES": SLOT_BYTES,
        "Z": SLOT_NAMES.index("Z"),
        "ONE": SLOT_NAMES.index("one"),
        "INVERSE_BITS": INVERSE_BITS,
        "INVERSE_LIMBS": INVERSE_LIMBS,
        "MULTIPLES_BYTES": steps.MULTIPLES * MULTIPLE_SLOTS * SLOT_BYTES,
        "LIMB_BITS": LIMB_BITS,
        "LIMBS": LIMBS,
    }
    text = doc(__file__, "Viper: a machine for numbers modulo p of P-256, its programs that add points, and inversion.")
    text += "import micropython\n\n"
    text += "".join(f"{name} = {value}\n" for name, value in numbers.items())
    text += "PROGRAMS = " + literal(programs())
    return text + "".join("\n\n" + "\n".join(function) + "\n" for function in (machine(), divide()))


if __name__ == "__main__":
    Path(__file__).with_name("field.py").write_text(field_file())
