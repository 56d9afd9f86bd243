"""Make a folder that sets up a machine without a network: `tallygrid bundle DIR`.

Owns: DIR/bundle.json (what is in it and for whom), DIR/wheels, DIR/debs, and DIR/tallygrid, a copy of this checkout.
Refuses: adding to a folder that is something else; half a bundle (bundle.json is written last).
Invariant: on the other machine nothing but the source changes: the same locks, hashes and unpacking as with a network.

There, DIR/tallygrid/tallygrid finds the bundle around it; another checkout takes `./tallygrid --from DIR COMMAND`.
"""

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

from pilot import __version__, apt, places, runtimes, unpacked
from pilot.commands import SETS
from pilot.console import say
from pilot.errors import Unavailable
from pilot.onlyone import only_one

# Debian's names of the machines that the locks cover.
ARCHES: Final = {"x86_64": "amd64", "aarch64": "arm64"}
PYTHONS: Final = ("3.11", "3.12", "3.13")
# Wheels for any C library up to that of Debian 12, under the new names and an old one; pip takes no ranges.
_LIBRARIES: Final = ("manylinux2014", *(f"manylinux_2_{minor}" for minor in range(36, 4, -1)))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", metavar="DIR", type=Path, help="where to make it; a new folder, or an older bundle")
    here = ".".join(platform.python_version_tuple()[:2])
    parser.add_argument("--python", choices=PYTHONS, default=here, help="Python of the other machine (%(default)s)")
    machine = platform.machine()
    parser.add_argument("--machine", choices=ARCHES, default=machine, help="its kind, as uname -m says (%(default)s)")
    parser.add_argument("--packages", choices=SETS, default=SETS[-1], help="for which commands (%(default)s: for all)")


def run(args: argparse.Namespace) -> int:
    if places.CHECKOUT is None:
        raise Unavailable("a bundle is made from a checkout; this is an installed package")
    folder: Path = args.folder.absolute()
    whole, part = folder / "bundle.json", folder / "bundle.part"
    if folder.is_dir() and any(folder.iterdir()) and not (whole.is_file() or part.is_file()):
        raise Unavailable(f"{folder} holds something else; name a new folder")
    shutil.rmtree(folder / "wheels", ignore_errors=True)
    (folder / "wheels").mkdir(parents=True)
    part.touch()
    whole.unlink(missing_ok=True)
    _copy_sources(places.CHECKOUT, folder / "tallygrid")
    # The judge of our COSE messages has an environment of its own, for the tests.
    for name in (args.packages, "cose") if args.packages == "dev" else (args.packages,):
        _fetch_wheels(places.CHECKOUT / "locks" / f"{name}.txt", folder / "wheels", args.python, args.machine)
    contents = {
        "version": __version__,
        "python": args.python,
        "machine": args.machine,
        "packages": args.packages,
        "debs": _fetch_debs(folder / "debs", args.machine),
    }
    whole.write_text(json.dumps(contents, indent=2) + "\n")
    part.unlink()
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6
    say(f"{folder} is ready, {size:.0f} MB: take it there and run tallygrid/tallygrid in it")
    if args.json:
        print(json.dumps({"folder": str(folder), "size_mb": round(size, 1), **contents}))
    return 0


def _copy_sources(checkout: Path, target: Path) -> None:
    """The files of the checkout as they stand, without what is ignored; a copy without git is copied whole."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(command, cwd=checkout, capture_output=True, text=True) if shutil.which("git") else None
    if done is None or done.returncode:
        raise Unavailable(f"{checkout} is no git checkout, or there is no git: which files belong to it is not known")
    shutil.rmtree(target, ignore_errors=True)
    names = [name for name in done.stdout.split("\0") if name and (checkout / name).is_file()]
    say(f"copying {len(names)} files of {checkout}")
    for name in names:
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(checkout / name, target / name)


def _fetch_wheels(lock: Path, wheels: Path, python: str, machine: str) -> None:
    say(f"fetching packages for Python {python} on {machine} ({lock.parent.name}/{lock.name})")
    tags = [f"--platform={library}_{machine}" for library in _LIBRARIES]
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", "download", "--quiet"]
    command += ["--require-hashes", "--only-binary", ":all:", "--no-deps", "--requirement", str(lock)]
    command += ["--dest", str(wheels), "--implementation=cp", f"--python-version={python}", *tags]
    environ = {"PIP_NO_CACHE_DIR": "1", **os.environ}
    if subprocess.run(command, env=environ, stdout=sys.stderr).returncode:
        raise Unavailable("the packages could not be fetched; pip says why above")


def _fetch_debs(store: Path, machine: str) -> dict[str, list[dict[str, Any]]]:
    """All programs for that machine, and pip, which Debian may have split off; by Debian's architectures."""
    native = ARCHES[machine]
    found: dict[str, list[dict[str, Any]]] = {}
    packages = {kind.package for kind in runtimes.KINDS.values() if kind.package} | {unpacked.PIP_PACKAGE}
    packages |= {unpacked.RUNNER_PACKAGE} if native != "arm64" else set()
    wanted = {native: sorted(packages), runtimes.NARROW[native]: ["micropython"], "armhf": ["micropython"]}
    for arch, names in wanted.items():
        with only_one(places.runtime() / "lock", "fetching programs"):
            archive = apt.Apt(places.runtime() / "apt", arch, unpacked.SUITE)
            debs = archive.resolve(names)
            archive.fetch(debs, store)
        found[arch] = [deb._asdict() for deb in debs]
    return found
