"""The gateway behind a real Mosquitto: what is acknowledged is on disk, sealed, and beaten."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

from gateway.service import Gateway
from gateway.store_read import Books
from tests.gateway.rig import KEY, REGISTRAR, Wall, Wire, check_chain, config, running, until
from tests.softdevice import SoftDevice


def silent(_: str) -> None: ...


def test_reports_are_stored_sealed_and_beaten(broker: int, tmp_path: Path) -> None:
    async def story() -> None:
        gateway = Gateway(config(broker, tmp_path), KEY, Wall(), silent)
        device = SoftDevice("one")
        entry = device.entry(REGISTRAR, KEY.kid)
        await gateway.enter(entry)
        async with running(gateway):
            wire = await asyncio.to_thread(Wire, broker, device)
            await asyncio.to_thread(wire.greet)
            reports = [device.report() for _ in range(5)]
            for raw in [reports[1], reports[0], reports[0], *reports[2:]]:
                await asyncio.to_thread(wire.send, "report", raw)
            await asyncio.to_thread(wire.send, "report", reports[4][:-1])
            await until(lambda: gateway.books.counts()["readings_sealed"] == 50)

            def beaten() -> bool:
                beat = device.open_beat(wire.beats[-1], KEY.public_key, KEY.kid)
                return (beat.next_seq, beat.head) == (50, device.head)

            await until(beaten)
            await until(lambda: gateway.books.counts()["refused"] == 1)
            assert check_chain(gateway.books) == [entry, *reports]
            assert gateway.books.refused(1)[0]["reason"] == "truncated"
            wire.close()

    asyncio.run(story())


def test_kill_9_loses_nothing_that_was_acknowledged(broker: int, tmp_path: Path) -> None:
    """Five kills while a device publishes: every report that got its PUBACK at the gateway's side is there once."""
    program = textwrap.dedent(
        f"""
        import asyncio, pathlib, sys
        sys.path.insert(0, {os.getcwd()!r})
        from gateway.service import Gateway
        from tests.gateway.rig import KEY, Wall, config
        async def main():
            await Gateway(config({broker}, pathlib.Path({str(tmp_path)!r})), KEY, Wall(), print).run()
        asyncio.run(main())
        """
    )
    device = SoftDevice("killed")

    async def enter() -> None:
        gateway = Gateway(config(broker, tmp_path), KEY, Wall(), silent)
        await gateway.enter(device.entry(REGISTRAR, KEY.kid))
        gateway.store.close()

    def start() -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.DEVNULL)

    asyncio.run(enter())
    wire = Wire(broker, device)
    process = start()
    wire.greet()
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
    books = Books.open(tmp_path / "gateway.db")
    for _ in range(750):
        if books.counts()["readings_sealed"] == len(sent):
            break
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    wire.close()
    assert check_chain(books)[1:] == sent
