"""What the gateway's tests share: a Mosquitto, a device's end of the connection, a configuration, waiting, the chain.

Owns: no test.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from gateway.config import Broker, Config, Http
from gateway.service import Gateway
from gateway.store_read import Books
from tests.softdevice import SoftDevice
from wire import topics
from wire.chain import slave
from wire.chain.keys import KeyRing, PrivateKey

REGISTRAR = PrivateKey.derive("test registrar")
KEY = PrivateKey.derive("test gateway")


class Wall:
    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def running_broker(mosquitto: str, conf: Path, port: int) -> Iterator[None]:
    process = subprocess.Popen([mosquitto, "-c", str(conf)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(100):
            try:
                socket.create_connection(("127.0.0.1", port), 0.2).close()
                break
            except OSError:
                time.sleep(0.05)
        yield
    finally:
        process.kill()
        process.wait()


@contextlib.contextmanager
def open_broker(mosquitto: str, folder: Path) -> Iterator[int]:
    """A broker that lets anybody in; its port."""
    port = free_port()
    conf = folder / "mosquitto.conf"
    conf.write_text(
        f"listener {port} 127.0.0.1\nallow_anonymous true\nmax_queued_messages 0\nmax_inflight_messages 1000\n"
    )
    with running_broker(mosquitto, conf, port):
        yield port


class Wire:
    """The device's end of the connection."""

    def __init__(self, port: int, device: SoftDevice, prepare: Callable[[paho.Client], None] = lambda _: None) -> None:
        self.device = device
        self.beats: list[bytes] = []
        self.client = paho.Client(CallbackAPIVersion.VERSION2, f"device-{device.name}")
        self.client.on_message = lambda _, __, message: self.beats.append(bytes(message.payload))
        prepare(self.client)
        self.client.connect("127.0.0.1", port)
        self.client.subscribe(topics.all_down(device.id), qos=1)
        self.client.loop_start()

    def send(self, kind: str, raw: bytes) -> None:
        self.client.publish(topics.up(self.device.id, kind), raw, qos=1).wait_for_publish(5)

    def greet(self) -> None:
        """Hello until somebody answers, as devices do."""
        heard = len(self.beats)
        for _ in range(50):
            self.send("hello", self.device.hello())
            for _ in range(20):
                time.sleep(0.01)
                if len(self.beats) > heard:
                    return
        raise AssertionError("no beat answers the hello")

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


def config(port: int, data: Path, **changed: Any) -> Config:
    values: dict[str, Any] = {
        "name": "test",
        "data": data,
        "alliance": 3,
        "broker": Broker(port=port),
        "registrars": [REGISTRAR.public_key],
        "dispatchers": [],
        "block_age_ms": 100,
        "http": Http(listen=""),
    }
    return Config(**{**values, **changed})


@contextlib.asynccontextmanager
async def running(gateway: Gateway) -> AsyncIterator[Gateway]:
    task = asyncio.create_task(gateway.run())
    try:
        yield gateway
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until(condition: Callable[[], object], seconds: float = 15.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.02)


def check_chain(books: Books) -> list[bytes]:
    """Every block links, is signed and holds what it says; returns all sealed messages in order."""
    ring = KeyRing()
    ring.add(KEY.public_key)
    height, previous, body = 0, slave.START, list[bytes]()
    for number in range(1, books.tip()[0] + 1):
        block = slave.decode(books.block(number).encode())
        block.check_signature(ring)
        block.check_link(height, previous)
        block.check_body()
        height, previous = number, block.header.hash()
        body += block.body
    return body
