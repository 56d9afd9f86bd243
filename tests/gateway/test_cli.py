"""What an operator types, from the first configuration to an approved device, and every mistake with its line."""

from __future__ import annotations

import asyncio
import csv
import json
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest

from gateway import export
from gateway.broker import Plan, files
from gateway.config import Config, ConfigError, Keep, load
from gateway.mqtt import Link
from gateway.notify import Notify
from gateway.registry import REVOKED, Registry
from gateway.service import Gateway
from gateway.service_batch import ring
from gateway.store_read import Books
from gateway.store_retention import DAY_MS, give_up
from pilot import cli as tallygrid
from tests.gateway.rig import KEY, REGISTRAR, Wall, Wire, config, free_port, running, running_broker, until
from tests.gateway.test_store import begun, message
from tests.gateway.tls import Authority
from tests.softdevice import SoftDevice
from wire.chain import bundle, slave
from wire.ids import id_text

TOML = f"""
name = "cabinet 7"
alliance = "load"
registrars = ["{REGISTRAR.public_key.hex()}"]
registrar_key = "registrar.pem"
[http]
listen = ""
"""


@pytest.fixture
def site(tmp_path: Path) -> Path:
    (tmp_path / "gateway.toml").write_text(TOML)
    (tmp_path / "registrar.pem").write_bytes(REGISTRAR.to_pem())
    (tmp_path / "gateway.key").write_bytes(KEY.to_pem())
    return tmp_path


def typed(capsys: pytest.CaptureFixture[str], site: Path, action: str, *words: str, status: int = 0) -> Any:
    option = [] if action == "restore" else ["-c", str(site / "gateway.toml")]
    assert tallygrid.main(["gateway", "--json", action, *words, *option]) == status
    printed = capsys.readouterr()
    return json.loads(printed.out) if printed.out else printed.err


MISTAKES = [
    ("", 'colour = "red"', "1: colour is unknown"),
    ('name = "cabinet 7"', "name = 7", "2: name is 7"),
    ('alliance = "load"', 'alliance = "heap"', "3: alliance is 'heap'; one of source, grid, service, load"),
    ('alliance = "load"\n', "", "alliance is missing"),
    ("[http]", "period_s = 0\n[http]", "6: period_s is 0; a whole number from 1 to 3600"),
    ('registrars = ["04', 'registrars = ["05', "4: registrars '05"),
    ('listen = ""', 'listen = "0.0.0.0:80"', "7: http.listen is open to others"),
    ("[http]", "[broker]\nport = 99999\n[http]", "7: broker.port is 99999"),
    ("[http]", '[main]\nurl = "ftp://x"\nchain = "m"\n[http]', "7: main.url is 'ftp://x'"),
    ("[http]", '[[device]]\nname = "a"\nbus = "b"\naddress = 1\npart = "sdm120"\n[http]', "8: device.bus is 'b'"),
    ("[http]", '[[bus]]\nname = "b"\n[http]', "7: bus.name has a serial port or a host"),
    ("[http]", "[[[http]", "(at line 6"),
]


@pytest.mark.parametrize("old, new, says", MISTAKES)
def test_a_mistake_is_told_with_its_line(site: Path, old: str, new: str, says: str) -> None:
    text = TOML.replace(old, new, 1) if old else f"{new}{TOML}"
    (site / "gateway.toml").write_text(text)
    with pytest.raises(ConfigError) as found:
        load(site / "gateway.toml")
    assert says in str(found.value)


def test_all_mistakes_come_at_once(site: Path) -> None:
    (site / "gateway.toml").write_text('alliance = "heap"\nperiod_s = 0\ncolour = 1\n')
    with pytest.raises(ConfigError) as found:
        load(site / "gateway.toml")
    assert len(str(found.value).splitlines()) == 5


def test_a_bus_with_devices_is_read(site: Path) -> None:
    more = '[[bus]]\nname = "rs485"\nport = "/dev/ttyUSB0"\n[[device]]\nname = "roof"\nbus = "rs485"\naddress = 3\n'
    (site / "gateway.toml").write_text(TOML + more + 'part = "sunspec"\nrole = "station"\n')
    found: Config = load(site / "gateway.toml")
    assert (found.bus[0].baudrate, found.device[0].role, found.data) == (9_600, "station", site)


# ---------------------------------------------------------------- devices


def test_a_device_asks_is_approved_and_revoked(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    device = SoftDevice("one")

    async def ask() -> None:
        gateway = Gateway(load(site / "gateway.toml"), KEY, Wall(), lambda words: None)
        await gateway.batches.take([message(device, "enrolment", device.enrolment())])
        gateway.store.close()

    async def take() -> None:
        gateway = Gateway(load(site / "gateway.toml"), KEY, Wall(), lambda words: None)
        await gateway.entries.look()
        gateway.store.close()

    asyncio.run(ask())
    id = id_text(device.id)
    assert [one["id"] for one in typed(capsys, site, "devices")["enrolments"]] == [id]
    typed(capsys, site, "devices", "approve", id, "--name", "hall", "--limit", "current_ma_max=32000")
    asyncio.run(take())
    (known,) = typed(capsys, site, "devices")["devices"]
    assert (known["id"], known["name"], known["serial"], known["status"]) == (id, "hall", 1, "active")
    typed(capsys, site, "devices", "revoke", id)
    asyncio.run(take())
    registry = Registry(ring([REGISTRAR.public_key]))
    for raw in Books.open(site / "gateway.db").entries():
        registry.take(raw)
    found = registry.devices[device.id]
    assert (found.status, found.serial, found.name, found.limits) == (REVOKED, 2, "hall", {46: 32_000})


def test_what_cannot_be_approved(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    id = id_text(SoftDevice("one").id)
    assert "has not asked" in typed(capsys, site, "devices", "approve", id, status=2)
    assert "which one?" in typed(capsys, site, "devices", "approve", status=2)
    assert "is no limit" in typed(capsys, site, "devices", "approve", id, "--limit", "speed=3", status=2)
    (site / "registrar.pem").write_bytes(KEY.to_pem())
    assert "none of this gateway's registrars" in typed(capsys, site, "devices", "approve", id, status=2)


# ---------------------------------------------------------------- check, status, install


def test_check_tells_what_is_wrong_and_what_to_do(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    more = f"""
[broker]
port = {free_port()}
[main]
url = "http://127.0.0.1:{free_port()}"
chain = "m"
[[bus]]
name = "b"
port = "/nowhere"
[[device]]
name = "roof"
bus = "b"
address = 1
part = "sdm120"
"""
    (site / "gateway.toml").write_text(TOML + more)
    (site / "gateway.key").chmod(0o644)
    problems = "\n".join(typed(capsys, site, "check", status=1)["problems"])
    for words in ("chmod 600", "is Mosquitto running", "blocks wait here", "look at address, wiring"):
        assert words in problems


def test_check_of_a_folder_that_cannot_be_written(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (site / "gateway.toml").write_text('data = "/proc/gateway"\n' + TOML)
    found = typed(capsys, site, "check", status=1)
    assert "name a folder that this user may write" in "\n".join(found["problems"])


def test_the_unit_has_a_watchdog_and_names_the_configuration(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    typed(capsys, site, "install", "--to", str(site / "unit.service"))
    unit = (site / "unit.service").read_text()
    assert "Type=notify" in unit and "WatchdogSec=60" in unit and f"run -c {site}/gateway.toml" in unit


def test_systemd_is_told(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        heard.bind(str(tmp_path / "notify"))
        notify = Notify(str(tmp_path / "notify"))
        notify.say(ready=1)
        notify.say(watchdog=1, status="block 7")
        notify.close()
        assert [heard.recv(200) for _ in range(3)] == [b"READY=1", b"WATCHDOG=1\nSTATUS=block 7", b"STOPPING=1"]
    Notify("").say(ready=1)


def test_sigterm_in_the_middle_ends_well_and_loses_nothing(broker: int, site: Path) -> None:
    (site / "gateway.toml").write_text(f"{TOML}\n[broker]\nport = {broker}\n")
    device = SoftDevice("one")
    (site / "entries").mkdir()
    (site / "entries" / "one.cose").write_bytes(device.entry(REGISTRAR, KEY.kid))
    sent = []
    wire = Wire(broker, device)
    for round in range(2):
        process = subprocess.Popen(
            [sys.executable, "-m", "pilot.cli", "gateway", "run", "-c", str(site / "gateway.toml")],
            stderr=subprocess.PIPE,
        )
        if round == 0:
            wire.greet()
        for _ in range(30):
            sent.append(device.report(1))
            wire.send("report", sent[-1])
        if round:
            books = Books.open(site / "gateway.db")
            asyncio.run(until(lambda: books.counts()["readings"] == 60))  # noqa: B023
        process.terminate()
        assert process.wait(10) == 0
        assert process.stderr is not None and b"nothing that was acknowledged is lost" in process.stderr.read()
    wire.close()
    kept = [one.raw for one in Books.open(site / "gateway.db").messages(0, ("report",), 100)]
    assert kept == sent


# ---------------------------------------------------------------- export


async def filled(folder: Path) -> tuple[SoftDevice, Books]:
    device = SoftDevice("one")
    found = await begun(folder, device)
    for _ in range(3):
        await found.take([message(device, "report", device.report(2))])
        await asyncio.sleep(0.02)
        await found.take([])
    found.store.close()
    return device, Books.open(folder / "gateway.db")


def test_readings_leave_as_csv_and_json_lines(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    device, _ = asyncio.run(filled(site))
    assert typed(capsys, site, "export", str(site / "out.csv"))["records"] == 6
    with (site / "out.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [int(row["seq"]) for row in rows] == list(range(6))
    assert rows[5]["device"] == id_text(device.id) and rows[5]["import_wh"] == "30" and rows[5]["block"] == "4"
    typed(capsys, site, "export", str(site / "out.jsonl"), "--format", "jsonl", "--device", id_text(device.id))
    lines = [json.loads(line) for line in (site / "out.jsonl").read_text().splitlines()]
    assert [line["import_wh"] for line in lines] == [5, 10, 15, 20, 25, 30]
    assert lines[1]["time_s"] - lines[0]["time_s"] == 60


def test_parquet_says_what_it_needs(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(export.NoParquet, match="pip install pyarrow"):
        export.write_parquet(site / "out.parquet", [])


def test_a_bundle_holds_the_signed_blocks(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asyncio.run(filled(site))
    typed(capsys, site, "export", str(site / "out.bundle"), "--format", "bundle")
    records = list(bundle.read((site / "out.bundle").read_bytes()))
    assert [kind for kind, _ in records] == ["bundle", "key", "entry", "slave", "slave", "slave", "slave"]
    height, previous, keys = 0, slave.START, ring([KEY.public_key])
    for _, (raw,) in records[3:]:
        block = slave.decode(raw)
        block.check_signature(keys)
        block.check_link(height, previous)
        block.check_body()
        height, previous = block.header.height, block.header.hash()


# ---------------------------------------------------------------- retention


def test_what_is_not_confirmed_stays_and_what_goes_leaves_the_position(tmp_path: Path) -> None:
    async def story() -> None:
        device = SoftDevice("one")
        found = await begun(tmp_path, device)
        for _ in range(4):
            await found.take([message(device, "report", device.report())])
            await asyncio.sleep(0.02)
            await found.take([])
        later = found.time.now_ms() + 2 * DAY_MS
        keep = Keep(days=1)
        assert await give_up(found.store, found.registry, keep, later, main=True, schedule=False) == 0
        async with found.store.writing():
            for height in (1, 2, 3):
                found.store.put_sent(height, 1, 0)
        assert await give_up(found.store, found.registry, keep, later, main=True, schedule=True) == 0
        assert await give_up(found.store, found.registry, keep, later, main=True, schedule=False) == 3
        async with found.store.writing():
            for height in (4, 5):
                found.store.put_sent(height, 1, 0)
        assert await give_up(found.store, found.registry, keep, later, main=True, schedule=False) == 2
        found.intake.forget()
        position = found.durable(device.id)
        assert position is not None and (position.next_seq, position.head) == (40, device.head)
        await found.take([message(device, "report", device.report())])
        assert found.durable(device.id).next_seq == 50  # type: ignore[union-attr]

    asyncio.run(story())


# ---------------------------------------------------------------- a broker with TLS and access lists


def secured(mosquitto: str, folder: Path, authority: Authority) -> tuple[Path, int, int]:
    authority.issue("broker", "localhost", ("localhost",))
    ports = free_port(), free_port()
    plan = Plan(
        folder=folder, ca_file=authority.ca, cert_file=authority.cert("broker"), key_file=authority.key("broker"),
        port=ports[0], local_port=ports[1],
    )  # fmt: skip
    for name, text in files(plan).items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o644)
    return folder / "mosquitto.conf", *ports


def test_a_device_comes_in_with_its_certificate_and_only_to_its_topics(mosquitto: str, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    conf, port, local = secured(mosquitto, tmp_path, authority)
    with conf.open("a") as stream:
        stream.write("user root\n")
    device, other = SoftDevice("one"), SoftDevice("two")
    authority.issue("device", id_text(device.id))

    async def story() -> None:
        gateway = Gateway(config(local, tmp_path / "data"), KEY, Wall(), lambda words: None)
        for one in (device, other):
            await gateway.enter(one.entry(REGISTRAR, KEY.kid))
        async with running(gateway):

            def prepare(client: paho.Client) -> None:
                client.tls_set(str(authority.ca), str(authority.cert("device")), str(authority.key("device")))
                client.tls_insecure_set(True)

            wire = await asyncio.to_thread(Wire, port, device, prepare)
            await asyncio.to_thread(wire.greet)
            await asyncio.to_thread(wire.send, "report", device.report())
            wire.device = other
            await asyncio.to_thread(wire.send, "hello", other.hello())
            await until(lambda: gateway.books.counts()["readings"] == 10)
            assert other.id not in gateway.batches.beats.pulses, "the broker lets nobody speak for another"
            wire.close()

    with running_broker(mosquitto, conf, local):
        asyncio.run(story())


@pytest.mark.parametrize(
    "kind, says", [("expired", "certificate has expired"), ("stranger", "self-signed certificate|unable to get local")]
)
def test_a_brokers_bad_certificate_is_told(mosquitto: str, tmp_path: Path, kind: str, says: str) -> None:
    authority = Authority(tmp_path)
    conf, port, local = secured(mosquitto, tmp_path, authority)
    text = conf.read_text().replace("require_certificate true", "require_certificate false")
    conf.write_text(text.replace("use_identity_as_username true", "") + "user root\n")
    ca = authority.ca
    if kind == "expired":
        authority.issue("broker", "localhost", ("localhost",), days=-1)
    else:
        ca = Authority(tmp_path / "other", "another authority").ca

    async def story() -> list[str]:
        said: list[str] = []
        broker = config(port, tmp_path).broker.__class__(host="localhost", port=port, ca_file=ca)
        link = Link(broker, "test", lambda up, words: said.append(words))
        task = asyncio.create_task(link.run())
        await until(lambda: said)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return said

    with running_broker(mosquitto, conf, local):
        words = asyncio.run(story())[0]
    assert "its certificate is not good" in words
    assert any(part in words for part in says.split("|"))
