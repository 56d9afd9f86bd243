"""Which devices this gateway hears, and under which keys.

Owns: registry entries in force: each device's keys, oldest first, its alliance, its gateway, its rating. Pure.
Refuses: an entry that no registrar of ours signed, an old serial, an enrolment that does not fit the entry, a new key
that the old one did not sign.
Invariant: an entry acts at once here, for intake only; the main chain's registry is the authority for everybody else.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from hashlib import sha256

from gateway.reasons import Refusal
from wire import envelope
from wire.chain.keys import KeyRing, point, verify
from wire.enrol import STATUS, Enrolment, Entry
from wire.errors import WireError
from wire.ids import kid_of

ACTIVE, ROTATED, REVOKED = (STATUS.index(word) for word in ("active", "rotated", "revoked"))
CURRENT_MA_MAX = 46  # the limit that gives a meter's rating: wire.settings.GUARDED
VOLTAGE_V_MAX = 253  # the highest of EN 50160


@dataclass(frozen=True, slots=True)
class Device:
    id: bytes
    kids: tuple[bytes, ...]  # oldest first; none for a Modbus device, which cannot sign
    role: int
    name: str
    alliance: int
    gateway: bytes
    limits: dict[int, int]
    status: int
    serial: int
    since: int  # serial of the entry that brought it to its gateway

    @property
    def rating_w(self) -> int:
        """0 where the entry sets no limit."""
        return self.limits.get(CURRENT_MA_MAX, 0) * VOLTAGE_V_MAX * 3 // 1_000


@dataclass
class Registry:
    registrars: KeyRing
    devices: dict[bytes, Device] = field(default_factory=dict)
    keys: KeyRing = field(default_factory=KeyRing)
    owners: dict[bytes, bytes] = field(default_factory=dict)  # kid -> id, where the two differ

    def take(self, raw: bytes) -> Device:
        """Puts a signed entry in force."""
        device, public_key = self.read(raw)
        self.put(device, public_key)
        return device

    def read(self, raw: bytes, trusted: bool = False) -> tuple[Device, bytes]:
        """What an entry would put in force, and the key it brings. `trusted`: it was checked when it was stored."""
        signed = envelope.split(raw)
        entry = Entry.decode(signed.payload if trusted else signed.check(self.registrars, Entry.DOMAIN))
        known = self.devices.get(entry.device)
        if known is not None and entry.serial <= known.serial:
            raise WireError("bad-field", f"serial {entry.serial} is not above {known.serial}")
        enrolment, kid = open_enrolment(entry.enrolment, trusted)
        attested = enrolment.id == entry.gateway != entry.device
        if entry.device != (attested_id(entry.gateway, entry.name) if attested else enrolment.id):
            raise WireError("wrong-id", "the entry is for another device than its enrolment")
        kids = () if attested else self._kids(entry, kid, known, trusted)
        stays = known is not None and known.gateway == entry.gateway
        device = Device(
            id=entry.device,
            kids=kids,
            role=enrolment.role,
            name=entry.name,
            alliance=entry.alliance,
            gateway=entry.gateway,
            limits=entry.limits,
            status=entry.status,
            serial=entry.serial,
            since=known.since if stays and known is not None else entry.serial,
        )
        return device, b"" if attested else enrolment.public_key

    def _kids(self, entry: Entry, kid: bytes, known: Device | None, trusted: bool) -> tuple[bytes, ...]:
        id, outer = entry.device, rotation(entry.enrolment)
        if self.owners.get(kid, kid if kid in self.devices else id) != id:
            raise WireError("known-kid", "the key belongs to another device")
        before = known.kids if known else ()
        if kid in before:
            return before
        if outer is None:
            if before or kid != id:
                raise WireError("unknown-key", "a new key comes in a rotation that the old one signed")
        elif before and not trusted:  # of a device that rotated elsewhere, only the registrar's word is known here
            if outer.kid not in before:
                raise WireError("unknown-key", "the rotation is not signed by a key of this device")
            outer.check(self.keys, Enrolment.ROTATION_DOMAIN)
        return (*before, kid)

    def put(self, device: Device, public_key: bytes) -> None:
        if public_key:
            kid = self.keys.add(public_key)
            if kid == device.id:
                device = replace(device, kids=(device.id, *device.kids[1:]))  # one object for both
            else:
                self.owners[kid] = device.id
        self.devices[device.id] = device

    def speaker(self, id: bytes, kid: bytes, gateway: bytes) -> tuple[Device, int]:
        """The device with this id, if it may speak to this gateway under this key, and the key's place."""
        device = self.devices.get(id)
        if device is None:
            raise Refusal("unknown-device")
        if device.gateway != gateway:
            raise Refusal("foreign-gateway")
        if device.status == REVOKED:
            raise Refusal("revoked")
        for place, one in enumerate(device.kids):
            if one == kid:
                return device, place
        raise WireError("wrong-id", "the key is not this device's")


def attested_id(gateway: bytes, name: str) -> bytes:
    """Of a device that cannot sign: docs/spec.md section 3.3."""
    return sha256(gateway + name.encode()).digest()[:8]


def open_enrolment(raw: bytes, trusted: bool = False) -> tuple[Enrolment, bytes]:
    """A self-signed enrolment, also out of a rotation, and the kid of the key it is for."""
    signed = envelope.split(raw)
    if rotation(raw) is not None:
        signed = envelope.split(signed.payload)
    enrolment = Enrolment.decode(signed.payload)
    kid = kid_of(enrolment.public_key)
    if kid != signed.kid:
        raise WireError("wrong-id", "not signed by the key that it carries")
    if not trusted:
        message = envelope.to_sign(signed.kid, Enrolment.DOMAIN, signed.payload)
        verify(point(enrolment.public_key), message, signed.signature)
    return enrolment, kid


def rotation(raw: bytes) -> envelope.Signed | None:
    """The old key's envelope around a new key's enrolment, not yet checked; None where there is none."""
    signed = envelope.split(raw)
    return signed if signed.payload.startswith(envelope.SIGN1_HEAD) else None
