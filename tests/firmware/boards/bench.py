"""A board for tests, copied into the firmware's tree: files in a folder, parts that answer at once, no radio."""

import time
from struct import pack

from firmware.boards import Board
from firmware.drivers.modbus import frame

MAINS_W = 3_600  # a watt hour each second


class Pzem:
    """A PZEM-004T at address 1 and the line it hangs on; behind the relay on gpio0 where there is one."""

    def __init__(self, pins):
        self.pins = pins
        self.answer = b""
        self.energy_mws = 0
        self.last_ms = time.ticks_ms()
        self.power_w = MAINS_W

    def write(self, data):
        now_ms = time.ticks_ms()
        self.energy_mws += self.power_w * time.ticks_diff(now_ms, self.last_ms)
        self.last_ms = now_ms
        relay = self.pins.get("gpio0")
        self.power_w = MAINS_W if relay is None or relay.value() else 0
        amps = self.power_w * 1000 // 230
        tenths = self.power_w * 10
        wh = self.energy_mws // 3_600_000
        body = pack(
            ">BBB10H", 1, 4, 20, 2300, amps & 0xFFFF, amps >> 16, tenths & 0xFFFF, tenths >> 16,
            wh & 0xFFFF, wh >> 16, 500, 100, 0,
        )  # fmt: skip
        self.answer = frame(body)

    def any(self):
        return len(self.answer)

    def read(self, count=-1):
        answer, self.answer = self.answer, b""
        return answer


class Pin:
    def __init__(self, value):
        self._value = value

    def value(self, value=None):
        if value is None:
            return self._value
        self._value = value

    __call__ = value


class Contact:
    """Pulls down while the relay on gpio0 is closed."""

    def __init__(self, pins):
        self._pins = pins

    def value(self):
        return 1 - self._pins["gpio0"].value()


class Here(Board):
    NAME = "bench"

    def __init__(self):
        super().__init__()
        self.pins = {}
        self.pzem = Pzem(self.pins)

    def uart(self, bus, baud, parity=None, stop=1):
        return self.pzem

    def pin(self, bus, out=None, pull_up=True):
        if bus == "gpio1":
            return Contact(self.pins)
        return self.pins.setdefault(bus, Pin(1 if out is None else out))

    def on_power_fail(self, handler):
        pass

    def watchdog(self):
        return self

    def feed(self):
        pass

    def reset_cause(self):
        return 0
