"""An operator's approval: the registry entry that a registrar's key signs for a device that asked.

Owns: the next entry of a device: new, rotated, revoked.
Refuses: a device that did not ask; limits that are none.
Invariant: what was said before of a device stays said, but for what is changed; its serial rises by one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gateway.registry import ACTIVE, REVOKED, ROTATED, rotation
from wire import envelope
from wire.chain.keys import PrivateKey
from wire.enrol import Entry
from wire.errors import WireError
from wire.settings import GUARDED

LIMITS = {name: (key, kind) for key, name, kind in GUARDED if key >= 40}


@dataclass(frozen=True)
class Wish:
    """What the operator says; None leaves it as it was."""

    name: str | None = None
    alliance: int | None = None
    gateway: bytes | None = None
    limits: dict[int, int] | None = None
    revoke: bool = False


def last_entry(raws: list[bytes], device: bytes) -> Entry | None:
    found = None
    for raw in raws:
        entry = Entry.decode(envelope.split(raw).payload)
        if entry.device == device:
            found = entry
    return found


def approve(
    registrar: PrivateKey, device: bytes, enrolment: bytes | None, before: Entry | None, wish: Wish, now_s: int
) -> bytes:
    """The signed entry. `enrolment` is what the device asked with, None where it has not asked anew."""
    raw = enrolment or (before.enrolment if before else None)
    if raw is None:
        raise WireError("unknown-key", "this device has not asked to be enrolled")
    status = before.status if before else ACTIVE
    if enrolment is not None and before is not None and rotation(enrolment) is not None:
        status = ROTATED
    entry = Entry(
        serial=before.serial + 1 if before else 1,
        device=device,
        enrolment=raw,
        name=wish.name or (before.name if before else ""),
        alliance=_or(wish.alliance, before.alliance if before else 0),
        gateway=wish.gateway or (before.gateway if before else device),
        limits=_or(wish.limits, before.limits if before else {}),
        status=REVOKED if wish.revoke else status,
        from_time=now_s,
        assignment=before.assignment if before else None,
    )
    return envelope.sign(registrar, Entry.DOMAIN, entry.encode())


def _or(value: Any, other: Any) -> Any:
    return other if value is None else value


def limits_of(words: list[str]) -> dict[int, int]:
    """`current_ma_max=32000` and the like."""
    found = {}
    for word in words:
        name, _, value = word.partition("=")
        if name not in LIMITS:
            raise WireError("unknown-field", f"{name!r} is no limit; there are {', '.join(LIMITS)}")
        key, kind = LIMITS[name]
        try:
            found[key] = int(value)
        except ValueError:
            raise WireError("bad-field", f"{word!r}: NAME=NUMBER is wanted") from None
        if not kind.check(found[key]):
            raise WireError("bad-field", f"{word!r}: {kind.words} is wanted")
    return found
