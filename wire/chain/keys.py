"""P-256 keys on hosts, on `cryptography`.

Owns: private keys (PEM in and out), the host's Signer and Verifier, the key that two parties share, raw public keys.
Refuses: points off the curve, signatures of the wrong length or range, a second key with a known kid; each by reason.
Invariant: high and low s are both valid; identity is never in the signature's bytes.
"""

from __future__ import annotations

from collections import OrderedDict
from hashlib import sha256

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.hmac import HMAC
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from wire.errors import WireError
from wire.ids import kid_of

ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
MAC_INFO = b"tallygrid/mac/1"
_ES256 = ec.ECDSA(hashes.SHA256(), deterministic_signing=True)
_ES256_CHECK = ec.ECDSA(hashes.SHA256())


class PrivateKey:
    """A Signer and, towards any public key, the source of a shared MAC key."""

    def __init__(self, key: ec.EllipticCurvePrivateKey) -> None:
        self._key = key
        self.public_key = key.public_key().public_bytes(
            serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
        )
        self.kid = kid_of(self.public_key)

    @classmethod
    def generate(cls) -> PrivateKey:
        return cls(ec.generate_private_key(ec.SECP256R1()))

    @classmethod
    def derive(cls, *words: str | bytes) -> PrivateKey:
        """The same key for the same words: for simulations with a seed. Never for a key that guards anything."""
        seed = sha256("tallygrid derived key".encode())
        for word in words:
            raw = word if isinstance(word, bytes) else word.encode()
            seed.update(len(raw).to_bytes(4, "big") + raw)
        return cls.from_secret((int.from_bytes(seed.digest(), "big") % (ORDER - 1) + 1).to_bytes(32, "big"))

    @classmethod
    def from_secret(cls, secret: bytes) -> PrivateKey:
        number = int.from_bytes(secret, "big")
        if len(secret) != 32 or not 0 < number < ORDER:
            raise WireError("bad-key-length", "a private key is 32 bytes, above 0 and below the order of the group")
        return cls(ec.derive_private_key(number, ec.SECP256R1()))

    @classmethod
    def from_pem(cls, pem: bytes, password: bytes | None = None) -> PrivateKey:
        """ValueError or TypeError, as `cryptography` raises them, where the file or the password is wrong."""
        key = serialization.load_pem_private_key(pem, password)
        if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
            raise ValueError("not a P-256 key")
        return cls(key)

    def to_pem(self, password: bytes | None = None) -> bytes:
        how: serialization.KeySerializationEncryption = serialization.NoEncryption()
        if password is not None:
            how = serialization.BestAvailableEncryption(password)
        return self._key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, how)

    def secret(self) -> bytes:
        return self._key.private_numbers().private_value.to_bytes(32, "big")

    def sign(self, message: bytes) -> bytes:
        r, s = decode_dss_signature(self._key.sign(message, _ES256))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")

    def mac_key(self, peer_public_key: bytes) -> bytes:
        """ECDH, then HKDF-SHA256: what this key and a peer's share, for COSE_Mac0 in either direction."""
        shared = self._key.exchange(ec.ECDH(), point(peer_public_key))
        return HKDF(hashes.SHA256(), 32, salt=None, info=MAC_INFO).derive(shared)


def point(public_key: bytes) -> ec.EllipticCurvePublicKey:
    kid_of(public_key)  # length and form
    try:
        return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), public_key)
    except ValueError:
        raise WireError("not-on-curve", "this is no point of P-256") from None


def verify(key: ec.EllipticCurvePublicKey, message: bytes, signature: bytes) -> None:
    if len(signature) != 64:
        raise WireError("bad-signature-length", f"{len(signature)} bytes, 64 wanted")
    r = int.from_bytes(signature[:32], "big")
    s = int.from_bytes(signature[32:], "big")
    if not (0 < r < ORDER and 0 < s < ORDER):
        raise WireError("signature-range", "r and s are above 0 and below the order of the group")
    try:
        key.verify(encode_dss_signature(r, s), message, _ES256_CHECK)
    except InvalidSignature:
        raise WireError("bad-signature") from None


class KeyRing:
    """A Verifier: public keys by kid. Raw points, and the objects of the keys lately used (2 kB each)."""

    def __init__(self, objects_max: int = 4_096) -> None:
        self._points: dict[bytes, bytes] = {}
        self._objects: OrderedDict[bytes, ec.EllipticCurvePublicKey] = OrderedDict()
        self._objects_max = objects_max

    def add(self, public_key: bytes) -> bytes:
        """The key's kid. Adding the same key again changes nothing."""
        kid = kid_of(public_key)
        known = self._points.get(kid)
        if known is None:
            point(public_key)
            self._points[kid] = public_key
        elif known != public_key:
            raise WireError("known-kid", kid.hex())
        return kid

    def remove(self, kid: bytes) -> None:
        self._points.pop(kid, None)
        self._objects.pop(kid, None)

    def public_key(self, kid: bytes) -> bytes:
        try:
            return self._points[kid]
        except KeyError:
            raise WireError("unknown-key", kid.hex()) from None

    def __contains__(self, kid: bytes) -> bool:
        return kid in self._points

    def __len__(self) -> int:
        return len(self._points)

    def verify(self, kid: bytes, message: bytes, signature: bytes) -> None:
        key = self._objects.get(kid)
        if key is None:
            key = point(self.public_key(kid))
            self._objects[kid] = key
            if len(self._objects) > self._objects_max:
                self._objects.popitem(last=False)
        else:
            self._objects.move_to_end(kid)
        verify(key, message, signature)


class SharedKey:
    """A Macer for one pair: the sender's kid and the key both derived."""

    def __init__(self, kid: bytes, key: bytes) -> None:
        self.kid = kid
        self._key = key

    def mac(self, kid: bytes, message: bytes) -> bytes:
        if kid != self.kid:
            raise WireError("unknown-key", kid.hex())
        code = HMAC(self._key, hashes.SHA256())
        code.update(message)
        return code.finalize()
