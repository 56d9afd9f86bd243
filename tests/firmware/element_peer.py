"""The driver's side of test_crypto_signer.py: an ATECC608 driver on a bus that is the other end of this pipe.

Owns: nothing; every transfer and every sleep is one question, every answer one line.
"""

import sys
from binascii import hexlify, unhexlify

from firmware.crypto.atecc608 import Atecc608, Atecc608Signer, ElementError


def ask(*words):
    print("?", *words)
    if sys.implementation.name == "cpython":
        sys.stdout.flush()
    return sys.stdin.readline().strip()


class Bus:
    def _transfer(self, address, data, count):
        answer = ask("transfer", address, hexlify(bytes(data)).decode() or "-", count)
        if answer[0] == "!":
            raise OSError(int(answer[1:]))
        return unhexlify(answer[1:])

    def writeto(self, address, data):
        self._transfer(address, data, 0)

    def readfrom(self, address, count):
        return self._transfer(address, b"", count)


part = Atecc608(Bus(), lambda ms: ask("sleep", ms))


def do(what, *given):
    if what == "signer":
        signer = Atecc608Signer(part, 0)
        return signer.kid + signer.public_key
    if what == "sign":
        return Atecc608Signer(part, 0).sign(given[0])
    if what == "shared":
        return Atecc608Signer(part, 0).shared_secret(given[0])
    if what == "generate":
        return part.generate(0)
    part.check()
    return b""


while True:
    line = sys.stdin.readline().split()
    if not line:
        break
    try:
        print("=", hexlify(do(line[0], *[unhexlify(word[1:]) for word in line[1:]])).decode())
    except ElementError as error:
        print("!", error.status, error.args[0])
    except ValueError as error:
        print("! refused", error)
    if sys.implementation.name == "cpython":
        sys.stdout.flush()
