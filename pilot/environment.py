"""Virtual environments in the checkout, made from lock files.

Owns: .venv (and others beside it), their packages, and the stamps that say which locks they hold.
Refuses: packages that are not in a lock with a hash, builds from source, and anything outside the environment's folder.
Invariants: a stamp is the lock's own text and stands only while exactly that is installed; the network is used only
before anything changes, so a set-up that fails for lack of it leaves what worked; a killed one is mended by the next.
"""

import json
import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Final

from pilot import places, unpacked
from pilot.console import say
from pilot.errors import Unavailable
from pilot.onlyone import only_one

# The names of sysconfig schemes differ between systems; this one is what `python -m venv` uses everywhere.
_SITE: Final = sysconfig.get_path("purelib", "venv", {"base": "", "platbase": ""}).lstrip("/")

_REMEDY: Final = "on Debian, as root: apt-get install python3-venv"


class Environment:
    """One virtual environment and the sets of packages it can hold, each set holding the ones before it."""

    def __init__(self, folder: Path, locks: Path, sets: Sequence[str]) -> None:
        self.folder, self.locks, self.sets = folder, locks, tuple(sets)
        self.python = folder / "bin" / "python"
        self._busy = folder / "installing"
        self._wheels = folder / "wheels"
        self._cache = folder / "cache"

    def is_current(self, name: str) -> bool:
        """Is this set, or one that holds it, installed as locked?"""
        enough = self.sets[self.sets.index(name) :]
        return self.python.exists() and any(_same(self._stamp(each), self._lock(each)) for each in enough)

    def ensure(self, name: str) -> None:
        """Bring this set in, unless it is there."""
        if self.is_current(name):
            return
        with only_one(self.folder.with_name(f".setup-{self.folder.name.lstrip('.')}.lock"), "setting up packages"):
            if not self.is_current(name):
                self._make()
                self._install(name)

    def _lock(self, name: str) -> Path:
        return self.locks / f"{name}.txt"

    def _stamp(self, name: str) -> Path:
        # Beside the packages themselves: after a change of Python's version neither is where it looks.
        return self.folder / _SITE / f"tallygrid-{name}.lock"

    def _make(self) -> None:
        """A virtual environment with pip, made by the Python that runs this."""
        whole = f"import pip, sys; sys.exit(sys.version_info[:2] != {sys.version_info[:2]})"
        if (self.folder / "pyvenv.cfg").is_file() and _runs(self.python, "-c", whole):
            return
        say(f"making {self.folder.name} with Python {sys.version.split()[0]}")
        base = Path(getattr(sys, "_base_executable", "") or sys.executable)
        if _runs(base, "-m", "venv", "--clear", self.folder):
            return
        if not _runs(base, "-m", "venv", "--clear", "--without-pip", self.folder):
            raise Unavailable(f"{base} cannot make a virtual environment; {_REMEDY}")
        self._bring_pip()

    def _bring_pip(self) -> None:
        """Debian splits pip off into python3-venv; its wheel can be had without installing that."""
        try:
            wheel = unpacked.pip_wheel(places.runtime())
        except Unavailable as trouble:
            raise Unavailable(f"this Python brings no pip, and {trouble}; {_REMEDY}") from trouble
        if not _runs(self.python, f"{wheel}/pip", "install", "--quiet", "--no-index", "--no-deps", wheel):
            raise Unavailable(f"{wheel} did not install into {self.folder}")

    def _install(self, name: str) -> None:
        lock = self._lock(name)
        count = len(set(re.findall(r"^([\w.-]+)==", lock.read_text(), re.M)))
        start = time.monotonic()
        say(f"setting up {count} packages ({lock.parent.name}/{lock.name}); the first time takes a minute or two")
        bundle = _bundle()
        source = bundle / "wheels" if bundle else self._wheels
        if bundle is None:
            self._pip("download", "--dest", str(source), *_locked(lock))
        # From here on the network is not needed, and nothing that the stamps say is certain any more.
        mend = ["--ignore-installed"] if self._busy.exists() else []
        self._busy.touch()
        for each in self.sets:
            self._stamp(each).unlink(missing_ok=True)
        # Compiling all of it would take longer than installing it; each module is compiled when it is first used.
        self._pip("install", "--no-index", "--find-links", str(source), "--no-compile", *mend, *_locked(lock))
        for each in self.sets[: self.sets.index(name) + 1]:
            fresh = self._stamp(each).with_suffix(".new")
            fresh.write_bytes(self._lock(each).read_bytes())
            fresh.replace(self._stamp(each))
        self._busy.unlink()
        for spent in (self._wheels, self._cache):
            shutil.rmtree(spent, ignore_errors=True)
        say(f"packages are set up ({time.monotonic() - start:.0f} s)")

    def _pip(self, *words: str) -> None:
        command = [str(self.python), "-m", "pip", "--disable-pip-version-check", "--no-input", *words]
        # A user's own pip settings (mirrors, certificates) hold; one that would install elsewhere does not.
        # Its cache stays in here too, unless the user has named a place: nothing outside the checkout changes.
        settings = {"PIP_CACHE_DIR": str(self._cache), **os.environ, "PIP_USER": "0", "PYTHONPATH": ""}
        pipe, joined = subprocess.PIPE, subprocess.STDOUT
        with subprocess.Popen(command, env=settings, text=True, stdout=pipe, stderr=joined) as pip:
            assert pip.stdout is not None
            lines = _follow(pip.stdout)
        if pip.returncode:
            told = [line for line in lines if line.startswith("ERROR")] or lines[-5:]
            hint = "is there a network? without one, set up from a folder made by `tallygrid bundle`"
            raise Unavailable("\n  ".join([f"pip {words[0]} failed; {hint}:", *told]))


def _bundle() -> Path | None:
    """The bundle to install from, if there is one and it was made for this Python on this machine."""
    bundle = places.bundle()
    if bundle:
        made = json.loads((bundle / "bundle.json").read_text())
        here = {"python": f"{sys.version_info[0]}.{sys.version_info[1]}", "machine": platform.machine()}
        if any(made[each] != here[each] for each in here):
            made_for = f"Python {made['python']} on {made['machine']}"
            raise Unavailable(f"{bundle} was made for {made_for}; this is Python {here['python']} on {here['machine']}")
    return bundle


def _follow(stream: IO[str]) -> list[str]:
    """What pip says, kept for the case that it fails; a person at a terminal sees a count meanwhile."""
    lines: list[str] = []
    for line in stream:
        lines.append(line.rstrip())
        if sys.stderr.isatty():
            count = sum(each.startswith("Collecting ") for each in lines)
            print(f"\r  {count} packages", end="", file=sys.stderr, flush=True)
    if sys.stderr.isatty():
        print(file=sys.stderr)
    return lines


def _locked(lock: Path) -> list[str]:
    return ["--require-hashes", "--only-binary", ":all:", "--no-deps", "--requirement", str(lock)]


def _same(one: Path, other: Path) -> bool:
    try:
        return one.read_bytes() == other.read_bytes()
    except OSError:
        return False


def _runs(*words: str | Path) -> bool:
    return subprocess.run(words, capture_output=True, stdin=subprocess.DEVNULL).returncode == 0
