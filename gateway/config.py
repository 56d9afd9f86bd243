"""gateway.toml: what a gateway is told, checked as a whole before anything starts.

Owns: the settings, their defaults and ranges, what must fit together.
Refuses: unknown keys, wrong types, keys that are no keys, devices on buses that are not there: all in one go.
"""

# ruff: noqa: RUF009 - what is called in the defaults makes dataclass fields
from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway import config_read as f
from gateway.config_read import Reading, Wrong
from hardware import catalog
from wire.enrol import ALLIANCES
from wire.errors import WireError
from wire.ids import id_bytes

PARTS = ("sunspec", *(name for name in catalog.names() if catalog.load(name).bus == "modbus"))
LOOPBACK = ("127.0.0.1", "localhost", "::1")
NAME = r"[\w .:+-]{1,48}"


class ConfigError(Exception):
    """Every mistake of the file, one a line."""


@dataclass(frozen=True)
class Chain:
    url: str = f.text(pattern=r"https?://\S+", says="the address of a ledger node, https://…,")
    chain: str = f.text()

    @property
    def id(self) -> str:
        return self.chain


@dataclass(frozen=True)
class Broker:
    host: str = f.text("127.0.0.1")
    port: int = f.number(1, 65_535, 1883)
    username: str | None = f.text(None)
    password: str | None = f.text(None)
    ca_file: Path | None = f.file(None)
    cert_file: Path | None = f.file(None)
    key_file: Path | None = f.file(None)
    keepalive_s: int = f.number(5, 3_600, 30)


@dataclass(frozen=True)
class Http:
    """What people and the page ask. `listen` empty: nothing listens. Beyond this machine a token is needed."""

    listen: str = f.text("127.0.0.1:8477", r"|\S+:\d{1,5}", "host:port, or nothing at all,")
    token_file: Path | None = f.file(None)

    @property
    def address(self) -> tuple[str, int]:
        host, _, port = self.listen.rpartition(":")
        return host.strip("[]"), int(port)

    @property
    def local(self) -> bool:
        return not self.listen or self.address[0] in LOOPBACK


@dataclass(frozen=True)
class Keep:
    """How long what is sealed and confirmed stays here. What the main node has not confirmed is never given up."""

    days: int = f.number(1, 36_500, 400)
    megabytes: int = f.number(10, 10_000_000, 8_000)


@dataclass(frozen=True)
class HomeAssistant:
    prefix: str = f.text("homeassistant", r"[\w/-]+", "a topic without + and #")
    topic: str = f.text("tallygrid-home", r"[\w-]+", "one level of a topic")
    every_s: int = f.number(1, 3_600, 10)


@dataclass(frozen=True)
class Wires:
    """A Modbus line: a serial port, or host and port."""

    name: str = f.text(pattern=NAME, says="a name of letters, digits and dashes")
    port: str = f.text("")  # of a serial adapter
    host: str = f.text("")
    tcp_port: int = f.number(1, 65_535, 502)
    baudrate: int = f.number(300, 1_000_000, 9_600)
    parity: str = f.choice(("N", "E", "O"), "N")
    stopbits: int = f.number(1, 2, 1)
    answer_ms: int = f.number(0, 60_000, 0)  # 0: from the length of the answer and the baud rate


@dataclass(frozen=True)
class Polled:
    """A Modbus device. `part` is of the catalog, or `sunspec`; `role` station needs an inverter or battery."""

    name: str = f.text(pattern=NAME, says="a name of letters, digits and dashes")
    bus: str = f.text()
    address: int = f.number(1, 247)
    part: str = f.choice(PARTS)
    period_ms: int = f.number(100, 3_600_000, 1_000)
    row_s: int = f.number(1, 3_600, 60)
    low_first: bool = f.flag(False)
    role: str = f.choice(("meter", "station"), "meter")


def _account(value: Any) -> bytes:
    try:
        return id_bytes(value)
    except (WireError, TypeError) as error:
        raise Wrong(f"is {value!r}; an id of 13 characters is wanted ({error})") from None


@dataclass(frozen=True)
class Config:
    name: str = f.text(pattern=NAME, says="a name of letters, digits and dashes")
    alliance: int = f.choice(ALLIANCES.names, places=True)
    registrars: list[bytes] = f.public_keys(required=True)
    data: Path = f.file(Path())
    broker: Broker = f.table(Broker)
    dispatchers: list[bytes] = f.public_keys()
    main: Chain | None = f.table(Chain, optional=True)
    schedule: Chain | None = f.table(Chain, optional=True)
    block_age_ms: int = f.number(10, 60_000, 1_000)
    period_s: int = f.number(1, 3_600, 10)
    commit_ms: int = f.number(0, 1_000, 10)  # how long a batch may gather before it is written
    workers: int = f.number(0, 16, 0)  # processes that check signatures beside the service, once there is a backlog
    backfill_ms: int = f.number(0, 60_000, 0)  # the pause between batches of a backlog without anything urgent
    silent_s: int = f.number(60, 86_400, 1_800)  # a device that says nothing for so long is an alarm
    pairing: str = f.choice(("open", "closed"), "open")  # whether devices nobody entered may ask; see `devices pair`
    account: bytes | None = f.other(_account, None)  # the gateway's id where its key is not its first
    registrar_key: Path | None = f.file(None)  # with it, `devices approve` signs entries here
    log: str = f.choice(("text", "json"), "text")
    http: Http = f.table(Http)
    keep: Keep = f.table(Keep)
    home_assistant: HomeAssistant | None = f.table(HomeAssistant, optional=True)
    bus: list[Wires] = f.tables(Wires)
    device: list[Polled] = f.tables(Polled)


def load(path: Path) -> Config:
    source = path.read_text()
    try:
        found = tomllib.loads(source)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: {error}") from None
    reading = Reading(str(path), source, path.parent)
    config = reading.read(Config, {"data": ".", **found})
    if config is not None:
        _fit(reading, config)
    if reading.problems or config is None:
        raise ConfigError(reading.text())
    return config


def _fit(reading: Reading, config: Config) -> None:
    """What each setting cannot know of the others."""
    if not config.registrars:
        reading.wrong(("registrars",), "is empty; no device could be entered: name one registrar's public key at least")
    if not config.http.local and config.http.token_file is None:
        reading.wrong(("http", "listen"), "is open to others; name a token_file, or listen on 127.0.0.1")
    if (config.broker.cert_file is None) != (config.broker.key_file is None):
        reading.wrong(("broker", "cert_file"), "and key_file come together")
    buses = [wires.name for wires in config.bus]
    for place, wires in enumerate(config.bus):
        if bool(wires.port) == bool(wires.host):
            reading.wrong((f"bus#{place}", "name"), "has a serial port or a host, one of them")
        if buses.index(wires.name) != place:
            reading.wrong((f"bus#{place}", "name"), f"{wires.name!r} is there twice")
    names = [polled.name for polled in config.device]
    places = [(polled.bus, polled.address) for polled in config.device]
    for place, polled in enumerate(config.device):
        if polled.bus not in buses:
            reading.wrong((f"device#{place}", "bus"), f"is {polled.bus!r}; there are {', '.join(buses) or 'none'}")
        if names.index(polled.name) != place:
            reading.wrong((f"device#{place}", "name"), f"{polled.name!r} is there twice")
        if places.index((polled.bus, polled.address)) != place:
            reading.wrong((f"device#{place}", "address"), "is taken by another device of this bus")
        if polled.role == "station" and polled.part != "sunspec":
            reading.wrong((f"device#{place}", "role"), 'station needs part = "sunspec": nothing else can be told')
