"""A Mosquitto for each test that asks for one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.gateway.rig import open_broker


@pytest.fixture
def broker(mosquitto: str, tmp_path: Path) -> Iterator[int]:
    with open_broker(mosquitto, tmp_path) as port:
        yield port
