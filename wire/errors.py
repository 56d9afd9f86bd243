"""What is wrong with bytes that a peer sent.

Owns: `WireError` and the closed list of reason codes that docs/spec.md explains.
Refuses: our own mistakes; those are asserts.
Invariant: every refusal of outside bytes, on device, gateway, ledger and tool, carries one of REASONS.
"""

REASONS = (
    # shape: these bytes are no message of ours
    "truncated",  # the item goes on behind the last byte
    "trailing",  # bytes are left behind the item
    "not-minimal",  # an integer or a length in more bytes than it needs
    "indefinite",  # a length that is not given
    "float",  # a number that is not an integer, or a simple value other than null
    "tag",  # a tag where none belongs
    "bad-text",  # text that is not clean UTF-8
    "bad-key",  # a map key that is no integer
    "key-order",  # map keys doubled or out of order
    "too-deep",  # nested deeper than the reader allows
    "too-big",  # longer than the reader allows
    "bad-type",  # a message that is no map or array where one belongs
    "missing-field",
    "unknown-field",
    "bad-field",  # a field of the wrong type or outside its range
    # envelope
    "not-signed",  # no COSE_Sign1 of the one shape we use
    "not-maced",  # no COSE_Mac0 of the one shape we use
    "bad-signature-length",
    "signature-range",  # r or s is 0 or not below the order of the group
    "bad-signature",
    "bad-mac",
    "unknown-key",
    "bad-key-length",
    "not-on-curve",  # also the identity, which has no place in our encoding
    "bad-domain",
    "wrong-id",  # the id does not belong to the key, or the message is for somebody else
    "known-kid",  # a second key with a kid that is known already
    # chains and proofs
    "bad-proof",
    "bad-root",
    "bad-link",  # the previous hash is not the previous block's
    "bad-size",  # a count or a size that is not the body's
)


class WireError(Exception):
    """A refusal: `reason` is one of REASONS, `detail` says where, for people."""

    def __init__(self, reason: str, detail: str = "", at: int = -1) -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail
        self.at = at

    def __str__(self) -> str:
        place = "" if self.at < 0 else " at byte %d" % self.at
        return self.reason + place + (": " + self.detail if self.detail else "")
