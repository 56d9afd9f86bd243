"""A meter from its first boot on: real MicroPython, a real broker, a gateway that checks every byte."""

from pathlib import Path

from tests.firmware.device import Broker, Device, Gateway, running


def test_a_new_meter_enrols_and_its_readings_arrive_whole(
    micropython32: str, built: Path, broker: Broker, tmp_path: Path
) -> None:
    gateway = Gateway(broker.port)
    device = Device(micropython32, built, tmp_path / "flash")
    device.configure(broker={"host": "127.0.0.1", "port": broker.port, "tls": 0})
    with running(device, gateway):
        device.start()
        gateway.take(15, lambda: len(gateway.rows) >= 12)
        assert gateway.kinds()[:2] == ["enrolment", "hello"]
        assert len(gateway.rows) >= 12, device.said()
