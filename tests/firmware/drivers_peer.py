"""The driver's side of bench_drivers.py; runs on MicroPython and on CPython.

Owns: the buses and pins as `machine` shows them, each call passed on as one question.
Refuses: time and parts; those are the bench's.
"""

import sys

sys.path.insert(0, ".")

from firmware.drivers import Fault, Sample
from firmware.drivers.modbus import Line


def ask(*question):
    print("?", question)
    if sys.implementation.name == "cpython":
        sys.stdout.flush()
    return eval(sys.stdin.readline())


class Uart:
    def any(self):
        return ask("any")

    def read(self, count=-1):
        return ask("read", count)

    def write(self, data):
        return ask("write", bytes(data))

    def flush(self):
        pass


class I2c:
    def _transfer(self, address, data, count):
        errno, answer = ask("transfer", address, bytes(data), count)
        if errno:
            raise OSError(errno)
        return answer

    def readfrom_mem(self, address, register, count, addrsize=8):
        return self._transfer(address, register.to_bytes(addrsize // 8, "big"), count)

    def writeto_mem(self, address, register, data, addrsize=8):
        self._transfer(address, register.to_bytes(addrsize // 8, "big") + bytes(data), 0)


handlers = {}  # pin -> what its interrupt calls


class Pin:
    IRQ_RISING = 1
    IRQ_FALLING = 2

    def __init__(self, number):
        self.number = number

    def __call__(self, level=None):
        return ask("pin", self.number, level)

    def irq(self, handler=None, trigger=3):
        handlers[self.number] = handler


class Timer:
    ONE_SHOT = 0
    waiting = None

    def init(self, mode, period, callback):
        Timer.waiting = period, callback


def edge(number):
    """An edge on a pin whose interrupt is on."""
    handler = handlers.get(number)
    if handler:
        handler(None)


def ring():
    """The timer runs out."""
    _, callback = Timer.waiting
    Timer.waiting = None
    callback(None)


FIELDS = (
    "voltage_mv", "current_ma", "power_w", "power_mw", "import_wh", "export_wh", "frequency_mhz",
    "power_factor_milli", "soc_permille", "temperature_dc", "stored_wh", "raw",
)  # fmt: skip


def plain(value):
    return tuple([getattr(value, name) for name in FIELDS]) if isinstance(value, Sample) else value


names = {
    "uart": Uart(),
    "i2c": I2c(),
    "pin": Pin,
    "timer": Timer(),
    "edge": edge,
    "ring": ring,
    "Line": Line,
    "ticks_ms": lambda: ask("ticks"),
}


def run(line):
    kind, rest = line.split(" ", 1)
    if kind == "make":
        module, rest = rest.split(" ", 1)
        found = __import__("firmware.drivers." + module, None, None, ("*",))
        names.update((name, getattr(found, name)) for name in dir(found))
        handlers.clear()
        names["d"] = None
        names["d"] = eval(rest, names)
        return None
    return plain(eval(rest, names))


while True:
    heard = sys.stdin.readline()
    if not heard:
        break
    try:
        print("value", repr(run(heard.rstrip("\n"))))
    except Fault as fault:
        print("fault", repr((fault.reason, fault.detail)))
    if sys.implementation.name == "cpython":
        sys.stdout.flush()
