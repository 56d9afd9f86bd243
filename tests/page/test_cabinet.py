"""A real gateway's file, read while it is written."""

from pathlib import Path

from gateway.alarms import Alarm
from gateway.intake import Stored as Taken
from gateway.store import Store
from pilot.page.cabinet import GatewayDisk, Sealed
from tests.softdevice import SoftDevice
from wire.chain import slave
from wire.chain.keys import PrivateKey
from wire.ids import id_text

DAY_S = 86_400
NOON_S = 1_781_517_600  # 12:00 where the offset is 120 minutes
GATEWAY = PrivateKey.derive("gateway", "page")


def told(device: SoftDevice) -> Taken:
    """A message that is in no sequence."""
    return Taken(device.id, "state", b"as it came", urgent=True)


def put(store: Store, device: SoftDevice, at_s: int) -> None:
    with store.writing_now():
        store.put(told(device), at_s * 1_000)


def test_a_file_that_is_not_there_yet_is_empty(tmp_path: Path) -> None:
    disk = GatewayDisk(tmp_path / "gateway.db", NOON_S, 120)
    asked = (disk.messages(), disk.blocks(), disk.refused(), disk.alarms(), disk.names(), disk.waiting())
    assert asked == ([], [], [], [], {}, 0)
    Store(tmp_path / "gateway.db").close()
    assert disk.messages() == []


def test_messages_of_today_come_once_and_as_they_are_written(tmp_path: Path) -> None:
    store, device = Store(tmp_path / "gateway.db"), SoftDevice("meter-a")
    midnight_s = NOON_S - DAY_S // 2
    for at_s in (midnight_s - DAY_S, midnight_s - 7_200, midnight_s - 60, midnight_s, NOON_S):
        put(store, device, at_s)
    disk = GatewayDisk(tmp_path / "gateway.db", NOON_S, 120)
    assert [found.at_ms // 1_000 for found in disk.messages()] == [midnight_s - 60, midnight_s, NOON_S]
    assert disk.messages() == []
    put(store, device, NOON_S + 5)
    assert [found.at_ms // 1_000 for found in disk.messages()] == [NOON_S + 5]
    assert disk.waiting() == 6
    store.close()


def test_names_blocks_refusals_and_alarms(tmp_path: Path) -> None:
    store, device = Store(tmp_path / "gateway.db"), SoftDevice("meter-a")
    with store.writing_now():
        store.put_entry(device.id, device.entry(GATEWAY, GATEWAY.kid))
        ((n, raw),) = store.put(told(device), NOON_S * 1_000)
        header = {"alliance": 3, "gateway": GATEWAY.kid, "height": 1, "previous": slave.START, "urgency": 1}
        store.put_block(slave.seal(GATEWAY, [raw], time_s=NOON_S, **header), n, n, NOON_S * 1_000)
        store.put_refused(NOON_S * 1_000, device.id, "unknown-key", "no entry", b"")
        store.put_refused(NOON_S * 1_000, None, "bad-signature", "", b"")
        for word, about in (("clone", id_text(device.id)), ("broker", ""), ("bus", "rs485")):
            store.put_alarm(word, about, Alarm(word, about, "", NOON_S, NOON_S))
    disk = GatewayDisk(tmp_path / "gateway.db", NOON_S, 120)
    assert disk.names() == {device.id: "meter-a"}
    assert disk.waiting() == 0
    assert disk.blocks() == [Sealed(1, NOON_S, 1, 1, None)]
    assert [(one.who, one.alarm) for one in disk.refused()] == [(device.id, False), ("somebody", True)]
    assert disk.refused() == []
    assert sorted(str(who) for who, _ in disk.alarms()) == sorted([str(device.id), "the gateway", "rs485"])
    with store.writing_now():
        store.put_sent(1, 9, 0)
    assert disk.blocks()[0].main_height == 9
    store.close()
