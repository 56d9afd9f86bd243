"""What the rest of the firmware holds of the device's key: a signer.

Owns: the port, and the signer whose private key lies in flash (`atecc608.py` has the other one).
Refuses: storing the key: whoever makes a FlashSigner has it from the store.
Invariant: a signer never gives its private key away.

A signer has `kid` (8 bytes, see wire/ids.py), `public_key` (0x04 X Y, 65 bytes), `sign(message)`: r then s, 64 bytes,
over SHA-256 of the message, and `shared_secret(public_key)`: 32 bytes of ECDH, for HKDF, or ValueError for a bad key.
"""

from firmware.crypto import p256
from wire.ids import kid_of


class FlashSigner:
    def __init__(self, private: bytes, public_key: "bytes | None" = None) -> None:
        """A store that has kept the public key saves working it out anew."""
        self._private = private
        self.public_key = public_key or p256.public_key(private)
        self.kid = kid_of(self.public_key)

    def sign(self, message: bytes) -> bytes:
        return p256.sign(self._private, message)

    def shared_secret(self, public_key: bytes) -> bytes:
        return p256.ecdh(self._private, public_key)
