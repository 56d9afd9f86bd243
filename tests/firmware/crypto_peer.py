"""What tests ask of firmware/crypto, run on MicroPython and CPython: one question a line in, one answer a line out.

Owns: nothing but the passing on. The argument is the kind of points to take: viper, bigint, or as found.
"""

import sys
from binascii import hexlify, unhexlify

from firmware.crypto import hmac, p256, points


def machine(program, *numbers):
    """Run instructions of field.py on numbers in its slots; the limbs of slot 0."""
    from firmware.crypto import field, limbs

    memory = bytearray(field.MEMORY_BYTES)
    for i, number in enumerate(numbers):
        at = (field.SLOTS + i * field.SLOT_BYTES) // 2
        limbs.unpack(number, memory, at, field.LIMB_BITS, field.LIMBS)
    start = bytes((0,) * 10 + (12, 0))  # step 5 is the program behind these twelve bytes
    field.run(memory, 0, b"\x05\x08", b"", start + program + b"\x07", memory, memory)
    return bytes(memory[field.SLOTS : field.SLOTS + field.SLOT_BYTES])


def number(data):
    return int.from_bytes(data, "big")


QUESTIONS = {
    "kind": lambda: points.kind.NAME.encode(),
    "public": p256.public_key,
    "sign": p256.sign,
    "verify": lambda *given: bytes((p256.verify(*given),)),
    "ecdh": p256.ecdh,
    "invert": lambda a, modulus: points.kind.invert(number(a), number(modulus)).to_bytes(32, "big"),
    "hmac": hmac.hmac_sha256,
    "hkdf": lambda secret, salt, info, length: hmac.hkdf_sha256(secret, salt, info, number(length)),
    "machine": machine,
}


def main():
    if sys.argv[1] == "bigint":
        from firmware.crypto import points_bigint

        points.use(points_bigint)
    for line in sys.stdin:
        name, *given = line.split()
        try:
            answer = hexlify(QUESTIONS[name](*[unhexlify(word[1:]) for word in given])).decode()
        except ValueError:
            answer = "refused"
        print(answer)


main()
