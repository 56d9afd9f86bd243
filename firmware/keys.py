"""The device's key, who it is by it, and the keys it shares with gateway and dispatch.

Owns: the record `key` (first id, the key in use, the key of a rotation under way), enrolment, rotation, MACs.
Refuses: a MAC of a sender that config.json does not name.
Invariants: the private key is made on the device and never leaves it; the id is that of the first key for ever; shared
keys are computed once for each peer and kept on flash.
"""

from firmware.crypto import p256
from firmware.crypto.hmac import hkdf_sha256, hmac_sha256
from firmware.crypto.signer import FlashSigner
from firmware.memory import Borrowed
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


class Identity:
    """The signer in use, and the macer for what comes down: `mac(kid, message)` by the sender's kid."""

    def __init__(self, files, vault):
        self._files = files
        self._vault = vault
        self._slots = Slots(files, "key")
        self._peers = {}
        record = self._slots.load()
        self.new = record is None
        if self.new:
            kept, public_key = vault.make(None)
            record = kid_of(public_key) + kept + public_key + _NONE
            self._slots.save(record)
        self._take(record)

    def _take(self, record):
        self.id = record[:8]
        self._record = record
        self.signer = self._signer(record[8 : 8 + _KEY])
        after = record[8 + _KEY :]
        self.next = None if after == _NONE else self._signer(after)
        self.kid = self.signer.kid

    def _signer(self, key):
        return self._vault.signer(key[:32], key[32:])

    # ------------------------------------------------------------ MACs

    def know(self, peers):
        """The public keys of those who may send; their shared keys come from flash, or are computed."""
        slots = Slots(self._files, "shared")
        record = slots.load() or b""
        held = {record[i : i + 16]: record[i + 16 : i + 48] for i in range(0, len(record), 48)}
        fresh = b""
        self._peers = {}
        for own in (self.signer, self.next):
            for public_key in peers:
                if own is None or public_key is None:
                    continue
                kid = kid_of(public_key)
                name = own.kid + kid
                try:
                    key = held.get(name) or hkdf_sha256(own.shared_secret(public_key), b"", _INFO, 32)
                except ValueError:  # no point of the curve: nobody can hold that key
                    continue
                self._peers.setdefault(kid, []).append(key)
                if name not in fresh:
                    fresh += name + key
        if fresh != record:
            slots.save(fresh)

    def mac(self, kid, message):
        return hmac_sha256(self._peer(kid)[0], message)

    def _peer(self, kid):
        if kid not in self._peers:
            raise WireError("unknown-key", "a sender this device was not told of")
        return self._peers[kid]

    def open_mac(self, data, domain, kid):
        """The payload of a COSE_Mac0 of the sender `kid`. One that holds under the next key is a rotation's switch."""
        if data[len(envelope.MAC0_HEAD) :][:8] != kid:
            raise WireError("unknown-key", "not from who may send this")
        try:
            return envelope.open_mac(data, self, domain)
        except WireError as error:
            if error.reason != "bad-mac" or self.next is None:
                raise
        payload = envelope.open_mac(data, _Next(self), domain)
        self._switch()
        return payload

    # ------------------------------------------------------------ enrolment and rotation

    def enrolment(self, role, board, firmware):
        """The signed enrolment; during a rotation the new key's, signed once more by the old one."""
        key = self.next or self.signer
        with Borrowed("wire.enrol", "wire.settings") as enrol:
            message = enrol.Enrolment(
                id=self.id, public_key=key.public_key, role=enrol.ROLES.index(role), board=board, firmware=firmware
            )
            signed = envelope.sign(key, message.DOMAIN, message.encode())
            if self.next is not None:
                signed = envelope.sign(self.signer, message.ROTATION_DOMAIN, signed)
        return signed

    def rotate(self):
        """Makes the next key, or keeps the one that is under way."""
        if self.next is None:
            kept, public_key = self._vault.make(self._record[8:40])
            self._change(self._record[: 8 + _KEY] + kept + public_key)

    def _switch(self):
        self._change(self.id + self._record[8 + _KEY :] + _NONE)
        for keys in self._peers.values():
            keys.pop(0)

    def _change(self, record):
        self._slots.save(record)
        self._take(record)


class _Next:
    """The macer under the next key."""

    def __init__(self, identity):
        self._identity = identity

    def mac(self, kid, message):
        return hmac_sha256(self._identity._peer(kid)[1], message)


class Known:
    """The verifier that knows one key."""

    def __init__(self, public_key):
        self._public_key = public_key

    def verify(self, kid, message, signature):
        if self._public_key is None or kid_of(self._public_key) != kid:
            raise WireError("unknown-key", "not the key this device was told of")
        if not p256.verify(self._public_key, message, signature):
            raise WireError("bad-signature")
