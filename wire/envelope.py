"""The one envelope: COSE_Sign1 with ES256 for what is signed, COSE_Mac0 with HMAC-SHA256 for what goes down to devices.

Owns: building and splitting both (RFC 9052), the bytes that are signed and MACed, the domains in external_aad.
Refuses: any shape but the one we write: tag, protected {1: alg, 4: kid}, unprotected empty, payload, proof.
Invariant: a signature for one domain never passes for another; identity is the signed content, never these bytes.
"""

from wire import cbor
from wire.errors import WireError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    class Signer(Protocol):
        """A P-256 key that signs. On a device it never leaves flash or the secure element."""

        @property
        def kid(self) -> bytes: ...
        def sign(self, message: bytes) -> bytes:
            """r ‖ s, 64 bytes, over SHA-256 of `message`."""
            ...

    class Verifier(Protocol):
        """Knows public keys by kid."""

        def verify(self, kid: bytes, message: bytes, signature: bytes) -> None:
            """Raises WireError: unknown-key, bad-signature-length, signature-range, bad-signature."""
            ...

    class Macer(Protocol):
        """Knows the key that two parties share, by the kid of the one who sends."""

        @property
        def kid(self) -> bytes: ...
        def mac(self, kid: bytes, message: bytes) -> bytes:
            """HMAC-SHA256, 32 bytes. Raises WireError unknown-key."""
            ...


KID_BYTES = 8
SIGN1_HEAD = b"\xd2\x84\x4d\xa2\x01\x26\x04\x48"  # tag 18, array of 4, 13 bytes: {1: -7 ES256, 4: kid of 8 bytes
MAC0_HEAD = b"\xd1\x84\x4d\xa2\x01\x05\x04\x48"  # tag 17, likewise: {1: 5 HMAC 256/256, 4: kid

_BODY = len(SIGN1_HEAD) + KID_BYTES + 1  # where the payload begins: behind the kid and the empty map
_SIGNATURE = b"\x58\x40"
_MAC = b"\x58\x20"


class Signed:
    """A split COSE_Sign1, its signature not yet checked."""

    def __init__(self, kid: bytes, payload: bytes, signature: bytes) -> None:
        self.kid = kid
        self.payload = payload
        self.signature = signature

    def check(self, verifier: "Verifier", domain: str) -> bytes:
        """The payload, once its signature holds for this domain."""
        verifier.verify(self.kid, to_sign(self.kid, domain, self.payload), self.signature)
        return self.payload


def to_sign(kid: bytes, domain: str, payload: bytes) -> bytes:
    """Sig_structure, RFC 9052 section 4.4."""
    return b"\x84\x6aSignature1\x4d\xa2\x01\x26\x04\x48" + kid + _texts(domain, payload)


def to_mac(kid: bytes, domain: str, payload: bytes) -> bytes:
    """MAC_structure, RFC 9052 section 6.3."""
    return b"\x84\x64MAC0\x4d\xa2\x01\x05\x04\x48" + kid + _texts(domain, payload)


def _texts(domain: str, payload: bytes) -> bytes:
    aad = domain.encode()
    return cbor.head(cbor.BYTES, len(aad)) + aad + cbor.head(cbor.BYTES, len(payload)) + payload


def sign(signer: "Signer", domain: str, payload: bytes) -> bytes:
    signature = signer.sign(to_sign(signer.kid, domain, payload))
    return _build(SIGN1_HEAD, signer.kid, payload, _SIGNATURE, signature)


def mac(macer: "Macer", domain: str, payload: bytes) -> bytes:
    code = macer.mac(macer.kid, to_mac(macer.kid, domain, payload))
    return _build(MAC0_HEAD, macer.kid, payload, _MAC, code)


def _build(head: bytes, kid: bytes, payload: bytes, proof_head: bytes, proof: bytes) -> bytes:
    assert len(kid) == KID_BYTES
    return head + kid + b"\xa0" + cbor.head(cbor.BYTES, len(payload)) + payload + proof_head + proof


def split(data: bytes) -> Signed:
    """Takes a COSE_Sign1 apart; whose it is and whether it holds is not said yet."""
    payload, signature = _split(data, SIGN1_HEAD, _SIGNATURE, 64, "not-signed")
    return Signed(data[len(SIGN1_HEAD) : _BODY - 1], payload, signature)


def open_signed(data: bytes, verifier: "Verifier", domain: str) -> bytes:
    return split(data).check(verifier, domain)


def open_mac(data: bytes, macer: "Macer", domain: str) -> bytes:
    """The payload of a COSE_Mac0, once its MAC holds for this domain."""
    payload, code = _split(data, MAC0_HEAD, _MAC, 32, "not-maced")
    kid = data[len(MAC0_HEAD) : _BODY - 1]
    wanted = macer.mac(kid, to_mac(kid, domain, payload))
    differ = 0
    for a, b in zip(code, wanted):  # the same time whichever byte differs
        differ |= a ^ b
    if differ:
        raise WireError("bad-mac")
    return payload


def unwrap_mac(data: bytes) -> bytes:
    """The payload of a COSE_Mac0 for who does not share the key: only the shape is checked."""
    return _split(data, MAC0_HEAD, _MAC, 32, "not-maced")[0]


def _split(data: bytes, head: bytes, proof_head: bytes, proof_size: int, reason: str) -> "tuple[bytes, bytes]":
    if len(data) <= _BODY:
        raise WireError("truncated", "", len(data))
    if data[: len(head)] != head:
        raise WireError(reason, "its head is not %s" % head.hex(), 0)
    first = data[_BODY]
    if data[_BODY - 1] != 0xA0 or not cbor.BYTES <= first < cbor.TEXT:
        raise WireError(reason, "after the kid belong an empty map and a byte string", _BODY - 1)
    size = first - cbor.BYTES
    start = _BODY + 1
    if size >= 24:
        try:
            size, start = cbor.argument(data, _BODY)
        except IndexError:
            raise WireError("truncated", "", len(data)) from None
    end = start + size
    whole = end + 2 + proof_size
    if len(data) < whole:
        raise WireError("truncated", "", len(data))
    if data[end : end + 2] != proof_head:
        raise WireError("bad-signature-length" if head is SIGN1_HEAD else reason, "%d bytes" % proof_size, end)
    if len(data) > whole:
        raise WireError("trailing", "%d bytes too many" % (len(data) - whole), whole)
    return data[start:end], data[end + 2 :]
