"""Which devices this gateway hears, and under which keys.

Owns: registry entries in force, the keys of active and rotated devices, the alliance and the rating of each. Pure.
Refuses: an entry that no registrar of ours signed, an old serial, an enrolment that does not fit the entry.
Invariant: an entry acts at once here, for intake only; the main chain's registry is the authority for everybody else.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from wire import envelope
from wire.chain.keys import KeyRing, point, verify
from wire.enrol import STATUS, Enrolment, Entry, kid_of
from wire.errors import WireError

ACTIVE, ROTATED, REVOKED = (STATUS.index(word) for word in ("active", "rotated", "revoked"))
_CURRENT_MA_MAX = 46  # the limit that gives a meter's rating: wire.beat.GUARDED


@dataclass(frozen=True)
class Device:
    id: bytes
    kid: bytes  # of the key in use
    public_key: bytes
    role: int
    name: str
    alliance: int
    gateway: bytes
    rating_w: int  # 0 where the entry sets no limit
    status: int
    serial: int


@dataclass
class Registry:
    registrars: KeyRing
    devices: dict[bytes, Device] = field(default_factory=dict)
    keys: KeyRing = field(default_factory=KeyRing)
    owners: dict[bytes, bytes] = field(default_factory=dict)  # kid -> device id

    def take(self, raw: bytes) -> Device:
        """Puts a signed entry in force."""
        entry = Entry.decode(envelope.open_signed(raw, self.registrars, Entry.DOMAIN))
        known = self.devices.get(entry.device)
        if known is not None and entry.serial <= known.serial:
            raise WireError("bad-field", f"serial {entry.serial} is not above {known.serial}")
        enrolment, kid = open_enrolment(entry.enrolment)
        if enrolment.id != entry.device:
            raise WireError("wrong-id", "the entry is for another device than its enrolment")
        if self.owners.get(kid, entry.device) != entry.device:
            raise WireError("known-kid", "the key belongs to another device")
        device = Device(
            id=entry.device,
            kid=kid,
            public_key=enrolment.public_key,
            role=enrolment.role,
            name=entry.name,
            alliance=entry.alliance,
            gateway=entry.gateway,
            rating_w=entry.limits.get(_CURRENT_MA_MAX, 0) * 253 // 1_000,  # at the highest voltage of EN 50160
            status=entry.status,
            serial=entry.serial,
        )
        self.keys.add(device.public_key)
        self.owners[kid] = device.id
        self.devices[device.id] = device
        return device

    def speaker(self, id: bytes, kid: bytes) -> Device:
        """The device with this id, if it may speak under this key."""
        device = self.devices.get(id)
        if device is None:
            raise WireError("unknown-key", "no entry for this device")
        if device.status == REVOKED:
            raise WireError("unknown-key", "the device's key is revoked")
        if self.owners.get(kid) != id:
            raise WireError("wrong-id", "the key is not this device's")
        return device


def open_enrolment(raw: bytes) -> tuple[Enrolment, bytes]:
    """A self-signed enrolment, or a rotation around one, and the kid of the key it is for."""
    signed = envelope.split(raw)
    try:
        enrolment = Enrolment.decode(signed.payload)
    except WireError:
        signed = envelope.split(signed.payload)  # a rotation: the new key's enrolment is the payload
        enrolment = Enrolment.decode(signed.payload)
    kid = kid_of(enrolment.public_key)
    if kid != signed.kid:
        raise WireError("wrong-id", "not signed by the key that it carries")
    message = envelope.to_sign(signed.kid, Enrolment.DOMAIN, signed.payload)
    verify(point(enrolment.public_key), message, signed.signature)
    return enrolment, kid
