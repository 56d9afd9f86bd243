"""How the device's keys are made, kept on flash, rotated and told of: what happens once, and is then given back.

Owns: the record `key` (first id, the key in use, the key of a rotation under way), the record `shared`, enrolment.
Refuses: nothing from outside comes in here.
Invariants: the private key is made on the device and never leaves it; shared keys are computed once for each peer.
"""

from hashlib import sha256

from firmware.crypto import p256
from firmware.crypto.hmac import hkdf_sha256
from firmware.crypto.signer import FlashSigner
from firmware.keys import Identity
from firmware.store import Slots
from wire import envelope
from wire.errors import WireError
from wire.ids import kid_of

_INFO = b"tallygrid/mac/1"
_KEY = 32 + 65  # what tells the vault which key it is, and the public key
_NONE = bytes(_KEY)


class FlashVault:
    """Private keys in the record itself. `firmware/element.py` has the vault whose keys never leave a chip."""

    def __init__(self, random):
        self._random = random

    def make(self, beside):
        """A new key: (what to keep on flash, public key). `beside` is what was kept of the key in use."""
        private = p256.generate(self._random)
        return private, p256.public_key(private)

    def signer(self, kept, public_key):
        return FlashSigner(kept, public_key)


def vault(base):
    if base.config.element is None:
        return FlashVault(base.board.random)
    from firmware.element import ElementVault

    return ElementVault(base.board, base.config.element)


def load(base):
    """The identity on flash, or a new one, with those it shares keys with."""
    base.identity = identity = Identity(base)
    record = Slots(base.files, "key").load()
    identity.new = record is None
    if identity.new:
        kept, public_key = vault(base).make(None)
        _keep(identity, kid_of(public_key) + kept + public_key + _NONE)
    else:
        _take(identity, record)
    know(identity)


def _keep(identity, record):
    slots = Slots(identity.base.files, "key")
    slots.load()
    slots.save(record)
    _take(identity, record)


def _take(identity, record):
    identity.record = record
    identity.id = record[:8]
    identity.signer = _signer(identity, record[8 : 8 + _KEY])
    after = record[8 + _KEY :]
    identity.next = None if after == _NONE else _signer(identity, after)
    identity.kid = identity.signer.kid


def _signer(identity, key):
    return vault(identity.base).signer(key[:32], key[32:])


def rotate(identity):
    """Makes the next key, or keeps the one that is under way."""
    if identity.next is None:
        kept, public_key = vault(identity.base).make(identity.record[8:40])
        _keep(identity, identity.record[: 8 + _KEY] + kept + public_key)
        know(identity)


def switch(identity):
    """The next key is the one in use from now on."""
    _keep(identity, identity.id + identity.record[8 + _KEY :] + _NONE)
    for keys in identity.peers.values():
        keys.pop(0)


def know(identity):
    """Those who may send; their shared keys come from flash, or are computed."""
    config = identity.base.config
    public_keys = (config.gateway_key, config.dispatch_key)
    identity.gateway_kid, identity.dispatch_kid = [key and kid_of(key) for key in public_keys]
    slots = Slots(identity.base.files, "shared")
    record = slots.load() or b""
    held = {record[i : i + 16]: record[i + 16 : i + 48] for i in range(0, len(record), 48)}
    fresh = b""
    identity.peers = {}
    for own in (identity.signer, identity.next):
        for public_key in public_keys:
            if own is None or public_key is None:
                continue
            kid = kid_of(public_key)
            name = own.kid + kid
            try:
                key = held.get(name) or hkdf_sha256(own.shared_secret(public_key), b"", _INFO, 32)
            except ValueError:  # no point of the curve: nobody can hold that key
                continue
            identity.peers.setdefault(kid, []).append(key)
            if name not in fresh:
                fresh += name + key
    if fresh != record:
        slots.save(fresh)


def enrolment(base):
    """The signed enrolment; during a rotation the new key's, signed once more by the old one."""
    identity, config = base.identity, base.config
    key = identity.next or identity.signer
    manifest = base.files.read("manifest.json") or b""
    from wire import enrol  # only here: the rest of this module is used without it

    message = enrol.Enrolment(
        id=identity.id, public_key=key.public_key, role=enrol.ROLES.index(config.role), board=config.board,
        firmware=sha256(manifest).digest(),
    )  # fmt: skip
    signed = envelope.sign(key, message.DOMAIN, message.encode())
    if identity.next is not None:
        signed = envelope.sign(identity.signer, message.ROTATION_DOMAIN, signed)
    return signed


class Known:
    """The verifier that knows one key."""

    def __init__(self, public_key):
        self._public_key = public_key

    def verify(self, kid, message, signature):
        if self._public_key is None or kid_of(self._public_key) != kid:
            raise WireError("unknown-key")
        if not p256.verify(self._public_key, message, signature):
            raise WireError("bad-signature")
