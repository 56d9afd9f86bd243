"""Snapshots of a chain's state on disk, for members that join late and for state sync.

Owns: a folder a height with numbered chunks; the list of their hashes, by which each chunk is checked on arrival.
Refuses: chunks that are not the announced ones; more chunks than a state of ours may have.
Invariant: a snapshot is listed once it is whole (written beside, then renamed), and proves nothing: who restores it
compares the state's root with an `app_hash` that a light client believes.
"""

from __future__ import annotations

import shutil
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from ledger.app import App
from wire import cbor
from wire.errors import WireError

FORMAT = 1
CHUNKS_MAX = 16_384


class Snapshot(NamedTuple):
    height: int
    hashes: tuple[bytes, ...]  # SHA-256 of each chunk

    @property
    def hash(self) -> bytes:
        return sha256(b"".join(self.hashes)).digest()

    def metadata(self) -> bytes:
        return cbor.encode(list(self.hashes))

    @classmethod
    def read(cls, height: int, metadata: bytes) -> Snapshot:
        hashes = cbor.decode(metadata)
        if not isinstance(hashes, list) or not 0 < len(hashes) <= CHUNKS_MAX or height <= 0:
            raise WireError("bad-type", "a snapshot is an array of its chunks' hashes")
        if not all(isinstance(h, bytes) and len(h) == 32 for h in hashes):
            raise WireError("bad-type", "a chunk's hash has 32 bytes")
        return cls(height, tuple(hashes))


class Snapshots:
    def __init__(self, folder: Path, keep: int = 2) -> None:
        self._folder = folder
        self._keep = keep

    def make(self, app: App, height: int) -> Snapshot:
        """Writes the state after that block. Slow; the chain may go on meanwhile."""
        self._folder.mkdir(parents=True, exist_ok=True)
        beside = self._folder / f"{height}.part"
        shutil.rmtree(beside, ignore_errors=True)
        beside.mkdir()
        hashes = []
        for number, chunk in enumerate(app.snapshot(height)):
            (beside / str(number)).write_bytes(chunk)
            hashes.append(sha256(chunk).digest())
        snapshot = Snapshot(height, tuple(hashes))
        (beside / "metadata").write_bytes(snapshot.metadata())
        target = self._folder / str(height)
        shutil.rmtree(target, ignore_errors=True)
        beside.rename(target)
        for old in self.all()[: -self._keep]:
            shutil.rmtree(self._folder / str(old.height), ignore_errors=True)
        return snapshot

    def all(self) -> list[Snapshot]:
        """Oldest first."""
        heights = sorted(int(entry.name) for entry in self._folder.glob("*") if entry.name.isdecimal())
        return [Snapshot.read(h, (self._folder / str(h) / "metadata").read_bytes()) for h in heights]

    def chunk(self, height: int, number: int) -> bytes:
        """Empty where there is none."""
        path = self._folder / str(height) / str(number)
        return path.read_bytes() if path.is_file() else b""


class Arriving:
    """A snapshot on its way in: chunks in any order, each one checked."""

    def __init__(self, snapshot: Snapshot, app_hash: bytes) -> None:
        self.snapshot = snapshot
        self.app_hash = app_hash
        self._chunks: dict[int, bytes] = {}

    def add(self, number: int, chunk: bytes) -> bool:
        """Whether it is the announced one."""
        hashes = self.snapshot.hashes
        if not 0 <= number < len(hashes) or sha256(chunk).digest() != hashes[number]:
            return False
        self._chunks[number] = chunk
        return True

    def chunks(self) -> list[bytes] | None:
        """All of them, in order, once they are there."""
        count = len(self.snapshot.hashes)
        return [self._chunks[i] for i in range(count)] if len(self._chunks) == count else None
