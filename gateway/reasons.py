"""Why a gateway refuses a message, beside what wire/errors.py refuses by shape, key and signature.

Owns: the gateway's own reason codes with a line for people, `Refusal`. docs/operate.md is held against them.
Refuses: nothing.
"""

from __future__ import annotations

from wire.errors import WireError

REASONS = {
    "unknown-device": "no registrar's entry for this device is in force here",
    "foreign-gateway": "the registrar's entry gives the device to another gateway; nothing is acknowledged to it here",
    "revoked": "the device's key is revoked; what was stored before stays",
    "old-key": "signed with a key that the device has replaced",
    "clone": "another history for rows that are stored: a second holder of the key, or a damaged journal",
    "overlap": "a report that begins inside a stored one: a sealed report is never repacked",
    "held-full": "too much lies behind a gap already; the beat asks for what is missing first",
    "no-position": "where the device's rows go on is not known yet; the main chain is asked",
    "old-number": "a station state whose number is not above the last one",
    "flood": "more messages in a second than a device may send; they are not even looked at",
    "retained": "a retained message: nothing of ours is ever retained",
    "pairing-closed": "an enrolment while none is asked for",
    "pairing-full": "too many enrolments wait for an answer",
    "forged": "the broker passes something on that no device may publish there",
}


class Refusal(WireError):
    """What a peer sent is refused for one of REASONS."""

    def __init__(self, reason: str, detail: str = "") -> None:
        assert reason in REASONS, reason
        super().__init__(reason, detail or REASONS[reason])
