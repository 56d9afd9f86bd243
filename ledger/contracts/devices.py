"""Devices as a chain knows them: whose keys sign what, for whom they measure, which gateway carries their words.

Owns: the row of a device (the same on the main chain, which decides it, and on the schedule chain, which takes it over
by proof), and opening what a device signed.
Refuses: words of unknown or revoked devices, and under keys that are not theirs.
Invariant: keys are kept oldest first and never forgotten; a device that cannot sign has none, its gateway signs for it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from ledger.app import Context, Refused
from ledger.contracts import signed
from ledger.contracts.shelf import Shelf
from ledger.state import Reader
from wire import cbor, envelope
from wire.enrol import ROLES, STATUS
from wire.fields import Message
from wire.ids import id_text, kid_of

METER, STATION, GATEWAY = range(len(ROLES.names))
ACTIVE, ROTATED, REVOKED = range(len(STATUS.names))


class Device(NamedTuple):
    serial: int
    role: int
    name: str
    alliance: int
    gateway: bytes
    status: int
    from_s: int
    keys: tuple[bytes, ...]
    account: bytes  # whom it measures for; a station's company; empty where nobody said
    assignment: bytes  # the account's signed word on that
    registrar: bytes


DEVICES = Shelf("device", Device)


def in_force(view: Reader, device: bytes) -> Device:
    row = DEVICES.need(view, device, "unknown-device")
    if row.status == REVOKED:
        raise Refused("revoked", id_text(device))
    return row


def signing_keys(view: Reader, device: bytes) -> tuple[bytes, ...]:
    """Its own, oldest first; its gateway's where it has none."""
    row = in_force(view, device)
    return row.keys or in_force(view, row.gateway).keys


def open_word(view: Reader, device: bytes, raw: bytes, domain: str) -> bytes:
    return signed.open_under(raw, domain, *signing_keys(view, device))


def open_claimed(view: Reader, raw: bytes, message: type[Message]) -> bytes:
    """The payload of a word whose field 1 says which device it is from, once that device's key holds it."""
    payload = envelope.split(raw).payload
    fields = cbor.decode(payload)
    device = fields.get(1) if isinstance(fields, dict) else None
    if not isinstance(device, bytes):
        raise Refused("bad-type", "field 1 is the device's id")
    return open_word(view, device, raw, message.DOMAIN)


def genesis(ctx: Context, section: Any) -> None:
    """[[name, role, public key, gateway, account], …]: for chains that begin with devices."""
    for name, role, key, gateway, account in section or ():
        row = Device(
            serial=0,
            role=ROLES.index(role),
            name=name,
            alliance=0,
            gateway=gateway,
            status=ACTIVE,
            from_s=ctx.time_s,
            keys=(key,),
            account=account,
            assignment=b"",
            registrar=b"",
        )
        DEVICES.put(ctx.state, kid_of(key), row)


def show(view: Reader, argument: Any) -> list[dict[str, Any]]:
    rows = DEVICES.all(view) if argument is None else [(argument, DEVICES.need(view, argument, "unknown-device"))]
    return [
        {
            "id": id_text(device),
            "name": row.name,
            "role": ROLES[row.role],
            "status": STATUS[row.status],
            "serial": row.serial,
            "gateway": row.gateway.hex(),
            "account": row.account.hex(),
            "keys": [key.hex() for key in row.keys],
        }
        for device, row in rows
    ]
