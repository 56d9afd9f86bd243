"""What the Eastron meters share: float32 values as integers, without a float.

Owns: the arithmetic. Refuses: NaN, infinity, and what is too large to be a measurement.
Invariants: exact up to the rounding at the end (half away from zero), the same on boards whose floats have 32 bits.
"""

from . import RANGE, Fault


def scaled(high, low, scale):
    """The IEEE-754 value in two words, times scale, as an integer."""
    exponent = (high >> 7) & 0xFF
    if exponent > 158:  # 2^32 and more, infinity, NaN
        raise Fault(RANGE, high)
    shift = 150 - exponent
    if not exponent or shift > 60:
        return 0
    number = ((high & 0x7F | 0x80) << 16 | low) * scale
    number = (number + (1 << (shift - 1))) >> shift if shift > 0 else number << -shift
    return -number if high & 0x8000 else number
