"""What a pilot begins with: keys, three genesis documents, and the folder they lie in.

Owns: the folder's layout; making everything once, and reading it back on every later start.
Refuses: a folder of another site or of another layout, with the words that say how to keep it.
Invariant: founding twice changes nothing: keys and genesis are written once and only read from then on.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from math import gcd
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hardware.site.model import Site
from ledger.genesis import Genesis
from pilot.errors import Unavailable
from wire.chain.header import Validator
from wire.chain.keys import PrivateKey
from wire.chain.kinds import MAIN, SCHEDULE, TRANSACTION

LAYOUT = 1
SORTS = (MAIN, TRANSACTION, SCHEDULE)
OFFICES = ("registrar", "relay", "dispatch", "gateway", "observer")  # who there is beside the site's participants
MT_PER_TOKEN = 1_000


@dataclass(frozen=True)
class Founded:
    """A site's keys and chains, in `folder`."""

    site: Site
    folder: Path
    keys: dict[str, PrivateKey]
    chains: dict[str, str]  # sort -> chain id

    def genesis(self, sort: str) -> Path:
        return self.folder / "ledger" / f"{sort}.genesis"

    def validator(self, sort: str) -> Path:
        return self.folder / "ledger" / f"{sort}.validator"

    def store(self, sort: str) -> Path:
        return self.folder / "ledger" / f"{sort}.db"

    def key_file(self, name: str) -> Path:
        return self.folder / "keys" / f"{name}.pem"

    def account(self, name: str) -> bytes:
        return self.keys[name].kid


def found(site: Site, folder: Path) -> Founded:
    if site.ledger is None or site.gateway is None:
        raise Unavailable(f"site {site.name} has no [gateway] or no [ledger]: `tallygrid emulate` runs it without them")
    for name in ("keys", "ledger", "gateway/entries", "boards", "broker", "run"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    _check_stamp(site, folder)
    names = [*OFFICES, *(one.name for one in site.ledger.participants if one.role != "station")]
    keys = {name: _key(folder / "keys" / f"{name}.pem") for name in names}
    founded = Founded(site, folder, keys, {sort: f"{site.name[:20]}-{sort}" for sort in SORTS})
    if not founded.genesis(SCHEDULE).exists():
        for sort, document in _documents(founded).items():
            _write(founded.genesis(sort), document.encode())
    return founded


def _check_stamp(site: Site, folder: Path) -> None:
    stamp = folder / "pilot.json"
    if not stamp.exists():
        _write(stamp, json.dumps({"layout": LAYOUT, "site": site.name}).encode())
    try:
        known = json.loads(stamp.read_text())
    except ValueError:
        known = {}
    if known.get("layout") != LAYOUT:
        raise Unavailable(
            f"{folder} was made by another version (layout {known.get('layout')}, this one makes {LAYOUT}): "
            "keep it by moving it away, or drop it with --fresh"
        )
    if known["site"] != site.name:
        raise Unavailable(f"{folder} holds site {known['site']}, not {site.name}: give another --data, or --fresh")


def _key(path: Path) -> PrivateKey:
    if not path.exists():
        _write(path, PrivateKey.generate().to_pem())
    return PrivateKey.from_pem(path.read_bytes())


def _write(path: Path, content: bytes) -> None:
    """Whole or not at all, and for nobody else's eyes."""
    new = path.with_suffix(path.suffix + ".new")
    with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    new.replace(path)


# ---------------------------------------------------------------- genesis


def _documents(founded: Founded) -> dict[str, Genesis]:
    time_ns = founded.site.start_s * 1_000_000_000
    validators = {sort: (_validator(founded.validator(sort)),) for sort in SORTS}
    clients = {sort: [founded.chains[sort], time_ns, [list(one) for one in validators[sort]]] for sort in SORTS}
    sections = {
        MAIN: _main(founded),
        TRANSACTION: _transaction(founded, clients),
        SCHEDULE: _schedule(founded, clients),
    }
    return {
        sort: Genesis(founded.chains[sort], time_ns, validators[sort], os.urandom(32), sections[sort]) for sort in SORTS
    }


def _validator(path: Path) -> Validator:
    if not path.exists():
        _write(path, Ed25519PrivateKey.generate().private_bytes_raw())
    return Validator(Ed25519PrivateKey.from_private_bytes(path.read_bytes()).public_key().public_bytes_raw(), 1)


def _accounts(founded: Founded, *offices: str) -> list[list[Any]]:
    ledger = founded.site.ledger
    assert ledger is not None
    roles = {"observer": "auditor"}
    rows: list[list[Any]] = [[name, roles.get(name, name), founded.keys[name].public_key] for name in offices]
    people = [one for one in ledger.participants if one.role != "station"]
    return rows + [[one.name, one.role, founded.keys[one.name].public_key] for one in people]


def _main(founded: Founded) -> dict[str, Any]:
    return {"accounts": _accounts(founded, "registrar", "relay", "observer")}


def _transaction(founded: Founded, clients: dict[str, Any]) -> dict[str, Any]:
    ledger = founded.site.ledger
    assert ledger is not None
    rate_mt, rate_wh = _rate(founded)
    rights_wh = sum(one.rights_wh for one in ledger.participants)
    tokens = [[founded.account(one.name), one.tokens_mt] for one in ledger.participants if one.role != "station"]
    return {
        "accounts": _accounts(founded, "relay", "observer"),
        "tokens": [rights_wh * rate_mt // rate_wh, tokens],
        "clients": [clients[SCHEDULE]],
        "lock": [founded.chains[SCHEDULE], rate_mt, rate_wh],
        "parameters": [["confirmations", ledger.confirmations]],
    }


def _schedule(founded: Founded, clients: dict[str, Any]) -> dict[str, Any]:
    ledger = founded.site.ledger
    assert ledger is not None
    rate_mt, rate_wh = _rate(founded)
    tokens_mt = sum(one.tokens_mt for one in ledger.participants if one.role != "station")
    rights = [[founded.account(one.name), one.rights_wh] for one in ledger.participants if one.role != "station"]
    parameters = {
        "confirmations": ledger.confirmations,
        "unit_wh": ledger.unit_wh,
        "k": ledger.k,
        "entry_margin": ledger.entry_margin,
        "one_way": int(ledger.one_way),
        "lease_s": ledger.lease_s,
    }
    return {
        "accounts": _accounts(founded, "relay", "observer", "dispatch"),
        "rights": [tokens_mt * rate_wh // rate_mt, rights],
        "clients": [clients[TRANSACTION], clients[MAIN]],
        "lock": [founded.chains[TRANSACTION], rate_mt, rate_wh],
        "parameters": [list(pair) for pair in parameters.items()],
        "registry": [founded.chains[MAIN], []],
    }


def _rate(founded: Founded) -> tuple[int, int]:
    """Thousandths of a token, and the Wh that they are worth, in lowest terms."""
    assert founded.site.ledger is not None
    rate_wh = founded.site.ledger.rate_wh_per_token
    common = gcd(MT_PER_TOKEN, rate_wh)
    return MT_PER_TOKEN // common, rate_wh // common
