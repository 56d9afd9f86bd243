"""Debian packages without root: apt looks them up and fetches them, dpkg-deb unpacks them into a folder of ours.

Owns: a private apt (lists, cache, configuration and package status of its own) pointed at the system's own archive.
Refuses: installing anything, and the host's hooks: an update of ours must not refresh somebody else's catalogue.
Invariants: every package is checked against the archive's signed index; nothing outside the given folder is written.
"""

import hashlib
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Final, NamedTuple

from pilot.aptsources import Source, debian_archives, read_all
from pilot.console import say
from pilot.errors import Unavailable

# Dependencies that matter only when a package is installed (users, questions, services) or debugged; we only unpack.
_NOT_NEEDED: Final = (
    "adduser", "base-passwd", "ca-certificates", "debconf", "init-system-helpers", "libc6-dbg", "sysvinit-utils",
)  # fmt: skip

_CONF: Final = """\
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear APT::Architectures;
#clear Acquire::Languages;
Dir::Etc::sourcelist "{folder}/own.sources";
Dir::Etc::sourceparts "/dev/null";
Dir::State::status "{folder}/status";
Dir::State::Lists "{folder}/lists";
Dir::Cache "{folder}/cache";
Debug::NoLocking "1";
APT::Sandbox::User "";
APT::Architecture "{arch}";
APT::Architectures {{ "{arch}"; }};
APT::Install-Recommends "0";
Acquire::Languages "none";
Acquire::ForceHash "SHA256";
Acquire::Retries "3";
"""

_STATUS: Final = """\
Package: {name}
Status: install ok installed
Architecture: {arch}
Multi-Arch: foreign
Version: 9999
Maintainer: none
Description: only matters where a package is installed

"""


class Deb(NamedTuple):
    """One package file as the archive's index names it."""

    file: str
    size: int
    sha256: str

    @property
    def package(self) -> str:
        """`name=version`, as apt wants it."""
        name, version, _ = self.file.split("_")
        return f"{name}={version.replace('%3a', ':')}"


def parse_uris(text: str) -> list[Deb]:
    """The lines of `apt-get --print-uris`: 'URI' file size SHA256:digest."""
    found = re.findall(r"^'[^']+' (\S+\.deb) (\d+) SHA256:([0-9a-f]{64})$", text, re.M)
    return [Deb(file, int(size), digest) for file, size, digest in found]


class Apt:
    """One architecture of one suite of the system's own archive, seen through an apt of our own."""

    def __init__(self, folder: Path, arch: str, suite: str, etc: Path = Path("/etc/apt")) -> None:
        for tool in ("apt-get", "dpkg-deb"):
            if shutil.which(tool) is None:
                raise Unavailable(f"this system has no {tool}, with which Debian's packages are fetched")
        self.folder, self.arch, self.suite = folder.absolute() / arch, arch, suite
        codename = _codename()
        self.archives = debian_archives(read_all(etc), codename)
        if not self.archives:
            raise Unavailable(f"{etc} names no Debian archive of {codename or 'this system'} to fetch packages from")

    def resolve(self, packages: list[str]) -> list[Deb]:
        """The files of these packages and of all they need, from the first archive that has them."""
        troubles = []
        for archive in self.archives:
            try:
                self._point_at(archive)
                self._run(["--quiet=2", "update"])
                debs = parse_uris(self._run(["--quiet=2", "--yes", "--print-uris", "install", *packages]))
            except Unavailable as trouble:
                troubles.append(str(trouble))
                continue
            assert debs, "apt resolved packages and printed no file in the form we read"
            return debs
        raise Unavailable("; ".join(troubles))

    def fetch(self, debs: list[Deb], store: Path) -> None:
        """Put these files into `store`; what is there and whole stays."""
        store.mkdir(parents=True, exist_ok=True)
        missing = [deb for deb in debs if not is_whole(store / deb.file, deb)]
        if not missing:
            return
        say(f"fetching {len(missing)} packages for {self.arch}, {sum(deb.size for deb in missing) / 1e6:.1f} MB")
        for deb in missing:
            (store / deb.file).unlink(missing_ok=True)
        self._run(["--quiet=2", "download", *(deb.package for deb in missing)], store)
        for deb in missing:
            if not is_whole(store / deb.file, deb):
                raise Unavailable(f"{deb.file} did not arrive whole from {' '.join(self.archives[0].uris)}; try again")

    def _point_at(self, archive: Source) -> None:
        for each in ("lists/partial", "cache/archives/partial"):
            (self.folder / each).mkdir(parents=True, exist_ok=True)
        (self.folder / "own.sources").write_text(archive.with_suite(self.suite))
        (self.folder / "apt.conf").write_text(_CONF.format(folder=self.folder, arch=self.arch))
        there = "".join(_STATUS.format(name=name, arch=self.arch) for name in _NOT_NEEDED)
        (self.folder / "status").write_text(there)

    def _run(self, words: list[str], cwd: Path | None = None) -> str:
        command = ["apt-get", "-c", str(self.folder / "apt.conf"), *words]
        plain = {**os.environ, "LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"}
        done = subprocess.run(command, cwd=cwd, env=plain, capture_output=True, text=True, stdin=subprocess.DEVNULL)
        # An update that could not reach the archive warns and exits 0 with an old index or none.
        failed = re.findall(r"^[EW]: (.*)$", done.stderr, re.M) if done.returncode or "update" in words else []
        if done.returncode or any("Failed to fetch" in line or "not signed" in line for line in failed):
            why = "; ".join(failed) or done.stderr.strip()
            raise Unavailable(f"apt-get {words[1]} ({self.suite}, {self.arch}): {why}")
        return done.stdout


def is_whole(path: Path, deb: Deb) -> bool:
    if not path.is_file() or path.stat().st_size != deb.size:
        return False
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == deb.sha256


def unpack(debs: list[Path], root: Path) -> None:
    root.mkdir(parents=True)
    for deb in debs:
        subprocess.run(["dpkg-deb", "-x", str(deb), str(root)], check=True)


def native_arch() -> str:
    """Debian's name for what this system's own programs are built for."""
    if shutil.which("dpkg") is None:
        raise Unavailable("this system has no dpkg: it is no Debian whose packages could be fetched")
    done = subprocess.run(["dpkg", "--print-architecture"], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def _codename() -> str:
    found = re.search(r'^VERSION_CODENAME="?([\w-]+)', Path("/etc/os-release").read_text(), re.M)
    return found[1] if found else ""
