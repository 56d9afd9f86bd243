"""What the firmware's tests share: one built tree a session, a broker a test, a driver's runtime a module."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.firmware.bench_drivers import Runtime
from tests.firmware.device import Broker, tree


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tree(tmp_path_factory.mktemp("tree"))


@pytest.fixture
def broker(mosquitto: str, tmp_path: Path) -> Iterator[Broker]:
    found = Broker(mosquitto, tmp_path)
    yield found
    found.stop()


@pytest.fixture(scope="module", params=["cpython", "micropython32", "micropython64"])
def runtime(request: pytest.FixtureRequest) -> Iterator[Runtime]:
    """Where a driver runs: every driver test runs in all three."""
    found = Runtime(None if request.param == "cpython" else request.getfixturevalue(request.param))
    yield found
    found.close()
