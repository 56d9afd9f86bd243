"""The gateway behind a real Mosquitto: what is acknowledged is on disk, sealed, and beaten."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from gateway.config import Config
from gateway.mqtt import Broker
from gateway.service import Gateway
from gateway.store import Store
from tests.softdevice import SoftDevice
from wire import topics
from wire.chain import slave
from wire.chain.keys import KeyRing, PrivateKey

REGISTRAR = PrivateKey.derive("test registrar")
KEY = PrivateKey.derive("test gateway")


class Wall:
    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000


@pytest.fixture
def broker(mosquitto: str, tmp_path: Path) -> Iterator[int]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    conf = tmp_path / "mosquitto.conf"
    conf.write_text(
        f"listener {port} 127.0.0.1\nallow_anonymous true\nmax_queued_messages 0\nmax_inflight_messages 1000\n"
    )
    process = subprocess.Popen([mosquitto, "-c", str(conf)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    for _ in range(100):
        try:
            socket.create_connection(("127.0.0.1", port), 0.2).close()
            break
        except OSError:
            time.sleep(0.05)
    yield port
    process.kill()
    process.wait()


class Wire:
    """The device's end of the connection."""

    def __init__(self, port: int, device: SoftDevice) -> None:
        self.device = device
        self.beats: list[bytes] = []
        self.client = paho.Client(CallbackAPIVersion.VERSION2, f"device-{device.name}")
        self.client.on_message = lambda _, __, message: self.beats.append(bytes(message.payload))
        self.client.connect("127.0.0.1", port)
        self.client.subscribe(topics.all_down(device.id), qos=1)
        self.client.loop_start()

    def send(self, kind: str, raw: bytes) -> None:
        self.client.publish(topics.up(self.device.id, kind), raw, qos=1).wait_for_publish(5)

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


def config(port: int, data: Path) -> Config:
    return Config(
        name="test",
        data=data,
        alliance=3,
        broker=Broker(port=port),
        registrars=[REGISTRAR.public_key],
        dispatchers=[],
        block_age_ms=100,
    )


async def until(condition: object, seconds: float = 10.0) -> None:
    for _ in range(int(seconds / 0.02)):
        if condition():  # type: ignore[operator]
            return
        await asyncio.sleep(0.02)
    raise AssertionError("it did not come about in time")


def check_chain(store: Store) -> list[bytes]:
    """Every block links, is signed and holds what it says; returns all sealed messages in order."""
    ring = KeyRing()
    ring.add(KEY.public_key)
    height, previous, body = 0, slave.START, []
    for number in range(1, store.tip()[0] + 1):
        block = slave.decode(store.block(number).encode())
        block.check_signature(ring)
        block.check_link(height, previous)
        block.check_body()
        height, previous = number, block.header.hash()
        body += block.body
    return body


def test_reports_are_stored_sealed_and_beaten(broker: int, tmp_path: Path) -> None:
    async def story() -> None:
        gateway = Gateway(config(broker, tmp_path), KEY, Wall(), lambda words: None)
        device = SoftDevice("one")
        entry = device.entry(REGISTRAR, KEY.kid)
        gateway.enter(entry)
        running = asyncio.create_task(gateway.run())
        await until(lambda: gateway.link.connected)
        wire = await asyncio.to_thread(Wire, broker, device)
        await asyncio.to_thread(wire.send, "hello", device.hello())
        reports = [device.report() for _ in range(5)]
        for raw in [reports[1], reports[0], reports[0], *reports[2:]]:
            await asyncio.to_thread(wire.send, "report", raw)
        await asyncio.to_thread(wire.send, "report", reports[4][:-1])
        await until(lambda: gateway.store.counts()["readings_sealed"] == 50)

        def beaten() -> bool:
            if not wire.beats:
                return False
            beat = device.open_beat(wire.beats[-1], KEY.public_key, KEY.kid)
            return (beat.next_seq, beat.head) == (50, device.head)

        await until(beaten)
        assert check_chain(gateway.store) == [entry, *reports]
        assert gateway.store.counts()["refused"] == 1
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        wire.close()

    asyncio.run(story())


def test_kill_9_loses_nothing_that_was_acknowledged(broker: int, tmp_path: Path) -> None:
    """Five kills while a device publishes: every report that got its PUBACK at the gateway's side is there once."""
    program = textwrap.dedent(
        f"""
        import asyncio, pathlib, sys
        sys.path.insert(0, {os.getcwd()!r})
        from tests.gateway.test_live import KEY, Wall, config
        from gateway.service import Gateway
        async def main():
            await Gateway(config({broker}, pathlib.Path({str(tmp_path)!r})), KEY, Wall(), print).run()
        asyncio.run(main())
        """
    )
    device = SoftDevice("killed")

    async def enter() -> None:
        gateway = Gateway(config(broker, tmp_path), KEY, Wall(), lambda words: None)
        gateway.enter(device.entry(REGISTRAR, KEY.kid))
        gateway.store.close()

    asyncio.run(enter())
    wire = Wire(broker, device)
    start = lambda: subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.DEVNULL)  # noqa: E731
    process = start()
    time.sleep(1.0)
    wire.send("hello", device.hello())
    sent = []
    for round in range(5):
        for _ in range(40):
            raw = device.report(1)
            sent.append(raw)
            wire.send("report", raw)
        process.send_signal(signal.SIGKILL)
        process.wait()
        process = start()
        time.sleep(0.2 * round)
    store = Store(tmp_path / "gateway.db")
    for _ in range(500):
        if store.counts()["readings_sealed"] == len(sent):
            break
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    wire.close()
    sealed = check_chain(store)[1:]
    assert sealed == sent
