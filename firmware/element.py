"""Keys that live in an ATECC608: made there, used there.

Owns: which slot of the chip holds which key. Refuses: a chip that is not configured (its driver says so).
Invariant: a rotation's new key goes into the slot that the key in use does not stand in.
"""

from firmware.crypto.atecc608 import Atecc608, Atecc608Signer

SLOTS = (0, 1)


class ElementVault:
    """See `firmware.keys.FlashVault`: what is kept on flash of a key is the number of its slot."""

    def __init__(self, board, element):
        self._part = Atecc608(board.i2c(element["bus"]), board.sleep_ms, element["address"])
        self._part.check()

    def make(self, beside):
        slot = SLOTS[1] if beside is not None and beside[0] == SLOTS[0] else SLOTS[0]
        return bytes((slot,)) + bytes(31), self._part.generate(slot)

    def signer(self, kept, public_key):
        return Atecc608Signer(self._part, kept[0])
