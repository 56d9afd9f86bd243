"""Virtual environments from lock files: stamps, growth, interruption, refusal. Packages are made here; no network."""

import base64
import contextlib
import hashlib
import json
import os
import platform
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from pilot import places, unpacked
from pilot.environment import Environment
from pilot.errors import Unavailable

ensurepip = None
with contextlib.suppress(ImportError):  # Debian splits it off
    import ensurepip


def wheel(folder: Path, name: str, version: str) -> str:
    """The smallest wheel there is, with a module that knows its version; returns its line for a lock."""
    info = f"{name}-{version}.dist-info"
    content = {
        f"{name}.py": f"VERSION = {version!r}\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{path},sha256={_digest(text)},{len(text)}\n" for path, text in content.items())
    path = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for member, text in {**content, f"{info}/RECORD": f"{record}{info}/RECORD,,\n"}.items():
            archive.writestr(member, text)
    return f"{name}=={version} \\\n    --hash=sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}\n"


def _digest(text: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Making an environment takes seconds, so the tests share one; each brings its own locks."""
    folder = tmp_path_factory.mktemp("checkout")
    (folder / "wheels").mkdir()
    here = {"python": f"{sys.version_info[0]}.{sys.version_info[1]}", "machine": platform.machine()}
    (folder / "bundle.json").write_text(json.dumps(here))
    return folder


@pytest.fixture(scope="session")
def pip() -> Path:
    """This machine's pip as a wheel, from wherever it has it."""
    there = sorted(Path(ensurepip.__file__).parent.glob("_bundled/pip-*.whl")) if ensurepip else []
    return there[-1] if there else unpacked.pip_wheel(places.runtime())


@pytest.fixture
def home(made: Path, pip: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Environment:
    monkeypatch.setenv(places.BUNDLE_VARIABLE, str(made))
    monkeypatch.setattr(unpacked, "pip_wheel", lambda runtime: pip)
    return Environment(made / ".venv", tmp_path, ("small", "large"))


def lock(home: Environment, version: str) -> None:
    """Locks of two sets, one holding the other."""
    assert os.environ[places.BUNDLE_VARIABLE]
    wheels = home.folder.parent / "wheels"
    one, two = (wheel(wheels, name, version) for name in ("tally_one", "tally_two"))
    (home.locks / "small.txt").write_text(one)
    (home.locks / "large.txt").write_text(one + two)


def versions(home: Environment) -> list[str]:
    """The versions of both packages, as a program in the environment sees them; '-' for one that is not there."""
    look = "import importlib\nfor n in ('tally_one', 'tally_two'):\n try: print(importlib.import_module(n).VERSION)\n"
    done = subprocess.run([home.python, "-c", look + " except ImportError: print('-')"], capture_output=True, text=True)
    return done.stdout.split()


def untouchable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Environment, "_install", lambda *_: pytest.fail("installed although it is current"))


def test_sets_grow_and_never_shrink(home: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    lock(home, "1.0")
    home.ensure("small")
    assert (home.is_current("small"), home.is_current("large")) == (True, False)
    home.ensure("large")
    assert versions(home) == ["1.0", "1.0"]
    untouchable(monkeypatch)
    home.ensure("small")
    home.ensure("large")
    assert home.is_current("small") and home.is_current("large")


def test_a_changed_lock_is_followed(home: Environment) -> None:
    lock(home, "1.0")
    home.ensure("large")
    lock(home, "2.0")
    assert not home.is_current("small") and not home.is_current("large")
    home.ensure("small")
    assert versions(home)[0] == "2.0"


def test_a_killed_install_is_mended_even_where_a_package_is_half_there(home: Environment) -> None:
    lock(home, "3.0")
    home.ensure("large")
    site = next(home.folder.glob("lib/python*/site-packages"))
    (site / "tally_two.py").unlink()
    (site / "tally_two-3.0.dist-info" / "RECORD").unlink()
    for stamp in site.glob("tallygrid-*.lock"):
        stamp.unlink()
    (home.folder / "installing").touch()
    home.ensure("large")
    assert versions(home) == ["3.0", "3.0"] and not (home.folder / "installing").exists()


def test_without_a_network_what_worked_goes_on_working(home: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    lock(home, "4.0")
    home.ensure("small")
    monkeypatch.delenv(places.BUNDLE_VARIABLE)
    monkeypatch.setattr(places, "CHECKOUT", None)
    for name in ("PIP_NO_INDEX", "PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "0")
    with pytest.raises(Unavailable, match="is there a network"):
        home.ensure("large")
    assert home.is_current("small") and versions(home)[0] == "4.0"


def test_a_package_that_is_not_the_locked_one_is_refused(home: Environment) -> None:
    lock(home, "5.0")
    wheel(home.folder.parent / "wheels", "tally_one", "5.0")
    path = home.folder.parent / "wheels" / "tally_one-5.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("tally_extra.py", "print('not what was locked')\n")
    with pytest.raises(Unavailable, match=r"(?i)hash"):
        home.ensure("small")
    assert not home.is_current("small")


def test_a_bundle_for_another_python_is_refused(home: Environment, made: Path) -> None:
    lock(home, "6.0")
    told = (made / "bundle.json").read_text()
    (made / "bundle.json").write_text(json.dumps({"python": "3.9", "machine": "vax"}))
    try:
        with pytest.raises(Unavailable, match=r"made for Python 3\.9 on vax"):
            home.ensure("small")
    finally:
        (made / "bundle.json").write_text(told)


def test_a_broken_environment_is_made_anew(home: Environment) -> None:
    lock(home, "7.0")
    home.ensure("small")
    (home.folder / "pyvenv.cfg").unlink()
    (home.folder / "bin" / "python").unlink()
    assert not home.is_current("small")
    home.ensure("small")
    assert versions(home)[0] == "7.0"


def test_pip_is_brought_where_python_has_none(
    home: Environment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Debian without python3-venv: a bare environment can be made, one with pip cannot."""
    lock(home, "8.0")
    base = tmp_path / "python-without-ensurepip"
    real = getattr(sys, "_base_executable", sys.executable)
    base.write_text(f'#!/bin/sh\ncase "$*" in *--without-pip*) exec {real} "$@" ;; *) exit 1 ;; esac\n')
    base.chmod(0o755)
    monkeypatch.setattr(sys, "_base_executable", str(base))
    bare = Environment(tmp_path / "bare", home.locks, home.sets)
    bare.ensure("small")
    assert versions(bare)[0] == "8.0"


def test_without_any_pip_it_says_what_to_do(
    home: Environment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "_base_executable", "/bin/false")
    with pytest.raises(Unavailable, match="as root: apt-get install python3-venv"):
        Environment(tmp_path / "none", home.locks, home.sets).ensure("small")
