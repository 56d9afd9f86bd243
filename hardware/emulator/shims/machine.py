"""The chip's hardware as MicroPython on an ESP32 shows it, as far as a meter or a storage station needs it.

Owns: Pin, UART, WDT, resets; ADC, I2C, RTC and Timer from files of their own. Refuses: PWM, SPI, wake-up pins.
"""

from select import Stream
from struct import pack

import _emulator as _e
from _emulator import ask, tell

PWRON_RESET = 1
HARD_RESET = 2
WDT_RESET = 3
DEEPSLEEP_RESET = 4
SOFT_RESET = 5
_cause = 1
_id = b""
_hz = 160000000


def reset_cause():
    return _cause


def unique_id():
    return _id


def freq(hz=None):
    global _hz
    if hz is None:
        return _hz
    _hz = hz


def _stop(cause, ms=0):
    tell(82, pack("<BI", cause, ms))  # R
    _e.flush()
    while True:
        _e.hear()


def reset():
    _stop(HARD_RESET)


def soft_reset():
    _stop(SOFT_RESET)


def deepsleep(ms=0xFFFFFFFF):
    _stop(DEEPSLEEP_RESET, ms)


def lightsleep(ms=0):
    _e.pause(ms)


def idle():
    _e.turn()


def disable_irq():
    return 0


def enable_irq(state=0):
    pass


class Pin:
    IN = 1
    OUT = 3
    OPEN_DRAIN = 7
    PULL_DOWN = 1
    PULL_UP = 2
    IRQ_RISING = 1
    IRQ_FALLING = 2
    _irqs = {}

    def __init__(self, id, mode=-1, pull=-1, value=None, drive=0, hold=None):
        self._n = id._n if isinstance(id, Pin) else id
        self._out = 0
        self.init(mode, pull, value)

    def init(self, mode=-1, pull=-1, value=None, drive=0, hold=None):
        if value is not None:
            self._out = int(bool(value))
        if mode is not None and mode >= 0:
            self._mode = mode
            tell(77, pack("<BBbB", self._n, mode, -1 if pull is None else pull, self._out))  # M

    _mode = 1

    def value(self, v=None):
        if v is None:
            return self._out if self._mode == 3 else ask(114, bytes((self._n,)))[0]  # r
        self._out = int(bool(v))
        tell(112, bytes((self._n, self._out)))  # p
        _e.leave()  # a relay moves even if the next thing is an endless loop

    __call__ = value

    def on(self):
        self.value(1)

    def off(self):
        self.value(0)

    def toggle(self):
        self.value(1 - self._out)

    def irq(self, handler=None, trigger=3, wake=None, hard=False):
        self._irqs[self._n] = handler, self
        tell(73, bytes((self._n, trigger if handler else 0)))  # I


def _edge(buf, i, n):
    f, pin = Pin._irqs.get(buf[i], (None, None))
    if f:
        _e.due.append((f, pin))


_e.on[69] = _edge  # E


class UART(Stream):
    _open = {}

    def __init__(self, id, baudrate=115200, **kw):
        self._n = id
        self._rx = b""
        self._kw = {"bits": 8, "parity": None, "stop": 1, "tx": -1, "rx": -1, "timeout": 0, "rxbuf": 256}
        self.init(baudrate, **kw)

    def init(self, baudrate=None, *args, **kw):
        k = self._kw
        for name, v in zip(("bits", "parity", "stop"), args):
            k[name] = v
        k.update(kw)
        if baudrate:
            self._baud = baudrate
        tx, rx = k["tx"], k["rx"]
        UART._open[self._n] = self
        self._ms = k["timeout"]
        self._max = k["rxbuf"]
        tell(
            85,  # U
            pack(
                "<BIbbBbB",
                self._n,
                self._baud,
                tx._n if isinstance(tx, Pin) else tx,
                rx._n if isinstance(rx, Pin) else rx,
                k["bits"],
                -1 if k["parity"] is None else k["parity"],
                k["stop"],
            ),
        )

    def deinit(self):
        UART._open.pop(self._n, None)

    def _ready(self):
        return 5 if self._rx else 4

    def ioctl(self, req, arg):
        return self._ready() & arg if req == 3 else -1

    def any(self):
        if not self._rx:
            _e.turn()
        return len(self._rx)

    def read(self, n=-1):
        if n < 0:
            n = max(len(self._rx), self.any())
        t = self._ms
        end = _e.ticks() + t
        while len(self._rx) < n and t:
            _e.wait(_e.only, t, (), 1, 0)
            t = end - _e.ticks() & 0x3FFFFFFF
            if t > 0x1FFFFFFF:
                break
        if not self._rx:
            _e.turn()
        r = self._rx[:n]
        self._rx = self._rx[n:]
        return r or None

    def readinto(self, buf, n=-1):
        r = self.read(len(buf) if n < 0 else n)
        if r is None:
            return None
        buf[: len(r)] = r
        return len(r)

    def readline(self):
        i = self._rx.find(b"\n")
        return self.read(i + 1 if i >= 0 else len(self._rx) or 1)

    def write(self, data):
        n = len(data)
        for i in range(0, n, 1000):
            tell(117, bytes((self._n,)) + bytes(data[i : i + 1000]))  # u
        return n

    def flush(self):
        while not self.txdone():
            _e.pause(1)

    def txdone(self):
        return ask(116, bytes((self._n,)))[0] == 1  # t


def _received(buf, i, n):
    u = UART._open.get(buf[i])
    if u:
        u._rx = (u._rx + bytes(memoryview(buf)[i + 1 : i + n]))[: u._max]


_e.on[68] = _received  # D


class WDT:
    def __init__(self, id=0, timeout=5000):
        tell(119, pack("<I", timeout))  # w
        _e.leave()

    def feed(self):
        _e.mention(102)  # f


_LATER = {"ADC": "_adc", "I2C": "_i2c", "SoftI2C": "_i2c", "RTC": "_rtc", "Timer": "_timer"}


def __getattr__(name):
    """What few boards use is loaded by those that do."""
    if name not in _LATER:
        raise AttributeError(name)
    v = globals()[name] = getattr(_e.load(_LATER[name]), name)
    return v
