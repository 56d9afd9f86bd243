"""What a board offers to the firmware: buses, pins, clock, watchdog, network. One file a board: pins, buses, limits.

Owns: `Board`, the port that everything else of the firmware meets hardware through, and its form for boards with
MicroPython's `machine` module.
Refuses: knowing what hangs on a bus; a bus that the board has not.
Invariants: tables only in the files of single boards; bus names are those of the site file (uart0, i2c0, gpio0 …).
"""

import os
import sys
import time

NETWORK_MS = 20_000  # an access point that has not answered by then is asked anew

# wire.rows.RESET_CAUSES by the names of `machine`'s constants
_CAUSES = (("PWRON_RESET", 0), ("HARD_RESET", 1), ("WDT_RESET", 2), ("DEEPSLEEP_RESET", 3), ("SOFT_RESET", 4))


def load(name):
    """The board's object by the name in config.json."""
    found = __import__("firmware.boards." + name.replace("-", "_"), None, None, ("Here",))
    return found.Here()


def restart():
    """The last resort. The unix port's `machine` cannot: there a service starts us again."""
    import machine

    getattr(machine, "reset", sys.exit)()


class Board:
    """A board with `machine` and `network`: ESP32 and RP2 families."""

    NAME = ""
    ARCH = ""  # what mpy-cross calls its native code
    FIRMWARE = ""  # the name of MicroPython's build for it
    UARTS = ()  # (number, tx, rx) of uart0, uart1 …
    I2CS = ()  # (number, scl, sda)
    GPIOS = ()
    POWER_GOOD = None  # an input that falls while the supply still lasts some milliseconds
    WATCHDOG_MS = 8_000
    FLASH_BYTES = 1 << 21  # of the file system

    def __init__(self):
        self._wlan = None

    def uart(self, bus, baud, parity=None, stop=1):
        from machine import UART, Pin

        number, tx, rx = self.UARTS[_index(bus, "uart", self.UARTS)]
        return UART(number, baud, bits=8, parity=parity, stop=stop, tx=Pin(tx), rx=Pin(rx), timeout=0, rxbuf=256)

    def i2c(self, bus, hz=100_000):
        from machine import I2C, Pin

        number, scl, sda = self.I2CS[_index(bus, "i2c", self.I2CS)]
        return I2C(number, scl=Pin(scl), sda=Pin(sda), freq=hz, timeout=5_000)

    def pin(self, bus, out=None, pull_up=True):
        """An output that starts at level `out`, or an input."""
        from machine import Pin

        number = self.GPIOS[_index(bus, "gpio", self.GPIOS)]
        if out is None:
            return Pin(number, Pin.IN, Pin.PULL_UP if pull_up else None)
        return Pin(number, Pin.OUT, value=out)

    def on_power_fail(self, handler):
        """Calls `handler(pin)` when the supply begins to fail; only where it is wired."""
        if self.POWER_GOOD is None:
            return
        from machine import Pin

        Pin(self.POWER_GOOD, Pin.IN, Pin.PULL_UP).irq(handler, Pin.IRQ_FALLING)

    def watchdog(self):
        from machine import WDT

        return WDT(timeout=self.WATCHDOG_MS)

    def reset_cause(self):
        import machine

        cause = machine.reset_cause()
        for name, number in _CAUSES:
            if getattr(machine, name, -1) == cause:
                return number
        return 0

    @staticmethod
    def ticks_ms():
        return time.ticks_ms()

    @staticmethod
    def sleep_ms(count):
        """Everything waits: only for what takes less than a tenth of a second."""
        time.sleep_ms(count)

    @staticmethod
    def random(count):
        return os.urandom(count)

    # ------------------------------------------------------------ network

    def network_up(self, wifi):
        """Whether packets may flow; asks for a connection where there is none. Never waits."""
        if wifi is None:
            return True
        import network

        if self._wlan is None:
            self._wlan = network.WLAN(network.STA_IF)
            self._asked_ms = None
        wlan = self._wlan
        if wlan.isconnected():
            return True
        now_ms = time.ticks_ms()
        if self._asked_ms is None or time.ticks_diff(now_ms, self._asked_ms) > NETWORK_MS:
            self._asked_ms = now_ms
            wlan.active(False)  # some chips stay deaf after a lost access point until switched off
            wlan.active(True)
            wlan.connect(wifi["ssid"], wifi["password"])
        return False


def _index(bus, kind, table):
    number = int(bus[len(kind) :]) if bus.startswith(kind) else -1
    if not 0 <= number < len(table):
        raise ValueError("this board has no %s" % bus)
    return number
