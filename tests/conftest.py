"""What all tests share: the paths of real runtimes, and a closing list of what was not run and why.

Owns: the fixtures `micropython` (32-bit where it can be had, else the native one), `micropython32`, `micropython64`,
`micropython_armhf`, `mosquitto`, `mbpoll`, `valgrind`, `chromium`, `pycose_python`: each the path of one executable.
Refuses: a stand-in. A test whose runtime cannot be had is named in the closing lines, never silently skipped.
"""

import os
from pathlib import Path

import pytest

from pilot.environment import Environment
from pilot.errors import Unavailable

_PREFIX = "TALLYGRID_"


def runtime(name: str) -> str:
    """The path of a runtime, or a skip that the closing lines name. `./tallygrid test` sets these variables."""
    path = os.environ.get(_PREFIX + name.upper())
    if not path:
        pytest.skip(f"no {name} here: run ./tallygrid test, which finds or fetches it")
    return path


@pytest.fixture(scope="session")
def micropython32() -> str:
    return runtime("micropython32")


@pytest.fixture(scope="session")
def micropython64() -> str:
    return runtime("micropython64")


@pytest.fixture(scope="session")
def micropython() -> str:
    """The emulator's choice: 32-bit objects as boards have them, the native width where 32-bit programs cannot run."""
    return os.environ.get(_PREFIX + "MICROPYTHON32") or runtime("micropython64")


@pytest.fixture(scope="session")
def micropython_armhf() -> str:
    """Runs the native code of ARM boards; slowly where this machine is none."""
    return runtime("micropython_armhf")


@pytest.fixture(scope="session")
def mosquitto() -> str:
    return runtime("mosquitto")


@pytest.fixture(scope="session")
def mbpoll() -> str:
    return runtime("mbpoll")


@pytest.fixture(scope="session")
def valgrind() -> str:
    return runtime("valgrind")


@pytest.fixture(scope="session")
def chromium() -> str:
    return runtime("chromium")


@pytest.fixture(scope="session")
def pycose_python() -> str:
    """A Python with pycose, which reads nothing with the cbor2 that all others use: an environment of its own."""
    root = Path(__file__).resolve().parent.parent
    judge = Environment(root / ".venv-cose", root / "locks", ("cose",))
    try:
        judge.ensure("cose")
    except Unavailable as lack:
        pytest.skip(str(lack))
    return str(judge.python)
