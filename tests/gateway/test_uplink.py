"""Blocks up, readings over, a new box: nothing doubled, nothing left out, whatever the node does meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from pathlib import Path
from typing import Any

import pytest

from gateway import backup
from gateway.backup import BackupError
from gateway.forward import Forward
from gateway.mqtt import Message
from gateway.restore import Restore
from gateway.service_batch import Batches
from gateway.store_read import Books
from gateway.uplink import TROUBLE, Uplink
from tests.gateway.nodes import FakeNode
from tests.gateway.rig import KEY, check_chain
from tests.gateway.test_intake import state
from tests.gateway.test_store import batches, begun, message
from tests.softdevice import SoftDevice
from wire.chain.rest import NodeDown


def uplink(found: Batches, node: FakeNode) -> Uplink:
    return Uplink(
        main=node.account(), books=Books.open(found.store.path), store=found.store, gateway=KEY.kid,
        sealed=asyncio.Event(), say=lambda words: None, alarm=found.alarm, forked=found.fork,
    )  # fmt: skip


async def seal(found: Batches, *messages: Message) -> None:
    await found.take(messages)
    await asyncio.sleep(0.02)
    await found.take([])


async def send_all(up: Uplink) -> None:
    while await up._step():
        pass


def test_blocks_and_entries_arrive_once_and_in_order(tmp_path: Path) -> None:
    async def story() -> None:
        device, node = SoftDevice("one"), FakeNode()
        found = await begun(tmp_path, device)
        up = uplink(found, node)
        for _ in range(5):
            await seal(found, message(device, "report", device.report()))
        node.lose = True
        with contextlib.suppress(*TROUBLE):
            await send_all(up)
        await send_all(up)
        assert node.last is not None and node.last.header.height == found.height == 6
        assert up.books.backlog() == (0, 0)
        assert len(set(node.entries)) == 1
        assert not found.alarms.standing

    asyncio.run(story())


def test_an_answer_that_was_lost_is_no_second_block(tmp_path: Path) -> None:
    async def story() -> None:
        device, node = SoftDevice("one"), FakeNode()
        found = await begun(tmp_path, device)
        up = uplink(found, node)
        await send_all(up)
        await seal(found, message(device, "report", device.report()))
        node.lose = True
        with pytest.raises(NodeDown):
            await up._step()
        await send_all(up)
        assert node.last is not None and node.last.header.height == 2
        assert up.books.backlog() == (0, 0) and found.sealing

    asyncio.run(story())


def test_a_second_box_with_our_key_stops_sealing(tmp_path: Path) -> None:
    async def story() -> None:
        device, node = SoftDevice("one"), FakeNode()
        first, second = await begun(tmp_path / "a", device), await begun(tmp_path / "b", device)
        await seal(first, message(device, "report", device.report()))
        await send_all(uplink(first, node))
        other = SoftDevice("one")
        await seal(second, message(other, "report", other.report(wh_a_row=9)))
        with pytest.raises(NodeDown):
            await send_all(uplink(second, node))
        assert not second.sealing and "fork" in {word for word, _ in second.alarms.standing}
        height = second.height
        await seal(second, message(other, "report", other.report()))
        assert second.height == height
        assert second.durable(device.id).next_seq == 20, "it still stores"  # type: ignore[union-attr]

    asyncio.run(story())


def forward(found: Batches, node: FakeNode) -> Forward:
    return Forward(
        node.account(), found.store, Books.open(found.store.path), asyncio.Event(), lambda words: None, found.alarm,
        lambda why: contextlib.nullcontext(),
    )  # fmt: skip


async def drain(one: Forward) -> None:
    while await one._step():
        pass


def test_one_devices_refusal_costs_the_others_nothing(tmp_path: Path) -> None:
    async def story() -> None:
        known, stranger, node = SoftDevice("one"), SoftDevice("two"), FakeNode()
        node.known.add(known.id)
        found = await begun(tmp_path, known)
        await found.enter(stranger.entry(_registrar(), KEY.kid))
        await found.take([message(stranger, "hello", stranger.hello())])
        for _ in range(3):
            both = [message(one, "report", one.report()) for one in (stranger, known)]
            await found.take(both)
        one = forward(found, node)
        await drain(one)
        assert node.read == {known.id: 30} and stranger.id in one.absent
        one.next_look_s = 0
        node.known.add(stranger.id)
        node.read[stranger.id] = 30
        await found.take([message(stranger, "report", stranger.report())])
        await drain(one)
        assert node.read[stranger.id] == 40 and not one.absent

    asyncio.run(story())


def _registrar() -> Any:
    from tests.gateway.rig import REGISTRAR

    return REGISTRAR


def test_what_the_chain_lacks_is_sent_from_where_it_stands(tmp_path: Path) -> None:
    """After a crash the pointer may be behind, or ahead of what the chain really took."""

    async def story() -> None:
        device, node = SoftDevice("one"), FakeNode()
        node.known.add(device.id)
        found = await begun(tmp_path, device)
        await found.take([message(device, "report", device.report()) for _ in range(3)])
        one = forward(found, node)
        node.lose = True
        with pytest.raises(NodeDown):
            await one._step()
        await found.take([message(device, "report", device.report())])
        await drain(one)
        assert node.read == {device.id: 40}
        node.read[device.id] = 10
        await found.take([message(device, "report", device.report())])
        await drain(one)
        assert node.read == {device.id: 50}

    asyncio.run(story())


def test_words_of_stations_overtake_readings(tmp_path: Path) -> None:
    async def story() -> None:
        station, node = SoftDevice("one", role=1), FakeNode()
        node.known.add(station.id)
        found = await begun(tmp_path, station)
        await found.take([message(station, "report", station.report()) for _ in range(5)])
        word = state(station, 1)
        await found.take([message(station, "state", word)])
        one = forward(found, node)
        await one._step()
        assert node.words == [word] and not node.read

    asyncio.run(story())


# ---------------------------------------------------------------- a new box


def restoring(found: Batches, node: FakeNode) -> Restore:
    return Restore(found, uplink(found, node), node, "chain", found.alarm, lambda words: None)  # type: ignore[arg-type]


def test_a_new_box_goes_on_behind_the_old_ones_last_block(tmp_path: Path) -> None:
    async def story() -> None:
        device, node = SoftDevice("one"), FakeNode()
        old = await begun(tmp_path / "old", device)
        (tmp_path / "old" / "gateway.key").write_bytes(KEY.to_pem())
        (tmp_path / "old" / "gateway.toml").write_text("# a configuration\n")
        await seal(old, message(device, "report", device.report()))
        waiting = device.report()
        await old.take([message(device, "report", waiting)])
        backup.write(tmp_path / "box.backup", tmp_path / "old", tmp_path / "old" / "gateway.toml", "open sesame")
        late = device.report()
        await seal(old, message(device, "report", late))
        await send_all(uplink(old, node))
        old.store.close()

        backup.read(tmp_path / "box.backup", tmp_path / "new", "open sesame")
        new = batches(tmp_path / "new", block_age_ms=10)
        assert not new.sealing
        fresh = device.report()
        await seal(new, message(device, "report", waiting), message(device, "report", late))
        await seal(new, message(device, "report", fresh))
        assert new.height == 2, "nothing is sealed before the main node was asked"
        await restoring(new, node).run()
        await asyncio.sleep(0.02)
        await new.take([])
        await send_all(uplink(new, node))
        body = check_chain(Books.open(new.store.path))
        assert body.count(waiting) == body.count(late) == body.count(fresh) == 1
        assert new.durable(device.id).next_seq == 40  # type: ignore[union-attr]
        assert node.last is not None and node.last.header.height == new.height

    asyncio.run(story())


def test_a_restore_waits_for_the_main_node(tmp_path: Path) -> None:
    async def story() -> None:
        device, node = SoftDevice("one"), FakeNode()
        node.down = True
        found = await begun(tmp_path, device)
        async with found.store.writing():
            found.store.put_meta("restoring", b"1")
        found.sealing = False
        running = asyncio.create_task(restoring(found, node).run())
        await asyncio.sleep(0.05)
        assert ("restoring", "") in found.alarms.standing
        node.down = False
        await asyncio.wait_for(running, 5)
        assert found.sealing and not found.alarms.standing

    asyncio.run(story())


@pytest.mark.parametrize("place", [0, 25, 60, 5_000, -1])
def test_a_damaged_backup_is_refused(tmp_path: Path, place: int) -> None:
    source = _a_backup(tmp_path)
    raw = bytearray(source.read_bytes())
    raw[place] ^= 1
    source.write_bytes(raw)
    with pytest.raises(BackupError):
        backup.read(source, tmp_path / "new", "right")
    assert not (tmp_path / "new" / "gateway.db").exists()


def test_a_backup_needs_its_passphrase_its_end_and_an_empty_folder(tmp_path: Path) -> None:
    source = _a_backup(tmp_path)
    assert KEY.to_pem() not in source.read_bytes() and b"PRIVATE KEY" not in source.read_bytes()
    with pytest.raises(BackupError, match="passphrase"):
        backup.read(source, tmp_path / "new", "wrong")
    with pytest.raises(BackupError, match="holds a gateway already"):
        backup.read(source, tmp_path, "right")
    cut = tmp_path / "cut"
    shutil.copy(source, cut)
    cut.write_bytes(cut.read_bytes()[:-20])
    with pytest.raises(BackupError):
        backup.read(cut, tmp_path / "new", "right")


def _a_backup(folder: Path) -> Path:
    async def make() -> None:
        (await begun(folder, SoftDevice("one"))).store.close()

    asyncio.run(make())
    (folder / "gateway.key").write_bytes(KEY.to_pem())
    (folder / "gateway.toml").write_text("# a configuration\n")
    backup.write(folder / "box.backup", folder, folder / "gateway.toml", "right")
    return folder / "box.backup"
