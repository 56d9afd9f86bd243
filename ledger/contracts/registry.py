"""The registry: devices, as registrars say. The main chain decides; the schedule chain takes entries over by proof.

Owns: entries and what follows from one: accounts, keys, silence.
Refuses: entries that are not a registrar's, not the device's own word, not later than the last, not proven.

Rules on the main chain:
- An entry is signed by an account whose role is registrar, under its key in use; anyone may carry it. A device stays
  with the registrar of its first entry. Serials rise.
- It holds the device's own enrolment: the device's first key is its id for life; a rotation is signed by the key
  before; keys are never forgotten. A device that cannot sign is named by its gateway, whose enrolment stands for it.
- A gateway that is entered has an account here, so that it can send its blocks.
Rules on the schedule chain:
- An entry is taken when it is proven under a verified header of the main chain, with a higher serial than the last.
- For whom a device measures counts only if that account signed so too, under its key in use here, for this device.
- A station or gateway that is entered has an account here. A station that is revoked is out of the mechanism at once.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Any

from ledger.app import Context, Contract, Refused
from ledger.contracts import accounts, clients, devices, dispatch, signed
from ledger.contracts.devices import DEVICES, Device
from ledger.contracts.shelf import Shelf, on
from ledger.state import freeze
from wire import cbor, envelope
from wire.chain import kinds
from wire.enrol import Assignment, Enrolment, Entry
from wire.ids import id_text, kid_of


def _tuple(*cells: Any) -> tuple[Any, ...]:
    return cells


MAIN_CHAIN = Shelf("main-chain", _tuple)  # on the schedule chain: the id of the main chain


# ---- on the main chain ----------------------------------------------------------------------------------------------


def _entry(ctx: Context, body: kinds.RegistryEntry) -> None:
    split = envelope.split(body.entry)
    registrar = accounts.KIDS.need(ctx.state, split.kid, "unknown-key")[0]
    row = accounts.ACCOUNTS.need(ctx.state, registrar, "unknown-account")
    ctx.require(row.role == accounts.REGISTRAR and not row.barred, "not-allowed", "no registrar in force")
    entry = Entry.decode(signed.open_under(body.entry, Entry.DOMAIN, row.public_key))
    old = DEVICES.get(ctx.state, entry.device)
    if old is not None:
        ctx.require(old.registrar == registrar, "not-allowed", "another registrar's device")
        ctx.require(entry.serial > old.serial, "old-number", str(entry.serial))
    role, public_keys = _keys(entry, () if old is None else old.keys)
    device = Device(
        entry.serial,
        role,
        entry.name,
        entry.alliance,
        entry.gateway,
        entry.status,
        entry.from_time,
        public_keys,
        account=b"",
        assignment=entry.assignment or b"",
        registrar=registrar,
    )
    DEVICES.put(ctx.state, entry.device, device)
    _open_account(ctx, entry.device, device, (devices.GATEWAY,))
    ctx.emit("registry/entry", device=entry.device, serial=entry.serial, status=entry.status, name=entry.name)


def _keys(entry: Entry, known: tuple[bytes, ...]) -> tuple[int, tuple[bytes, ...]]:
    """The device's role, and its keys with the one that this entry's enrolment brings."""
    raw, before = entry.enrolment, None
    if envelope.split(raw).payload.startswith(envelope.SIGN1_HEAD):
        if not known:
            raise Refused("unknown-key", "a rotation of a key that was never entered")
        before = signed.open_under(raw, Enrolment.ROTATION_DOMAIN, *known)
        raw = before
    enrolment = Enrolment.decode(signed.open_self(raw, Enrolment.DOMAIN, key_field=2))
    if enrolment.id == entry.gateway != entry.device:
        if entry.device != sha256(entry.gateway + entry.name.encode()).digest()[:8]:
            raise Refused("wrong-id", "no device of that name at that gateway")
        return enrolment.role if enrolment.role != devices.GATEWAY else devices.METER, ()
    if enrolment.id != entry.device:
        raise Refused("wrong-id", "another device's enrolment")
    if enrolment.public_key in known:
        return enrolment.role, known
    if known and before is None:
        raise Refused("unknown-key", "a new key comes in a rotation")
    if not known and kid_of(enrolment.public_key) != entry.device:
        raise Refused("wrong-id", "an id is that of the first key")
    return enrolment.role, (*known, enrolment.public_key)


def _open_account(ctx: Context, name: bytes, row: Device, roles: tuple[int, ...]) -> None:
    """The account that comes with a device, and its key in use."""
    if row.role not in roles or not row.keys:
        return
    role = accounts.STATION if row.role == devices.STATION else accounts.GATEWAY
    if accounts.role_of(ctx.state, name) is None:
        accounts.open_account(ctx, row.name[:32], role, row.keys[0])
    account = accounts.ACCOUNTS.need(ctx.state, name, "unknown-account")
    if account.public_key != row.keys[-1]:
        accounts.change_key(ctx, name, row.keys[-1])


# ---- on the schedule chain ------------------------------------------------------------------------------------------


def _take(ctx: Context, body: kinds.TakeEntry) -> None:
    main_chain = MAIN_CHAIN.need(ctx.state, b"", "unknown-client")[0]
    height, value, proof = body.proof
    clients.prove(ctx, main_chain, height, DEVICES.key(body.device), value, proof)
    cells = freeze(cbor.decode(value))
    if not isinstance(cells, tuple) or len(cells) != len(Device._fields):
        raise Refused("bad-packet", "no registry entry")
    row = Device(*cells)
    old = DEVICES.get(ctx.state, body.device)
    ctx.require(old is None or row.serial > old.serial, "old-number", str(row.serial))
    row = row._replace(account=_assigned(ctx, body.device, row, old))
    DEVICES.put(ctx.state, body.device, row)
    _open_account(ctx, body.device, row, (devices.STATION, devices.GATEWAY))
    ctx.emit("registry/taken", device=body.device, serial=row.serial, status=row.status, account=row.account)
    if row.status == devices.REVOKED:
        dispatch.silence(ctx, body.device)


def _assigned(ctx: Context, device: bytes, row: Device, old: Device | None) -> bytes:
    """The account that the device measures for, by that account's own word; what was taken once stays taken."""
    if not row.assignment:
        return b""
    if old is not None and old.assignment == row.assignment:
        return old.account
    word = Assignment.decode(envelope.split(row.assignment).payload)
    account = accounts.ACCOUNTS.need(ctx.state, word.account, "unknown-account")
    signed.open_under(row.assignment, Assignment.DOMAIN, account.public_key)
    ctx.require(word.device == device, "wrong-id", "a word on " + id_text(word.device))
    ctx.require(word.serial <= row.serial, "old-number", "a word on a later entry")
    if old is not None and old.assignment:
        before = Assignment.decode(envelope.split(old.assignment).payload)
        ctx.require(word.serial > before.serial, "old-number", "an older word")
    return word.account


def _genesis(ctx: Context, section: Any) -> None:
    """[id of the main chain or null, devices]"""
    main_chain, rows = section or (None, ())
    if main_chain is not None:
        MAIN_CHAIN.put(ctx.state, b"", (main_chain,))
    devices.genesis(ctx, rows)


MAIN = Contract(
    "registry",
    handlers=dict([on(kinds.RegistryEntry, _entry)]),
    genesis=_genesis,
    queries={"devices": devices.show},
)
SCHEDULE = Contract(
    "registry",
    handlers=dict([on(kinds.TakeEntry, _take)]),
    genesis=_genesis,
    queries={"devices": devices.show},
)
