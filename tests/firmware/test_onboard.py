"""The firmware's cores on real MicroPython, 32 and 64 bits wide: each script of onboard/ with its checks."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.firmware.device import tree

HERE = Path(__file__).parent / "onboard"
SCRIPTS = sorted(path.name for path in HERE.glob("*.py") if path.name not in ("rig.py", "cuts.py"))


@pytest.fixture(scope="session")
def built32(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Not folded: these scripts look at names that a board has not."""
    return tree(tmp_path_factory.mktemp("tree32"), "x86", False)


@pytest.fixture(scope="session")
def built64(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tree(tmp_path_factory.mktemp("tree64"), "x64", False)


def run(micropython: str, built: Path, script: str, *args: str, heap: str = "4m") -> str:
    env = dict(os.environ, MICROPYPATH=f"{built}:{HERE}:.frozen")
    done = subprocess.run(
        [micropython, "-X", f"heapsize={heap}", str(HERE / script), *args], env=env, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout[-2_000:] + done.stderr[-4_000:]
    return done.stdout


@pytest.mark.parametrize("script", SCRIPTS)
def test_onboard_32(script: str, micropython32: str, built32: Path) -> None:
    assert "ok " in run(micropython32, built32, script)


@pytest.mark.parametrize("script", SCRIPTS)
def test_onboard_64(script: str, micropython64: str, built64: Path) -> None:
    assert "ok " in run(micropython64, built64, script)


@pytest.mark.parametrize("life", ["meter", "station"])
def test_power_cuts_break_nothing(life: str, micropython32: str, built32: Path) -> None:
    """A seeded sample; `tallygrid bench device` cuts at a thousand points and more."""
    found = json.loads(run(micropython32, built32, "cuts.py", life, "1", "40"))
    assert found["operations"] > 400 and found["cuts"] == 40
    assert found["broken"] == []
