"""Before the first run: every port, bus, broker, key and certificate is tried.

Owns: the checks, each with its name, what came of it and what to do.
Refuses: changing anything but a file's layout that the first run would change too.
Invariant: a check that fails stops no other one.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import httpx

from gateway.config import Broker, Chain, Config, Polled, Wires
from gateway.meters import Fault, meter
from gateway.modbus_line import Line
from gateway.mqtt import tls_context
from gateway.store_layout import LayoutError, open_file
from gateway.sunspec import scan
from hardware import catalog
from wire.chain.keys import PrivateKey

TIMEOUT_S = 3.0


@dataclass(frozen=True)
class Result:
    what: str
    trouble: str = ""  # nothing where all is well
    note: str = ""


async def check(config: Config, load_key: Callable[[Config], PrivateKey]) -> list[Result]:
    found = [_data(config), _key(config, load_key), _registrar(config), _broker(config.broker)]
    found += [
        await _chain(name, chain) for name, chain in (("main", config.main), ("schedule", config.schedule)) if chain
    ]
    found.append(_http(config))
    for wires in config.bus:
        found += await _bus(wires, [polled for polled in config.device if polled.bus == wires.name])
    return [one for one in found if one.what]


def _data(config: Config) -> Result:
    what = f"data in {config.data}"
    try:
        open_file(config.data / "gateway.db").close()
        free = os.statvfs(config.data)
    except (LayoutError, OSError) as error:
        return Result(what, f"{error}; name a folder that this user may write with data = ")
    return Result(what, note=f"{free.f_bavail * free.f_frsize // 1_000_000:,} MB free")


def _key(config: Config, load_key: Callable[[Config], PrivateKey]) -> Result:
    path = config.data / "gateway.key"
    try:
        load_key(config)
        mode = path.stat().st_mode & 0o077
    except Exception as error:
        return Result(str(path), f"{error}; restore a backup, or remove the file for a new gateway")
    return Result(str(path), f"others may read it: chmod 600 {path}" if mode else "")


def _registrar(config: Config) -> Result:
    if config.registrar_key is None:
        return Result("")
    what = f"registrar's key {config.registrar_key}"
    try:
        key = PrivateKey.from_pem(config.registrar_key.read_bytes())
    except (OSError, ValueError, TypeError) as error:
        return Result(what, f"{error}; name the registrar's PEM file")
    return Result(what, "" if key.public_key in config.registrars else "it is none of `registrars`")


def _broker(broker: Broker) -> Result:
    what = f"broker at {broker.host}:{broker.port}"
    try:
        with socket.create_connection((broker.host, broker.port), TIMEOUT_S) as plain:
            if broker.ca_file is None:
                return Result(what)
            with tls_context(broker).wrap_socket(plain, server_hostname=broker.host) as secure:
                return Result(what, note=f"{secure.version()}")
    except ssl.SSLCertVerificationError as error:
        return Result(what, f"its certificate is not good: {error.verify_message}")
    except (OSError, ssl.SSLError) as error:
        return Result(what, f"{error}; is Mosquitto running, and is this its port?")


async def _chain(name: str, chain: Chain) -> Result:
    what = f"{name} node at {chain.url}"
    try:
        async with httpx.AsyncClient(timeout=TIMEOUT_S) as client:
            reply = await client.get(f"{chain.url}/v1", headers={"accept": "application/json"})
            hosted = [row[0] for row in reply.json()]
    except (httpx.HTTPError, ValueError, LookupError, TypeError) as error:
        return Result(what, f"{error or type(error).__name__}; blocks wait here until it answers")
    return Result(what, "" if chain.id in hosted else f"it does not host {chain.id}; it hosts {', '.join(hosted)}")


def _http(config: Config) -> Result:
    if not config.http.listen:
        return Result("")
    what = f"HTTP at {config.http.listen}"
    if config.http.token_file is not None and not _readable(config.http.token_file):
        return Result(what, f"{config.http.token_file} cannot be read, or is empty")
    host, port = config.http.address
    try:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except OSError as error:
        return Result(what, f"{error.strerror}; is a gateway running already?")
    return Result(what)


def _readable(path: Path) -> bool:
    try:
        return bool(path.read_text().strip())
    except OSError:
        return False


async def _bus(wires: Wires, devices: list[Polled]) -> list[Result]:
    line, found = Line(wires), []
    for polled in devices:
        what = f"{polled.name} at {wires.name}, address {polled.address}"
        try:
            if polled.part == "sunspec":
                models = await line.carry_out(scan(), polled.address)
                found.append(Result(what, note=f"models {', '.join(map(str, models.blocks))}"))
            else:
                sample = await line.carry_out(meter(catalog.load(polled.part), polled.low_first), polled.address)
                found.append(Result(what, note=f"{sample.power_mw // 1_000} W"))
        except Fault as fault:
            found.append(Result(what, f"{fault}; look at address, wiring and baud rate"))
    line.close()
    await asyncio.sleep(0)
    return found
