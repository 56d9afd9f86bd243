"""Snapshots on disk: whole or not listed, only the newest kept, chunks checked one by one."""

import pytest

from ledger.app import Block
from ledger.snapshots import Arriving, Snapshot, Snapshots
from tests.ledger.toychain import SALT, new_app, payment
from wire import cbor
from wire.errors import WireError


def test_the_newest_are_kept_and_halves_are_not_listed(tmp_path):
    app, folder = new_app(), Snapshots(tmp_path / "s", keep=2)
    assert folder.all() == []
    made = []
    for height in (1, 2, 3):
        app.apply(Block(height, height, [payment(0, 1, 1, height - 1)]))
        app.commit()
        made.append(folder.make(app, height))
    (tmp_path / "s" / "9.part").mkdir()
    assert folder.all() == made[1:]
    assert folder.make(app, 3) == made[2], "again is the same"
    assert folder.chunk(1, 0) == b"" == folder.chunk(3, 9)
    arriving = Arriving(made[2], app.app_hash)
    assert arriving.chunks() is None and arriving.add(0, folder.chunk(3, 0))
    other = new_app(at_genesis=False)
    other.restore(SALT, 3, app.app_hash, arriving.chunks())
    assert other.app_hash == app.app_hash


def test_an_older_height_while_the_chain_goes_on(tmp_path):
    app, folder = new_app(), Snapshots(tmp_path)
    app.apply(Block(1, 1, [payment(0, 1, 1, 0)]))
    app.commit()
    then = app.app_hash
    app.apply(Block(2, 2, [payment(0, 1, 1, 1)]))
    app.commit()
    folder.make(app, 1)
    other = new_app(at_genesis=False)
    other.restore(SALT, 1, then, [folder.chunk(1, 0)])
    assert other.app_hash == then != app.app_hash


def test_only_announced_chunks():
    arriving = Arriving(Snapshot(1, (bytes(32),)), b"")
    for number, chunk in ((0, b"x"), (-1, b""), (1, b"")):
        assert not arriving.add(number, chunk)
    assert arriving.chunks() is None


@pytest.mark.parametrize("bad", [[], {}, [b"short"], ["text"], [bytes(32), 1], 5])
def test_metadata_that_is_none(bad):
    with pytest.raises(WireError):
        Snapshot.read(1, cbor.encode(bad))
    with pytest.raises(WireError):
        Snapshot.read(0, Snapshot(1, (bytes(32),)).metadata())
