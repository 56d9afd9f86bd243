"""The device's key in force, and the keys it shares with gateway and dispatch.

Owns: `Identity`: the signer, MACs, the moment in which a rotation's new key takes over.
Refuses: a MAC of a sender that config.json does not name.
Invariant: the id is that of the first key for ever. How keys are made, kept and told of: `firmware/keyring.py`.
"""

from firmware.crypto.hmac import hmac_sha256
from firmware.memory import once
from wire import envelope
from wire.errors import WireError


class Identity:
    """`signer` is in force, `next` the key of a rotation under way. `peers`: kid -> the keys shared, one of each."""

    def __init__(self, base):
        self.base = base
        self.record = b""
        self.new = False
        self.id = self.kid = b""
        self.signer = self.next = None
        self.gateway_kid = self.dispatch_kid = None
        self.peers = {}

    def mac(self, kid, message):
        return hmac_sha256(self._peer(kid)[0], message)

    def _peer(self, kid):
        if kid not in self.peers:
            raise WireError("unknown-key")
        return self.peers[kid]

    def open_mac(self, data, domain, kid):
        """The payload of a COSE_Mac0 of the sender `kid`. One that holds under the next key is a rotation's switch."""
        if data[len(envelope.MAC0_HEAD) :][:8] != kid:
            raise WireError("unknown-key")
        try:
            return envelope.open_mac(data, self, domain)
        except WireError as error:
            if error.reason != "bad-mac" or self.next is None:
                raise
        payload = envelope.open_mac(data, _Next(self), domain)
        once("firmware.keyring", "switch", self)
        return payload


class _Next:
    """The macer under the next key."""

    def __init__(self, identity):
        self._identity = identity

    def mac(self, kid, message):
        return hmac_sha256(self._identity._peer(kid)[1], message)
