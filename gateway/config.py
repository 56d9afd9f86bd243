"""gateway.toml: what a gateway is told, checked as a whole before anything starts.

Owns: the settings, their defaults and ranges, the messages for mistakes.
Refuses: unknown keys by name, wrong types, keys that are no keys; all mistakes in one go.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from gateway.mqtt import Broker
from wire.enrol import ALLIANCES
from wire.errors import WireError
from wire.ids import id_bytes, kid_of


class ConfigError(Exception):
    """Every mistake of the file, one a line."""


@dataclass(frozen=True)
class Chain:
    url: str
    id: str


@dataclass(frozen=True)
class Config:
    name: str
    data: Path
    alliance: int
    broker: Broker
    registrars: list[bytes]  # public keys
    dispatchers: list[bytes]
    main: Chain | None = None
    schedule: Chain | None = None
    block_age_ms: int = 1_000
    period_s: int = 10
    commit_ms: int = 10  # how long a batch may gather before it is written
    workers: int = 0  # processes that check signatures beside the service, once there is a backlog
    backfill_ms: int = 0  # the pause between batches of a backlog without anything urgent
    http: str = "127.0.0.1:0"
    account: bytes | None = None  # the gateway's id where its key is not its first


_RANGES = {
    "block_age_ms": (10, 60_000),
    "period_s": (1, 3_600),
    "commit_ms": (0, 1_000),
    "workers": (0, 16),
    "backfill_ms": (0, 60_000),
}
_KEYS = {"name", "data", "alliance", "broker", "registrars", "dispatchers", "main", "schedule", "http", "account"}


def load(path: Path) -> Config:
    try:
        table = tomllib.loads(path.read_text())
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: {error}") from None
    problems: list[str] = []
    config = _read(table, path.parent, problems)
    if problems or config is None:
        raise ConfigError("\n".join(f"{path}: {problem}" for problem in problems))
    return config


def _read(table: dict[str, Any], folder: Path, problems: list[str]) -> Config | None:
    for key in sorted(set(table) - _KEYS - set(_RANGES)):
        problems.append(f"unknown key {key!r}; there are {', '.join(sorted(_KEYS | set(_RANGES)))}")
    for key in ("name", "alliance", "registrars"):
        if key not in table:
            problems.append(f"{key} is missing")
    numbers: dict[str, Any] = {
        key: _number(table, key, *limits, problems) for key, limits in _RANGES.items() if key in table
    }
    alliance = table.get("alliance", "grid")
    if alliance not in ALLIANCES.names:
        problems.append(f"alliance {alliance!r} is none of {', '.join(ALLIANCES.names)}")
        alliance = "grid"
    values: dict[str, Any] = {
        "broker": _broker(table.get("broker", {}), problems),
        "registrars": _keys(table, "registrars", problems),
        "dispatchers": _keys(table, "dispatchers", problems),
        "main": _chain(table, "main", problems),
        "schedule": _chain(table, "schedule", problems),
        "account": _account(table, problems),
    }
    if problems:
        return None
    data = folder / table.get("data", ".")
    http = table.get("http", Config.http)
    return Config(name=table["name"], data=data, alliance=ALLIANCES.index(alliance), http=http, **values, **numbers)


def _number(table: dict[str, Any], key: str, low: int, high: int, problems: list[str]) -> int:
    value = table[key]
    if type(value) is not int or not low <= value <= high:
        problems.append(f"{key} = {value!r}: a whole number from {low} to {high} is wanted")
        return low
    return value


def _broker(table: Any, problems: list[str]) -> Broker:
    known = {one.name: one for one in fields(Broker)}
    if not isinstance(table, dict):
        problems.append("broker is a table: [broker] host, port, …")
        return Broker()
    for key in sorted(set(table) - set(known)):
        problems.append(f"unknown key broker.{key}; there are {', '.join(known)}")
    return Broker(**{key: value for key, value in table.items() if key in known})


def _chain(table: dict[str, Any], key: str, problems: list[str]) -> Chain | None:
    if key not in table:
        return None
    chain = table[key]
    if not isinstance(chain, dict) or set(chain) != {"url", "chain"}:
        problems.append(f'{key} is a table: {key} = {{ url = "https://…", chain = "…" }}')
        return None
    return Chain(chain["url"], chain["chain"])


def _keys(table: dict[str, Any], key: str, problems: list[str]) -> list[bytes]:
    keys = []
    for text in table.get(key, []):
        try:
            raw = bytes.fromhex(text)
            kid_of(raw)
            keys.append(raw)
        except (ValueError, WireError) as error:
            problems.append(f"{key}: {text!r} is no public key of 65 bytes in hex ({error})")
    return keys


def _account(table: dict[str, Any], problems: list[str]) -> bytes | None:
    if "account" not in table:
        return None
    try:
        return id_bytes(table["account"])
    except WireError as error:
        problems.append(f"account: {error}")
        return None
