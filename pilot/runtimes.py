"""Programs that are no Python packages: MicroPython in two widths, Mosquitto, Valgrind, CometBFT, Chromium.

Owns: what each must be, where it is found (the environment, the system, .runtime/) and how it is fetched.
Refuses: installing on the host (but Chromium, as root, when asked), and any stand-in: what cannot be had says why.
Invariants: nothing counts as found before it ran and told its version; .runtime/ changes by renaming whole pieces.

A fetched program is (but for CometBFT) Debian's, unpacked with all its libraries and run by its own loader, so it needs
nothing of the host but the kernel. .runtime/bin/NAME runs it; TALLYGRID_NAME hands its path to child commands.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from pilot import apt, places, unpacked
from pilot.console import say
from pilot.errors import Unavailable
from pilot.onlyone import only_one

Version = tuple[int, ...]

# Debian's name of the same system with 32-bit words, whose objects have the sizes that boards have.
NARROW: Final = {"amd64": "i386", "arm64": "armhf", "i386": "i386", "armhf": "armhf"}
# Where distributions put servers, outside an ordinary user's PATH.
SERVERS: Final = "/usr/sbin"


class Kind(NamedTuple):
    """What one runtime must be."""

    programs: tuple[str, ...]  # what the system calls it
    probe: tuple[str, ...]  # arguments that make it tell its version
    says: str  # what it must say; group 1 is the version
    minimum: Version
    package: str  # Debian's package, unpacked under .runtime/
    arch: str = ""  # whose build: this machine's own, its "narrow" sister's, or the one named


_TELL: Final = (
    "-c",
    """if 1:
        import sys
        i = sys.implementation
        print(i.name, "%d.%d.%d" % tuple(i.version[:3]), 64 if sys.maxsize > 1 << 32 else 32)
    """,
)
KINDS: Final = {
    "micropython32": Kind(("micropython",), _TELL, r"^micropython ([\d.]+) 32$", (1, 25), "micropython", "narrow"),
    "micropython64": Kind(("micropython",), _TELL, r"^micropython ([\d.]+) 64$", (1, 25), "micropython"),
    # The code of ARM boards: where this machine is none, Debian's emulator runs it.
    "micropython_armhf": Kind((), _TELL, r"^micropython ([\d.]+) 32$", (1, 25), "micropython", "armhf"),
    "mosquitto": Kind(("mosquitto",), ("-h",), r"mosquitto version ([\d.]+)", (2, 0), "mosquitto"),
    # Older ones die in the loader of the MicroPython that we unpack.
    "valgrind": Kind(("valgrind",), ("--version",), r"valgrind-([\d.]+)", (3, 24), "valgrind"),
    # A Modbus client that nobody here wrote, for the tests.
    "mbpoll": Kind(("mbpoll",), ("-V",), r"^([\d.]+)-\d+$", (1, 0), "mbpoll"),
    "cometbft": Kind(("cometbft",), ("version",), r"^v?(0\.38\.\d+)", (0, 38, 21), ""),
    "chromium": Kind(
        ("chromium", "chromium-browser", "google-chrome"), ("--version",), r"(?:Chromium|Chrome) ([\d.]+)", (100,), ""
    ),
}


@dataclass(frozen=True)
class Runtime:
    """One program: where it is and what it said of itself, or why there is none."""

    name: str
    path: Path | None
    version: str
    origin: str  # "environment", "system", "fetched", or "missing"
    reason: str = ""

    def __str__(self) -> str:
        if self.path is None:
            return f"{self.name}: missing: {self.reason}"
        return f"{self.name} {self.version} ({self.origin}): {self.path}"


class Runtimes(dict[str, Runtime]):
    """The runtimes that a command asked for, by name."""

    def path(self, name: str) -> Path:
        """The program, or a clear refusal to go on without it."""
        runtime = self[name]
        if runtime.path is None:
            raise Unavailable(f"{name} is needed and cannot be had here: {runtime.reason}")
        return runtime.path

    def micropython(self) -> Path:
        """What firmware runs on: 32-bit words as on boards; the native width only where 32-bit programs cannot run."""
        return self.path("micropython32" if self["micropython32"].path else "micropython64")

    def environ(self) -> dict[str, str]:
        """This process's environment with the paths of all that were found, for child commands."""
        ours = {variable(each.name): str(each.path) for each in self.values() if each.path}
        return {**os.environ, **ours}


def variable(name: str) -> str:
    return f"TALLYGRID_{name.upper()}"


def find(*names: str) -> Runtimes:
    """What of these is here already; fetches nothing, says nothing."""
    return Runtimes({name: _given(name) or _system(name) or _fetched(name) for name in names})


def need(*names: str) -> Runtimes:
    """Find these, fetch what is not here, and say on stderr which program each one is."""
    found = find(*names)
    lacking = [name for name, runtime in found.items() if runtime.path is None and not _stuck(name)]
    troubles = _fetch(lacking) if lacking else {}
    found = Runtimes({name: find(name)[name] if name in lacking else found[name] for name in names})
    for name, why in troubles.items():
        if found[name].path is None:
            found[name] = _missing(name, why)
    for runtime in found.values():
        say(str(runtime))
    return found


def probe(kind: Kind, program: Path) -> str:
    """The version that this program tells; Unavailable when it does not run or is not what is wanted."""
    try:
        done = subprocess.run([program, *kind.probe], capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired) as trouble:
        raise Unavailable(f"{program} does not run: {trouble}") from trouble
    told = re.search(kind.says, done.stdout + done.stderr, re.M)
    if told is None:
        lines = (done.stderr or done.stdout).strip().splitlines() or ["nothing"]
        raise Unavailable(f"{program} is not what is wanted; it said: {lines[-1]}")
    if tuple(int(part) for part in told[1].strip(".").split(".")) < kind.minimum:
        wanted = ".".join(map(str, kind.minimum))
        raise Unavailable(f"{program} is version {told[1]}; at least {wanted} is needed")
    return told[1]


def _given(name: str) -> Runtime | None:
    """What the environment names is taken or refused, never passed over."""
    given = os.environ.get(variable(name))
    if not given:
        return None
    try:
        return Runtime(name, Path(given), probe(KINDS[name], Path(given)), "environment")
    except Unavailable as trouble:
        return _missing(name, f"{variable(name)}: {trouble}")


def _system(name: str) -> Runtime | None:
    search = os.environ.get("PATH", os.defpath) + os.pathsep + SERVERS
    for program in KINDS[name].programs:
        path = shutil.which(program, path=search)
        try:
            if path:
                return Runtime(name, Path(path), probe(KINDS[name], Path(path)), "system")
        except Unavailable:
            continue  # too old, or the other width: ours is fetched instead
    return None


def _fetched(name: str) -> Runtime:
    path = unpacked.wrapper(places.runtime(), name)
    if not path.is_file():
        return _missing(name, "it is not on this system and was not fetched yet")
    try:
        return Runtime(name, path, probe(KINDS[name], path), "fetched")
    except Unavailable as trouble:
        hint = "; this kernel may not run 32-bit programs" if KINDS[name].arch == "narrow" else ""
        return _missing(name, f"{trouble}{hint} (to fetch it anew, remove {places.runtime()})")


def _missing(name: str, reason: str) -> Runtime:
    return Runtime(name, None, "", "missing", reason)


def _stuck(name: str) -> bool:
    """Fetched or named by the user already, and it does not run: fetching once more would not change that."""
    return bool(os.environ.get(variable(name))) or unpacked.wrapper(places.runtime(), name).is_file()


def _fetch(names: Iterable[str]) -> dict[str, str]:
    """Fetch these; returns the reasons for those that could not be had."""
    troubles: dict[str, str] = {}
    for name, bring in {"chromium": _install_chromium, "cometbft": _build_cometbft}.items():
        try:
            if name in names:
                bring()
        except Unavailable as trouble:
            troubles[name] = str(trouble)
    for arch, wanted in by_arch(names, troubles).items():
        try:
            unpacked.add(places.runtime(), arch, {name: KINDS[name].package for name in wanted})
        except Unavailable as trouble:
            troubles.update(dict.fromkeys(wanted, str(trouble)))
    return troubles


def by_arch(names: Iterable[str], troubles: dict[str, str]) -> dict[str, list[str]]:
    """Which of these come from which of Debian's architectures; what this machine cannot have goes into `troubles`."""
    wanted: dict[str, list[str]] = {}
    for name in (each for each in names if KINDS[each].package):
        try:
            native = apt.native_arch()
        except Unavailable as trouble:
            troubles[name] = str(trouble)
            continue
        arch = NARROW.get(native) if KINDS[name].arch == "narrow" else KINDS[name].arch or native
        if arch is None or (name == "micropython64" and NARROW.get(native) == native):
            troubles[name] = f"there is no such build for {native}"
        else:
            wanted.setdefault(arch, []).append(name)
    return wanted


def _install_chromium() -> None:
    """The one program that the host must have: a browser brings too much of a desktop to run unpacked."""
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise Unavailable("this system has no Chromium; as root: apt-get install chromium")
    say("installing Chromium with apt-get, for the page's tests")
    for words in (["update"], ["install", "--yes", "--no-install-recommends", "chromium"]):
        done = subprocess.run(["apt-get", "-qq", *words], capture_output=True, text=True, stdin=subprocess.DEVNULL)
        if done.returncode:
            raise Unavailable(f"apt-get {words[0]}: {done.stderr.strip()}")


def _build_cometbft() -> None:
    """The consortium's engine is no Debian package; it is built where Go is."""
    from ledger.engines import comet_node  # needs packages, which most who come here do without

    if shutil.which("go") is None:
        raise Unavailable("this system has no Go, which builds it, and no cometbft 0.38")
    folder = places.runtime() / ".building-cometbft"
    with only_one(places.runtime() / "lock", "building CometBFT"):
        say("building CometBFT with Go; this takes some minutes, once")
        # Go keeps a gigabyte of sources and objects; here they go with the folder, unless the user has named a place.
        for name, value in (("GOPATH", "path"), ("GOCACHE", "cache")):
            os.environ.setdefault(name, str(folder / value))
        os.environ["GOFLAGS"] = f"{os.environ.get('GOFLAGS', '')} -modcacherw".strip()
        try:
            built = comet_node.install_engine(folder)
        except comet_node.NodeError as trouble:
            raise Unavailable(str(trouble)) from trouble
        target = unpacked.wrapper(places.runtime(), "cometbft")
        target.parent.mkdir(parents=True, exist_ok=True)
        built.replace(target)
        shutil.rmtree(folder, ignore_errors=True)
