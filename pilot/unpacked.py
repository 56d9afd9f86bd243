"""Fetched programs under .runtime/: one unpacked root for each architecture, one wrapper for each program.

Owns: .runtime/ARCH-DIGEST (a root), .runtime/bin/NAME (wrappers), .runtime/debs (package files), .runtime/apt.
Refuses: changing a root that is in use; a new one is built beside it, then the wrappers are renamed over.
Invariant: a root that has its final name is complete, and every wrapper names a root that is.
"""

import hashlib
import json
import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Protocol

from pilot import apt, places
from pilot.console import say
from pilot.errors import Unavailable
from pilot.onlyone import only_one

# Debian 13 and Raspberry Pi OS of that age: the first release that has MicroPython 1.25; it also serves older hosts,
# because an unpacked program brings its own libraries.
SUITE: Final = "trixie"

# Debian's package that holds pip as a wheel.
PIP_PACKAGE: Final = "python3-pip-whl"

_LOADED: Final = """\
#!/bin/sh
# made by pilot/unpacked.py from Debian's {package}
root="${{0%/*}}/../{root}"
exec {runner}"$root/{loader}" --library-path "$root/{libraries}" "$root/{program}" "$@"
"""

# Valgrind's tools are static, and its launcher finds itself by /proc/self/exe, so it must be run directly. What it is
# given to run is a wrapper like the above: it follows the exec, and only the program itself is counted.
_VALGRIND: Final = """\
#!/bin/sh
# made by pilot/unpacked.py from Debian's {package}
root="${{0%/*}}/../{root}"
VALGRIND_LIB="$root/usr/libexec/valgrind" exec "$root/usr/bin/valgrind" --trace-children=yes "$@"
"""


class Archive(Protocol):
    """Where package files come from: Debian through apt, or a bundle."""

    def resolve(self, packages: list[str]) -> list[apt.Deb]: ...

    def fetch(self, debs: list[apt.Deb], store: Path) -> None: ...


class Carried:
    """The package files of a bundle; it was made with all that each architecture needs."""

    def __init__(self, bundle: Path, arch: str) -> None:
        self.bundle, self.arch = bundle, arch

    def resolve(self, packages: list[str]) -> list[apt.Deb]:
        there = json.loads((self.bundle / "bundle.json").read_text())["debs"]
        if self.arch not in there:
            raise Unavailable(f"{self.bundle} was made for another machine: it has no {self.arch}")
        return [apt.Deb(**each) for each in there[self.arch]]

    def fetch(self, debs: list[apt.Deb], store: Path) -> None:
        store.mkdir(parents=True, exist_ok=True)
        for deb in debs:
            shutil.copyfile(self.bundle / "debs" / deb.file, store / deb.file)
            if not apt.is_whole(store / deb.file, deb):
                raise Unavailable(f"{deb.file} in {self.bundle} is damaged")


def source(runtime: Path, arch: str) -> Archive:
    bundle = places.bundle()
    return Carried(bundle, arch) if bundle else apt.Apt(runtime / "apt", arch, SUITE)


# Static, and nothing but what runs the programs of another machine; its package holds dozens more.
_RUNNER: Final = """\
#!/bin/sh
# made by pilot/unpacked.py from Debian's {package}
root="${{0%/*}}/../{root}"
exec "$root/usr/bin/qemu-arm" "$@"
"""
RUNNER_PACKAGE: Final = "qemu-user"

_DIRECT: Final = {"valgrind": _VALGRIND, RUNNER_PACKAGE: _RUNNER}

# The machines whose programs each one runs by itself; for others there is the runner.
_RUNS: Final = {"amd64": ("amd64", "i386"), "arm64": ("arm64", "armhf")}


def needs_runner(arch: str) -> bool:
    native = apt.native_arch()
    return arch == "armhf" and arch not in _RUNS.get(native, (native,))


def wrapper(runtime: Path, name: str) -> Path:
    return runtime / "bin" / name


def add(runtime: Path, arch: str, packages: Mapping[str, str]) -> None:
    """Fetch these programs ({name: package}) and unpack them together with those of this architecture already here."""
    if needs_runner(arch):
        add(runtime, apt.native_arch(), {"qemu_arm": RUNNER_PACKAGE})
    with only_one(runtime / "lock", "fetching programs"):
        wanted = {**_present(runtime, arch), **packages}
        if all(_present(runtime, arch).get(name) for name in packages):
            return  # the process that we waited for has done it
        say(f"looking for {', '.join(sorted(set(wanted.values())))} for {arch}")
        archive = source(runtime, arch)
        debs = archive.resolve(sorted(set(wanted.values())))
        archive.fetch(debs, runtime / "debs")
        root = build(runtime, arch, [runtime / "debs" / deb.file for deb in debs])
        for name, package in wanted.items():
            _write(wrapper(runtime, name), _script(root, arch, package))
        _sweep(runtime, arch, root)


def pip_wheel(runtime: Path) -> Path:
    """The wheel of pip, which Debian keeps in a package of its own."""
    there = sorted(Path("/usr/share/python-wheels").glob("pip-*.whl"))
    if there:
        return there[-1]
    arch = apt.native_arch()
    with only_one(runtime / "lock", "fetching programs"):
        archive = source(runtime, arch)
        debs = archive.resolve([PIP_PACKAGE])
        archive.fetch(debs, runtime / "debs")
        root = build(runtime, "pip", [runtime / "debs" / deb.file for deb in debs])
    return next(root.glob("usr/share/python-wheels/pip-*.whl"))


def build(runtime: Path, arch: str, debs: list[Path]) -> Path:
    """The root that holds exactly these packages; made beside and renamed when complete."""
    digest = hashlib.sha256("\n".join(sorted(deb.name for deb in debs)).encode()).hexdigest()[:8]
    root = runtime / f"{arch}-{digest}"
    if not root.is_dir():
        building = runtime / f".building-{arch}-{os.getpid()}"
        shutil.rmtree(building, ignore_errors=True)
        apt.unpack(debs, building)
        for spare in building.glob("usr/bin/qemu-*"):
            if spare.name != "qemu-arm":
                spare.unlink()
        building.rename(root)
    return root


def _present(runtime: Path, arch: str) -> dict[str, str]:
    """The programs of this architecture that have a wrapper, with their packages."""
    pattern = re.compile(rf"^# made by \S+ from Debian's (\S+)\nroot=.*/{arch}-", re.M)
    told = {path.name: pattern.search(_head(path)) for path in sorted((runtime / "bin").glob("[!.]*"))}
    return {name: found[1] for name, found in told.items() if found}


def _head(path: Path) -> str:
    """The first lines of a wrapper; what was built and not unpacked is a binary."""
    with path.open("rb") as file:
        return file.read(300).decode("utf-8", "replace")


def _script(root: Path, arch: str, package: str) -> str:
    if package in _DIRECT:
        return _DIRECT[package].format(package=package, root=root.name)
    loader = next(root.glob("usr/lib/*/ld-linux*.so.*")).relative_to(root)
    program = next(path for path in (root / "usr/bin" / package, root / "usr/sbin" / package) if path.exists())
    runner = '"${0%/*}/qemu_arm" ' if needs_runner(arch) else ""
    inside = {"runner": runner, "loader": loader, "libraries": loader.parent, "program": program.relative_to(root)}
    return _LOADED.format(package=package, root=root.name, **inside)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.new")
    fresh.write_text(text)
    fresh.chmod(0o755)
    fresh.replace(path)


def _sweep(runtime: Path, arch: str, keep: Path) -> None:
    """Remove what earlier and interrupted runs left; a program that still runs from there has its files open."""
    for old in [*runtime.glob(f"{arch}-*"), *runtime.glob(f".building-{arch}-*")]:
        if old != keep:
            shutil.rmtree(old, ignore_errors=True)
