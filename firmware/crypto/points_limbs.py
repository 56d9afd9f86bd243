"""Points of P-256 by the viper machine of `field.py`. Only on ports with a native emitter.

Owns: one accumulator point, in Montgomery's form; see `points.py`.
Refuses: choosing steps, checking points.
Invariant: an addition that the formulas cannot do leaves Z = 0 for good, so `affine` never gives a wrong point.
"""

from firmware.crypto import comb_limbs, field, limbs, steps

TEETH, BLOCKS, ROWS = comb_limbs.TEETH, comb_limbs.BLOCKS, comb_limbs.ROWS
NAME = "viper limbs"

_P = 2**256 - 2**224 + 2**192 + 2**96 - 1
_R = 1 << field.LIMB_BITS * field.LIMBS
_INTO_MONTGOMERY = _R * _R % _P
_OUT_OF_MONTGOMERY = _R * _R * _R % _P

_memory = bytearray(field.MEMORY_BYTES)
_block = bytearray(64)

invert = limbs.invert


def pad(key: bytes, byte: int) -> bytearray:
    limbs.pad(key, len(key), byte, _block)
    return _block


def gather(scalar: int, width: int, stride: int, offsets: bytes, marks: bytes) -> bytes:
    digits = bytearray(marks)
    limbs.gather(scalar.to_bytes(34, "little"), width, stride, offsets, digits, len(digits))
    return digits


def sparse(scalar: int) -> bytearray:
    digits = bytearray(257)
    limbs.sparse(scalar.to_bytes(34, "little"), digits)
    return digits


def run(plan: bytes, digits: bytes, multiples: "bytearray | None" = None) -> None:
    field.run(_memory, 0, plan, digits, field.PROGRAMS, comb_limbs.ENTRIES, multiples or _memory)


def multiples_of(x: int, y: int) -> bytearray:
    multiples = _entry(field.MULTIPLES_BYTES, x, y, _INTO_MONTGOMERY)
    run(bytes((steps.ENTER, steps.STORE, steps.END)), b"\x08\x08", multiples)
    run(steps.ODD_MULTIPLES, steps.ODD_MULTIPLES_DIGITS, multiples)
    return multiples


def is_lost() -> bool:
    return _slot(field.Z) == 0


def has_x(x: int) -> bool:
    z = _slot(field.Z)
    return (x * z % _P * z - _slot(0) * _R) % _P == 0


def affine() -> "tuple[int, int]":
    factors = _entry(3 * field.SLOT_BYTES, invert(_slot(field.Z), _P), _OUT_OF_MONTGOMERY, 1)
    run(bytes((steps.LEAVE, steps.END)), b"\x08", factors)
    return _slot(0), _slot(1)


def _entry(size: int, *numbers: int) -> bytearray:
    """A table of so many bytes that begins with numbers."""
    table = bytearray(size)
    for i, number in enumerate(numbers):
        _unpack(number, table, i * field.SLOT_BYTES)
    return table


def _unpack(number: int, target: bytearray, offset: int) -> None:
    limbs.unpack(number.to_bytes(33, "little"), target, offset // 2, field.LIMB_BITS, field.LIMBS)


def _slot(index: int) -> int:
    raw = bytearray(33)
    limbs.pack(_memory, (field.SLOTS + index * field.SLOT_BYTES) // 2, field.LIMB_BITS, field.LIMBS, raw)
    return int.from_bytes(raw, "little") % _P


_unpack(_R % _P, _memory, field.SLOTS + field.ONE * field.SLOT_BYTES)
