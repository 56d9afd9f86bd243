"""The script at the root: which Python it takes, what it says where there is none, and how soon it hands over."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pilot import __version__

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def fresh(tmp_path: Path) -> Path:
    """A checkout without an environment, and a PATH with nothing on it but what the script itself calls."""
    checkout = tmp_path / "a checkout"
    for name in ("pilot", "wire"):
        shutil.copytree(ROOT / name, checkout / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "tallygrid", checkout)
    (tmp_path / "bin").mkdir()
    for tool in ("dirname", "readlink"):
        (tmp_path / "bin" / tool).symlink_to(shutil.which(tool) or "")
    return checkout


def start(checkout: Path, *words: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    path = {"PATH": str(checkout.parent / "bin"), "HOME": str(checkout)}
    return subprocess.run([checkout / "tallygrid", *words], env=path, cwd=cwd, capture_output=True, text=True)


def python(checkout: Path, name: str, version: str) -> None:
    """A Python that answers as one of this version would, or the real one."""
    path = checkout.parent / "bin" / name
    if version == "real":
        path.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    else:
        path.write_text(f'#!/bin/sh\ncase "$2" in *sys.exit*) exit 3 ;; esac\necho {version}\n')
    path.chmod(0o755)


def test_without_python_it_says_what_to_do(fresh: Path) -> None:
    done = start(fresh, "--help")
    assert done.returncode == 69 and done.stdout == ""
    assert "needs Python 3.11 or newer" in done.stderr and "none" in done.stderr
    assert "apt-get install python3" in done.stderr


def test_an_old_python_is_named(fresh: Path) -> None:
    python(fresh, "python3", "3.9")
    done = start(fresh, "--help")
    assert done.returncode == 69 and f"{fresh.parent}/bin/python3 (3.9)" in done.stderr


def test_a_newer_python_beside_an_old_one_is_found(fresh: Path) -> None:
    python(fresh, "python3", "3.9")
    python(fresh, "python3.12", "real")
    done = start(fresh, "--version")
    assert (done.stdout, done.stderr) == (f"tallygrid {__version__}\n", "")


def test_help_needs_no_set_up_and_leaves_nothing_behind(fresh: Path) -> None:
    python(fresh, "python3", "real")
    before = sorted(path for path in fresh.rglob("*") if "__pycache__" not in path.parts)
    assert start(fresh, "--help").stdout.startswith("usage: tallygrid")
    assert start(fresh, "no-such-command").returncode == 2
    assert sorted(path for path in fresh.rglob("*") if "__pycache__" not in path.parts) == before


def test_the_users_own_folder_cannot_get_in_the_way(fresh: Path, tmp_path: Path) -> None:
    python(fresh, "python3", "real")
    trap = tmp_path / "trap"
    trap.mkdir()
    for name in ("argparse", "pilot", "wire"):
        (trap / f"{name}.py").write_text("raise SystemExit('the wrong one')\n")
    assert start(fresh, "--version", cwd=trap).stdout == f"tallygrid {__version__}\n"


def test_it_can_be_started_through_a_link(fresh: Path, tmp_path: Path) -> None:
    python(fresh, "python3", "real")
    link = tmp_path / "bin" / "tallygrid"
    link.symlink_to(fresh / "tallygrid")
    done = subprocess.run([link, "--version"], env={"PATH": str(tmp_path / "bin")}, capture_output=True, text=True)
    assert done.stdout == f"tallygrid {__version__}\n"


def test_a_second_run_hands_over_within_half_a_second() -> None:
    """In this checkout, which is set up: the whole of a command that does next to nothing."""
    taken = []
    for _ in range(3):
        begun = time.perf_counter()
        subprocess.run([ROOT / "tallygrid", "bench", "--help"], env=os.environ, check=True, capture_output=True)
        taken.append(time.perf_counter() - begun)
    assert min(taken) < 0.5, taken
