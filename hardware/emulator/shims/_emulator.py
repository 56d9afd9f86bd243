"""The board's end of the line to the emulator, and the one place where a board waits.

Owns: the socket to the emulator, the board's idea of time, waiting. Message format: hardware/emulator/messages.py.
Refuses: any policy. What happens outside (bytes, edges, the clock) is the emulator's to say.
Invariants: in lock-step the time stands still while the board computes, and moves only in `wait` and `ask`;
whatever was told reaches the emulator before the time moves.

Kept small: this lives in the board's own heap.
"""

import sys
from struct import pack, pack_into, unpack_from

import uos
import uselect
import utime
import vfs
from micropython import const

_WRAP = const(0x3FFFFFFF)  # the emulator counts milliseconds up to here
_SPIN = const(500)  # so many questions in a row count as waiting
_PERIOD = 0x3FFFFFFF if sys.maxsize == 0x7FFFFFFF else 0x3FFFFFFFFFFFFFFF  # where this build's ticks wrap

files = vfs.VfsPosix(uos.getenv("MICROPYPATH"))
link = open(int(uos.getenv("TALLYGRID_LINK")), "r+b", buffering=0)
only = uselect.poll()  # for waits that no socket can end
only.register(link, 1)
_buf = bytearray(560)
_out = bytearray(8)
on = {}  # message -> what takes it: fn(buffer, offset, length)
due = []  # interrupts: (handler, argument)
hooks = []  # machine.Timer: [limit(ms) -> ms, run()]
free = True  # the clock runs by itself (real time), else in lock-step
ms = 0
us = 0
mark = 0  # when asyncio's ticks were last set against the host's
rebase = None
_until = 0  # up to here the board may move its own time without asking
_spun = 0
_looked = 0  # when sockets were last asked
_go = False
_reply = None


def tell(op, data=b""):
    """Say something that needs no answer. Keeps the order; leaves at once in real time, else with the next wait."""
    global _until
    mention(op, data)
    _until = ms  # something may come of it


def mention(op, data=b""):
    """Say something of which nothing comes, so that it need not leave before the next wait that does."""
    global _out
    _out += pack("<BH", op, len(data))
    _out += data
    if free:
        flush()


def leave():
    """What was told leaves now, also in lock-step."""
    if not free:
        flush()


def flush():
    global _out
    pack_into("<HIH", _out, 0, len(_out) - 8, ms & _WRAP, us)
    link.write(_out)
    _out = bytearray(8)


def _packet():
    n = link.readinto(_buf, 2)
    if n == 2:
        n = _buf[0] | _buf[1] << 8
        if link.readinto(_buf, n) == n:
            return n
    raise SystemExit  # the emulator is gone, and so is this board


def hear():
    """Take one packet; a packet may hold several messages."""
    global ms, us, _until, _go, _reply
    n = _packet()
    i = 0
    while i < n:
        op = _buf[i]
        size = _buf[i + 1] | _buf[i + 2] << 8
        i += 3
        if op == 71:  # G: go on, at this time, up to that
            t, us, _until = unpack_from("<IHI", _buf, i)
            ms = (ms + (t - ms & _WRAP)) & _PERIOD
            _go = True
        elif op == 89:  # Y: the reply to a question
            _reply = bytes(memoryview(_buf)[i : i + size])
        else:
            f = on.get(op)
            if f:
                f(_buf, i, size)
        i += size


def ask(op, data=b""):
    """Say something and wait for the reply."""
    global _reply
    if not free:
        spin(4)
    tell(op, data)
    if not free:
        flush()
    _reply = None
    while _reply is None:
        hear()
    r = _reply
    interrupt()
    return r


def interrupt():
    while due:
        f, a = due.pop(0)
        f(a)


def spin(n):
    """A board that asks again and again without waiting waits all the same, or the time would stand still for ever."""
    global _spun
    _spun += n
    if _spun > _SPIN:
        _spun = 0
        pause(1)


def turn():
    """Let the world in without waiting: for loops that look at a pin or a buffer."""
    if free:
        for _ in only.ipoll(0):
            hear()
        interrupt()
    else:
        spin(1)


def wait(p, t, ready, wants, sockets):
    """Wait until `t` ms have passed (t < 0: for ever) or something came. `p` polls the link and `sockets` others;
    those that are ready go to `ready`. `wants`: bytes that arrive on a UART end the wait."""
    if hooks:
        t = hooks[0](t)
    if free:
        heard = False
        for o, ev in p.ipoll(t):
            if o is link:
                heard = True
            else:
                ready.append((o, ev))
        if heard:
            hear()
    else:
        _step(p, t, ready, wants, sockets)
    interrupt()
    if hooks:
        hooks[1]()


def _step(p, t, ready, wants, sockets):
    global ms, us, mark, _looked, _spun, _go
    if t == 0 and (_looked == ms or not sockets):
        spin(1)
        return
    if 0 < t <= (_until - ms & _WRAP) < 0x20000000:
        ms = ms + t & _PERIOD
        us = _spun = 0
        return
    if sockets:
        _looked = ms
        for o, ev in p.ipoll(0):
            if o is not link:
                ready.append((o, ev))
        if ready or t == 0:
            return
    _spun = 0
    if ms - mark & _WRAP > 0x8000000:
        mark = ms
        rebase()
    tell(87, pack("<iB", t, wants | (2 if sockets else 0)))  # W
    _go = False
    flush()
    while not _go:
        if sockets and not ready:
            for o, ev in p.ipoll(-1):
                if o is link:
                    hear()
                else:
                    ready.append((o, ev))
            if ready and not _go:
                tell(65)  # A: a socket woke me
                flush()
        else:
            hear()


def pause(t):
    """time.sleep_ms: interrupts and timers run, nothing else does."""
    end = ticks() + t
    while 0 < t < 0x20000000:
        wait(only, t, (), 0, 0)
        t = end - ticks() & _WRAP


def _lock_step_ticks():
    spin(1)
    return ms


ticks = utime.ticks_ms


class Later:
    """Stands in sys.modules for a module of the board until somebody uses it."""

    def __init__(self, name):
        self._name = name

    def __getattr__(self, name):
        return getattr(load(self._name), name)


def load(name):
    """Import a module of the board. Its folder is only there while it is looked for: the firmware sees its flash."""
    if isinstance(sys.modules.get(name), Later):
        del sys.modules[name]
    if name not in sys.modules:
        vfs.mount(files, "/.board")
        sys.path.append("/.board")
        try:
            __import__(name)
        finally:
            sys.path.pop()
            vfs.umount("/.board")
    return sys.modules[name]


def boot():
    """The first packet says what board this is. Returns its payload."""
    global free, ticks, ms
    n = _packet()
    free = _buf[0] == 0
    if not free:
        ms = unpack_from("<I", _buf, 1)[0]
        ticks = _lock_step_ticks
    return bytes(memoryview(_buf)[5:n])
