"""What the supervisor decided for one run: ports, speed, where the site clock begins.

Owns: the file that every part of a pilot reads.
Refuses: anything that outlives the run.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Plan:
    """Written once, read by every part."""

    site: str
    speed: float
    broker_port: int
    ledger_port: int
    page_port: int
    start_s: int

    @classmethod
    def read(cls, folder: Path) -> Plan:
        return cls(**json.loads((folder / "run" / "plan.json").read_text()))

    def write(self, folder: Path) -> None:
        (folder / "run" / "plan.json").write_text(json.dumps(self.__dict__))

    @property
    def ledger_url(self) -> str:
        return f"http://127.0.0.1:{self.ledger_port}"
