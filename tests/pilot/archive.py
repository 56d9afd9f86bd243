"""A Debian archive of a few tiny packages in a folder, for tests that fetch and unpack without a network.

Owns: packages made with dpkg-deb, their index and the definition that names them by a file: URI.
Refuses: signatures; the definition says trusted=yes, so what is tested is our way through apt, not apt's keys.
"""

import hashlib
import shutil
import subprocess
from pathlib import Path

import pytest

SUITE = "trixie"


def need_apt() -> None:
    for tool in ("apt-get", "dpkg-deb"):
        if shutil.which(tool) is None:
            pytest.skip(f"no {tool} on this system, so nothing could be fetched with it")


class LocalArchive:
    """Add packages, then `publish`; `etc` is what /etc/apt would be on a system that uses it."""

    def __init__(self, folder: Path, codename: str) -> None:
        self.folder = folder / "archive"
        self.pool = self.folder / "pool"
        self.pool.mkdir(parents=True)
        self.etc = folder / "etc"
        self.etc.mkdir()
        (self.etc / "sources.list").write_text(f"deb [trusted=yes] file:{self.folder} {codename} main\n")

    def add(self, name: str, arch: str, files: dict[str, str], depends: str = "", version: str = "1.0-1") -> Path:
        tree = self.folder / "tree" / name
        shutil.rmtree(tree, ignore_errors=True)
        for path, content in files.items():
            (tree / path).parent.mkdir(parents=True, exist_ok=True)
            (tree / path).write_text(content)
            (tree / path).chmod(0o755)
        (tree / "DEBIAN").mkdir(parents=True)
        lines = [f"Package: {name}", f"Version: {version}", f"Architecture: {arch}", "Maintainer: tests <t@example>"]
        lines += [f"Depends: {depends}"] if depends else []
        (tree / "DEBIAN" / "control").write_text("\n".join([*lines, "Description: for tests", ""]))
        target = self.pool / f"{name}_{version}_{arch}.deb"
        subprocess.run(["dpkg-deb", "--root-owner-group", "--build", tree, target], check=True, capture_output=True)
        return target

    def publish(self, arch: str) -> None:
        index = self.folder / "dists" / SUITE / "main" / f"binary-{arch}" / "Packages"
        index.parent.mkdir(parents=True, exist_ok=True)
        ours = [deb for deb in sorted(self.pool.glob("*.deb")) if deb.stem.endswith((f"_{arch}", "_all"))]
        index.write_text("\n".join(self._entry(deb) for deb in ours))
        release = self.folder / "dists" / SUITE / "Release"
        indices = sorted(release.parent.glob("main/binary-*/Packages"))
        arches = " ".join(each.parent.name.partition("-")[2] for each in indices)
        lines = [f"Suite: {SUITE}", f"Codename: {SUITE}", f"Architectures: {arches}", "Components: main", "SHA256:"]
        for each in indices:
            digest = hashlib.sha256(each.read_bytes()).hexdigest()
            lines.append(f" {digest} {each.stat().st_size} {each.relative_to(release.parent)}")
        release.write_text("\n".join([*lines, ""]))

    def _entry(self, deb: Path) -> str:
        control = subprocess.run(["dpkg-deb", "-f", deb], check=True, capture_output=True, text=True).stdout
        digest = hashlib.sha256(deb.read_bytes()).hexdigest()
        return f"{control}Filename: pool/{deb.name}\nSize: {deb.stat().st_size}\nSHA256: {digest}\n"
