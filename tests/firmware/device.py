"""Runs the real firmware on real MicroPython for tests: a built tree, a folder as flash, a broker, a stand-in gateway.

Owns: building, the processes, the gateway's and the dispatch node's side of the protocol as a test wants it.
Refuses: emulating hardware at the level of `machine`: that is the emulator's work, and its tests'.
"""

import contextlib
import json
import os
import queue
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho

from hardware import build as building
from wire import command, envelope, hello, report, rows, state, topics
from wire.chain.keys import PrivateKey, point, verify
from wire.enrol import Enrolment
from wire.ids import id_bytes

ROOT = Path(__file__).parents[2]
GATEWAY = PrivateKey.derive("gateway")
DISPATCH = PrivateKey.derive("dispatch")
REGISTRAR = PrivateKey.derive("registrar")


def tree(target: Path, arch: str = "x86", folded: bool = True) -> Path:
    """The firmware as .mpy for an interpreter of the host, with the bench board in it."""
    building.build(target, "esp32-s3", arch, folded)
    name = "firmware/boards/bench.mpy"
    bench = Path(__file__).parent / "boards/bench.py"
    building.compile_text(bench.read_text(), name, target / name, arch)
    return target


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Broker:
    def __init__(self, mosquitto: str, folder: Path) -> None:
        self.port = free_port()
        self._mosquitto = mosquitto
        self._settings = folder / "mosquitto.conf"
        self._settings.write_text(f"listener {self.port} 127.0.0.1\nallow_anonymous true\n")
        self._log = (folder / "mosquitto.log").open("wb")
        self.start()

    def start(self) -> None:
        self._process = subprocess.Popen([self._mosquitto, "-c", str(self._settings)], stderr=self._log)
        until(lambda: self._answers(), 5, "mosquitto does not listen")

    def _answers(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(10)


class Device:
    """One board: `root` is its flash and outlives the process."""

    def __init__(self, micropython: str, tree: Path, root: Path, heap: str = "200k") -> None:
        self.root = root
        self._command = [micropython, "-X", f"heapsize={heap}", "-c", "from firmware.main import run; run()"]
        self._tree = tree
        self.console = root.parent / f"{root.name}.console"
        self._process: subprocess.Popen[bytes] | None = None

    def configure(self, **values: Any) -> None:
        wanted = {
            "role": "meter",
            "board": "bench",
            "sample_ms": 100,
            "row_s": 1,
            "sensors": [{"part": "pzem004t-v3", "bus": "uart0"}],
            "gateway_key": GATEWAY.public_key.hex(),
            "dispatch_key": DISPATCH.public_key.hex(),
            "registrar_key": REGISTRAR.public_key.hex(),
        }
        wanted.update(values)
        self.root.mkdir(parents=True, exist_ok=True)
        (self.root / "config.json").write_text(json.dumps(wanted))

    def start(self) -> None:
        env = dict(os.environ, MICROPYPATH=f"{self._tree}:.frozen")
        with self.console.open("ab") as console:
            self._process = subprocess.Popen(self._command, env=env, stdout=console, stderr=console, cwd=self.root)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)
            self._process = None

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def said(self) -> str:
        return self.console.read_text()

    @property
    def id(self) -> bytes:
        """From the console's first line."""
        until(lambda: self.console.exists() and "TALLYGRID" in self.said(), 10, "the board says nothing")
        line = next(line for line in self.said().splitlines() if line.startswith("TALLYGRID"))
        return id_bytes(line.split()[2])


class Gateway:
    """Takes what devices send, checks it as a gateway must, and beats when told to."""

    def __init__(self, port: int) -> None:
        self.heard: queue.Queue[tuple[bytes, str, bytes]] = queue.Queue()
        self.log: list[tuple[str, Any]] = []
        self.public_key = b""
        self.hello: hello.Hello | None = None
        self.next_seq = 0
        self.head = rows.HEAD_START
        self.rows: list[Any] = []
        self.reports: list[report.Report] = []
        self.count = 0
        self.client = paho.Client(paho.CallbackAPIVersion.VERSION2)
        self.client.on_message = lambda _c, _u, m: self.heard.put((*topics.split(m.topic), m.payload))
        self.client.connect("127.0.0.1", port)
        self.client.subscribe(topics.ALL_UP, 1)
        self.client.loop_start()

    def close(self) -> None:
        self.client.loop_stop()
        self.client.disconnect()

    def take(self, seconds: float, enough: Callable[[], bool] = lambda: False, beats: bool = True) -> None:
        """Hears for a while, or until it is enough."""
        end = time.monotonic() + seconds
        next_beat = 0.0
        while time.monotonic() < end and not enough():
            with contextlib.suppress(queue.Empty):
                self._heard(*self.heard.get(timeout=0.05))
                if beats and self.log[-1][0] in ("hello", "report", "coarse"):
                    next_beat = 0.0
            if beats and self.hello is not None and time.monotonic() >= next_beat:
                next_beat = time.monotonic() + 1
                self.beat()

    def _heard(self, id: bytes, kind: str, payload: bytes) -> None:
        if kind == "gone":
            self.log.append((kind, None))
            return
        signed = envelope.split(payload)
        if kind == "enrolment":
            enrolment = Enrolment.decode(signed.payload)
            self.public_key = enrolment.public_key
            self.id = enrolment.id
        domains = {"hello": hello.Hello, "enrolment": Enrolment, "state": state.State, "coarse": report.Coarse}
        message: Any = {**domains, "receipt": command.Receipt}.get(kind)
        domain = message.DOMAIN if message else rows.DOMAIN
        verify(point(self.public_key), envelope.to_sign(signed.kid, domain, signed.payload), signed.signature)
        if message:
            decoded = message.decode(signed.payload)
            if kind == "hello":
                self.hello = decoded
                self.count = 0
            if kind == "coarse" and decoded.seq <= self.next_seq < decoded.next_seq:
                assert decoded.seq != self.next_seq or decoded.head == self.head
                self.next_seq, self.head = decoded.next_seq, decoded.next_head
            self.log.append((kind, decoded))
            return
        found = report.decode(signed.payload)
        self.log.append((kind, found))
        if found.seq == self.next_seq:
            assert found.head == self.head, "the chain of rows is broken"
            self.next_seq, self.head = found.next_seq, found.next_head
            self.rows += found.rows
            self.reports.append(found)

    def kinds(self) -> list[str]:
        return [kind for kind, _ in self.log]

    def all(self, kind: str) -> list[Any]:
        return [message for found, message in self.log if found == kind]

    def beat(self, **changes: Any) -> None:
        assert self.hello is not None
        self.count += 1
        values: dict[str, Any] = {
            "id": self.hello.id,
            "nonce": self.hello.nonce,
            "count": self.count,
            "time_s": int(time.time()),
            "quality": rows.SYNCED,
            "next_seq": self.next_seq,
            "head": self.head,
            "period_s": 10,
        }
        values.update(changes)
        self.down("beat", maced(GATEWAY, self.public_key, hello.Beat.DOMAIN, hello.Beat(**values).encode()))

    def down(self, kind: str, data: bytes, retain: bool = False) -> None:
        assert self.hello is not None
        self.client.publish(topics.down(self.hello.id, kind), data, 1, retain)

    def order(self, counter: int, action: str = "charge", seconds: int = 30, **changes: Any) -> bytes:
        """A command as the dispatch node sends it; gives its id."""
        assert self.hello is not None
        now_s = int(time.time())
        values: dict[str, Any] = {
            "station": self.hello.id,
            "id": counter.to_bytes(16, "big"),
            "counter": counter,
            "grants": [counter],
            "action": command.ACTIONS.index(action),
            "limit_w": 4_000,
            "energy_wh": 1_000,
            "not_before": now_s,
            "lease_until": now_s + seconds,
        }
        values.update(changes)
        signed = envelope.sign(DISPATCH, command.Command.DOMAIN, command.Command(**values).encode())
        self.down("command", maced(DISPATCH, self.public_key, command.MAC_DOMAIN, signed))
        return bytes(values["id"])

    def receipts(self) -> list[tuple[int, int, str, str]]:
        """(counter, part, outcome, reason) of each."""
        found = self.all("receipt")
        return [(r.counter, r.part, command.OUTCOMES[r.outcome], command.REASONS[r.reason]) for r in found]


class _Macer:
    def __init__(self, key: PrivateKey, peer: bytes) -> None:
        self.kid = key.kid
        self._key = key.mac_key(peer)

    def mac(self, kid: bytes, message: bytes) -> bytes:
        from firmware.crypto.hmac import hmac_sha256

        return hmac_sha256(self._key, message)


def maced(key: PrivateKey, peer: bytes, domain: str, payload: bytes) -> bytes:
    return envelope.mac(_Macer(key, peer), domain, payload)


def until(done: Callable[[], bool], seconds: float, otherwise: str) -> None:
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end, otherwise
        time.sleep(0.02)


@contextlib.contextmanager
def running(*things: Any) -> Iterator[None]:
    """Ends what was started, whatever happens."""
    try:
        yield
    finally:
        for thing in things:
            getattr(thing, "kill", None) and thing.kill()
            getattr(thing, "close", None) and thing.close()
            getattr(thing, "stop", None) and thing.stop()
