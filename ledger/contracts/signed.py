"""Signatures inside transactions: the words of devices, gateways and keys not yet known, checked where they are used.

Owns: opening an envelope under one public key, or under the key that it carries.
Refuses: (through wire) every wrong shape, key, domain or signature.
Invariant: a public key comes from the chain's own state, or the payload is its holder's word on itself.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey

from wire import cbor, envelope
from wire.chain import keys
from wire.errors import WireError
from wire.ids import id_text, kid_of

_point = lru_cache(4_096)(keys.point)


class OneOf:
    """A Verifier for the keys given."""

    def __init__(self, public_keys: Iterable[bytes]) -> None:
        self._by_kid = {kid_of(key): key for key in public_keys}

    def verify(self, kid: bytes, message: bytes, signature: bytes) -> None:
        key = self._by_kid.get(kid)
        if key is None:
            raise WireError("unknown-key", id_text(kid))
        keys.verify(key_object(key), message, signature)


def key_object(public_key: bytes) -> EllipticCurvePublicKey:
    return _point(public_key)


def open_under(raw: bytes, domain: str, *public_keys: bytes) -> bytes:
    return envelope.open_signed(raw, OneOf(public_keys), domain)


def open_self(raw: bytes, domain: str, key_field: int) -> bytes:
    """The payload of an envelope that is signed by the public key in its own field `key_field`."""
    split = envelope.split(raw)
    fields = cbor.decode(split.payload)
    key = fields.get(key_field) if isinstance(fields, dict) else None
    if not isinstance(key, bytes):
        raise WireError("missing-field", f"{key_field}")
    return split.check(OneOf([key]), domain)
