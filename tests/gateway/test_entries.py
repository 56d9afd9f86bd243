"""Registry entries as files: taken once, refused with a reason, and nothing is renamed before it is kept."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import pytest

from gateway.entries import Folder, drop
from gateway.service import Gateway
from gateway.store_read import Books
from tests.gateway.rig import KEY, REGISTRAR, Wall, config
from tests.softdevice import SoftDevice
from wire.chain.keys import PrivateKey
from wire.errors import WireError

OTHER = PrivateKey.derive("another registrar")


def look_in(folder: Path, said: list[str]) -> int:
    """One look of a gateway over `folder`; how many entries its store holds afterwards."""

    async def look() -> None:
        gateway = Gateway(config(1, folder), KEY, Wall(), said.append)
        await gateway.entries.look()
        gateway.store.close()

    asyncio.run(look())
    books = Books.open(folder / "gateway.db")
    count = len(list(books.entries()))
    books.close()
    return count


def test_an_entry_is_taken_once_and_a_foreign_one_refused(tmp_path: Path) -> None:
    folder, said = tmp_path / "entries", list[str]()
    device = SoftDevice("one")
    entry = device.entry(REGISTRAR, KEY.kid)
    name = drop(folder, entry, [REGISTRAR.public_key])
    (folder / "foreign.cose").write_bytes(SoftDevice("two").entry(OTHER, KEY.kid))
    (folder / "damaged.cose").write_bytes(entry[:-1])
    assert look_in(tmp_path, said) == 1
    assert {path.name for path in folder.iterdir()} == {
        name.replace(".cose", ".taken"),
        "foreign.refused",
        "damaged.refused",
    }
    assert any("foreign.cose refused: unknown-key" in line for line in said)
    assert any("damaged.cose refused: truncated" in line for line in said)
    (folder / "again.cose").write_bytes(entry)  # as after a crash between the commit and the renaming
    assert look_in(tmp_path, said) == 1
    assert (folder / "again.taken").exists()


def test_an_old_serial_is_refused(tmp_path: Path) -> None:
    folder, said = tmp_path / "entries", list[str]()
    device = SoftDevice("one")
    drop(folder, device.entry(REGISTRAR, KEY.kid, serial=3), [REGISTRAR.public_key])
    assert look_in(tmp_path, said) == 1
    drop(folder, device.entry(REGISTRAR, KEY.kid, serial=2), [REGISTRAR.public_key])
    assert look_in(tmp_path, said) == 1
    assert any("serial 2 is not above 3" in line for line in said)


def test_a_foreign_entry_is_not_even_dropped(tmp_path: Path) -> None:
    with pytest.raises(WireError, match="unknown-key"):
        drop(tmp_path, SoftDevice("one").entry(OTHER, KEY.kid), [REGISTRAR.public_key])


def test_a_disk_that_fails_leaves_the_file_for_later(tmp_path: Path) -> None:
    async def fail(_: bytes) -> object:
        raise sqlite3.OperationalError("disk is full")

    drop(tmp_path, SoftDevice("one").entry(REGISTRAR, KEY.kid), [REGISTRAR.public_key])
    folder = Folder(tmp_path, fail, print)  # type: ignore[arg-type]
    with pytest.raises(sqlite3.OperationalError):
        asyncio.run(folder.look())
    assert [path.suffix for path in tmp_path.iterdir()] == [".cose"]
