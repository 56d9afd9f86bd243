# ruff: noqa: F821
"""Numbers as limbs, in viper: packing, digits, inversion, HMAC's pads. Only on ports with a native emitter.

Owns: the way between numbers and the limbs of `field.py`, and `invert` around its division steps.
Refuses: an even modulus, or one of more than 256 bits (unchecked).
Invariant: neither the operations nor their order depend on the numbers.
"""

import micropython

from firmware.crypto import field

_BITS = field.INVERSE_BITS
_LIMBS = field.INVERSE_LIMBS
_BYTES = 34  # of so many limbs, rounded up


@micropython.viper
def unpack(source: ptr8, target: ptr16, start: int, bits: int, count: int):
    """Little-endian bytes to limbs, from target[start] on."""
    target = ptr16(int(target) + start * 2)
    mask = (1 << bits) - 1
    rest = 0
    have = 0
    i = 0
    while i < count:
        while have < bits:
            rest |= source[0] << have
            source = ptr8(int(source) + 1)
            have += 8
        target[i] = rest & mask
        rest >>= bits
        have -= bits
        i += 1


@micropython.viper
def pack(source: ptr16, start: int, bits: int, count: int, target: ptr8):
    """Limbs from source[start] on to little-endian bytes."""
    source = ptr16(int(source) + start * 2)
    rest = 0
    have = 0
    i = 0
    while i < count:
        rest |= source[i] << have
        have += bits
        i += 1
        while have >= 8:
            target[0] = rest
            target = ptr8(int(target) + 1)
            rest >>= 8
            have -= 8
    if have:
        target[0] = rest


@micropython.viper
def gather(scalar: ptr8, width: int, stride: int, offsets: ptr8, digits: ptr8, count: int):
    """Put before each digit's mark the bits offset, offset + stride .. of a little-endian scalar."""
    i = 0
    while i < count:
        digit = 0
        at = 0
        bit = offsets[i]
        while at < width:
            digit |= (scalar[bit >> 3] >> (bit & 7) & 1) << at
            bit += stride
            at += 1
        digits[i] |= digit
        i += 1


@micropython.viper
def sparse(scalar: ptr8, digits: ptr8):
    """From the lowest bit on: an odd window of five bits is a digit of -15 .. 15, and the rest goes on with a carry."""
    carry = 0
    clear = 0  # bits that the last digit has taken
    at = 0
    while at < 257:
        bits = (scalar[at >> 3] | scalar[(at >> 3) + 1] << 8) >> (at & 7) & 31
        digit = 16  # NONE of steps.py
        if clear:
            clear -= 1
        elif bits & 1 != carry:
            bits += carry
            carry = bits >> 4
            digit = bits >> 1 ^ 8
            clear = 4
        digits[256 - at] = digit
        at += 1


@micropython.viper
def pad(key: ptr8, size: int, byte: int, block: ptr8):
    """64 bytes: the key xored with a byte, then that byte."""
    i = 0
    while i < size:
        block[i] = key[i] ^ byte
        i += 1
    while i < 64:
        block[i] = byte
        i += 1


def invert(number: int, modulus: int) -> int:
    """1/number modulo an odd modulus of at most 256 bits; 0 for 0. The same work for every number."""
    w = bytearray(5 * 2 * _LIMBS)  # f, g, d, e, modulus
    unpack(modulus.to_bytes(_BYTES, "little"), w, 0, _BITS, _LIMBS)
    unpack((number % modulus).to_bytes(_BYTES, "little"), w, _LIMBS, _BITS, _LIMBS)
    w[6 * _LIMBS] = 1
    w[8 * _LIMBS :] = w[: 2 * _LIMBS]
    mask = (1 << _BITS) - 1
    odd = modulus & mask
    inverse = odd  # right to 3 bits; each of Newton's steps doubles them
    for _ in range(3):
        inverse = inverse * (2 - odd * inverse) & mask
    field.divide(w, 0, inverse)
    raw = bytearray(_BYTES)
    pack(w, 2 * _LIMBS, _BITS, _LIMBS, raw)
    result = int.from_bytes(raw, "little") - (w[6 * _LIMBS - 1] >> 5 << _BITS * _LIMBS)
    return (result if w[1] == 0 else -result) % modulus  # f is 1 or -1; for 0 it is the modulus, and the result 0
