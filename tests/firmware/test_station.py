"""A station under real orders: real MicroPython, a real broker, a dispatch node that signs and MACs."""

from pathlib import Path
from typing import Any

from tests.firmware.device import Broker, Device, Gateway, running
from wire import rows

STATION: dict[str, Any] = {
    "role": "station",
    "actors": [{"part": "relay", "bus": "gpio0", "contact": "gpio1"}],
    "charge_w_max": 5_000,
    "discharge_w_max": 5_000,
    "current_ma_max": 40_000,
    "relay_on_s_min": 1,
    "relay_off_s_min": 1,
}


def events(gateway: Gateway) -> list[tuple[str, int]]:
    return [(rows.EVENTS[row[7][0][0]], row[7][0][1]) for row in gateway.rows if row[6] & rows.EVENT]


def test_an_order_closes_the_relay_and_is_answered_twice(
    micropython32: str, built: Path, broker: Broker, tmp_path: Path
) -> None:
    gateway = Gateway(broker.port)
    device = Device(micropython32, built, tmp_path / "flash")
    device.configure(broker={"host": "127.0.0.1", "port": broker.port, "tls": 0}, **STATION)
    with running(device, gateway):
        device.start()
        gateway.take(20, lambda: ("safe left", 0) in events(gateway))
        gateway.order(7, energy_wh=3)
        gateway.take(15, lambda: len(gateway.receipts()) >= 2)
        assert gateway.receipts() == [(7, 1, "taken", ""), (7, 2, "done", "")], device.said()
        last = gateway.all("receipt")[-1]
        moved = last.after[0] - last.before[0]
        assert 3 <= moved <= 6
        gateway.take(5, lambda: gateway.next_seq > last.last_seq)
        closed = [bool(row[6] & rows.CLOSED) for row in gateway.rows]
        assert True in closed[last.first_seq : last.last_seq + 1] and not closed[-1]
