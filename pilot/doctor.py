"""Say what is there, what is missing, versions, ports and permissions: `tallygrid doctor`.

Owns: one finding for each thing that a command may need, and what to do where it is missing.
Refuses: changing or fetching anything; looking is all it does.
Invariant: exits 1 only where something is wrong that every command needs; what only some need is a note.
"""

import argparse
import errno
import grp
import importlib.metadata
import json
import os
import platform
import re
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from pilot import __version__, places, runtimes
from pilot.commands import SETS

# Who listens where unless told otherwise, always on loopback.
PORTS: Final = {1883: "MQTT broker", 8883: "MQTT broker with TLS"}
ROOM_MB: Final = 1500  # packages and programs for all commands, unpacked


class Finding(NamedTuple):
    topic: str
    name: str
    state: str  # "good", "note" (some commands need it), "wrong" (every command needs it)
    detail: str


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = "Exits 1 where something is wrong that every command needs."


def run(args: argparse.Namespace) -> int:
    findings = list(look(args.data))
    wrong = [finding for finding in findings if finding.state == "wrong"]
    if args.json:
        print(json.dumps({"version": __version__, "findings": [finding._asdict() for finding in findings]}))
    else:
        print("\n".join(report(findings)))
    return 1 if wrong else 0


def report(findings: list[Finding]) -> Iterator[str]:
    """One line a finding, under its topic; what is not good is marked."""
    width = max(len(finding.name) for finding in findings)
    topic = ""
    for finding in findings:
        if finding.topic != topic:
            topic = finding.topic
            yield topic
        mark = {"good": " ", "note": "-", "wrong": "!"}[finding.state]
        yield f" {mark} {finding.name:<{width}}  {finding.detail}"


def look(data: Path) -> Iterator[Finding]:
    yield from _system()
    yield from _packages()
    for runtime in runtimes.find(*runtimes.KINDS).values():
        state = "good" if runtime.path else "note"
        yield Finding("programs", runtime.name, state, str(runtime).partition(" ")[2])
    yield from _folders(data)
    for port, user in PORTS.items():
        yield Finding("ports", str(port), *_port(port, user))
    yield _serial()


def _system() -> Iterator[Finding]:
    yield Finding("system", "tallygrid", "good", f"{__version__} {places.CHECKOUT or 'installed as a package'}")
    yield Finding("system", "python", "good", f"{platform.python_version()} ({platform.python_implementation()})")
    release = Path("/etc/os-release")
    found = re.search(r'^PRETTY_NAME="?([^"\n]+)', release.read_text() if release.is_file() else "", re.M)
    yield Finding("system", "machine", "good", f"{platform.machine()}, {found[1] if found else platform.platform()}")
    tools = [tool for tool in ("apt-get", "dpkg-deb") if shutil.which(tool) is None]
    detail = f"no {', '.join(tools)}: programs cannot be fetched" if tools else "programs can be fetched"
    yield Finding("system", "apt", "note" if tools else "good", detail)


def _packages() -> Iterator[Finding]:
    """Every package of the sets that are installed, against the lock."""
    if places.CHECKOUT is None:
        return
    for name in SETS:
        lock = (places.CHECKOUT / "locks" / f"{name}.txt").read_text()
        pins = set(re.findall(r"^([\w.-]+)==", lock, re.M))
        absent = [package for package in pins if _version(package) is None]
        state = "good" if not absent else "wrong" if name == "run" else "note"
        detail = f"{len(pins)} packages" if not absent else f"{len(absent)} of {len(pins)} are not installed yet"
        yield Finding("packages", name, state, detail)


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _folders(data: Path) -> Iterator[Finding]:
    for name, folder in (("data", data), ("programs", places.runtime())):
        there = next(each for each in (folder, *folder.parents) if each.exists())
        if not os.access(there, os.W_OK | os.X_OK):
            yield Finding("folders", name, "wrong" if name == "data" else "note", f"{folder} cannot be written to")
            continue
        free_mb = shutil.disk_usage(there).free // 1_000_000
        state = "good" if free_mb >= ROOM_MB else "note"
        yield Finding("folders", name, state, f"{folder}, {free_mb:,} MB free (all commands together take {ROOM_MB:,})")


def _port(port: int, user: str) -> tuple[str, str]:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as trouble:
            taken = trouble.errno == errno.EADDRINUSE
            return "note", f"{user}: {'something listens here already' if taken else trouble.strerror}"
    return "good", f"{user}: free"


def _serial() -> Finding:
    """Boards and RS-485 adapters are reached over serial ports, which belong to a group."""
    ports = sorted(str(path) for pattern in ("ttyUSB*", "ttyACM*") for path in Path("/dev").glob(pattern))
    closed = [port for port in ports if not os.access(port, os.R_OK | os.W_OK)]
    if closed:
        group = grp.getgrgid(os.stat(closed[0]).st_gid).gr_name
        return Finding("ports", "serial", "note", f"no access to {', '.join(closed)}: join the group {group}")
    return Finding("ports", "serial", "good", ", ".join(ports) or "none plugged in")
