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
_head = bytearray(12)
_buf = bytearray(560)
_wait = bytearray(16)
_out = bytearray(8)
on = {}  # message -> what takes it: fn(buffer, offset, length)
later = []  # bytes that a UART will receive: [ms, id and bytes]
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


def hear():
    """Take one packet. In lock-step it says what time it is, and that the board goes on."""
    global ms, us, _until, _go, _reply
    if link.readinto(_head) != 12:
        raise SystemExit  # the emulator is gone, and so is this board
    n, t, us, _until = unpack_from("<HIHI", _head)
    ms = ms + (t - ms & _WRAP) & _PERIOD
    _go = True
    if n:
        link.readinto(_buf, n)
        i = 0
        while i < n:
            op = _buf[i]
            size = _buf[i + 1] | _buf[i + 2] << 8
            i += 3
            if op == 89:  # Y: the reply to a question
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
        us = _spun = 0
        if later:
            t = min(t, later[0][0] - ms & _WRAP)
        ms = ms + t & _PERIOD
        while later and (ms - later[0][0] & _WRAP) < 0x20000000:
            f = later.pop(0)
            on[68](f[1], 0, len(f[1]))
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
    if sockets:
        wants |= 2
    if len(_out) == 8:  # nothing else to say, as most of the time
        pack_into("<HIHBHiB", _wait, 0, 8, ms & _WRAP, us, 87, 5, t, wants)
        link.write(_wait)
    else:
        tell(87, pack("<iB", t, wants))  # W
        flush()
    _go = False
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


def _future(buf, i, n):
    later.append((unpack_from("<I", buf, i)[0], bytes(memoryview(buf)[i + 4 : i + n])))


on[70] = _future  # F


def boot():
    """The first packet says what board this is. Returns its payload."""
    global free, ticks
    found = []
    on[72] = lambda buf, i, n: found.append(bytes(memoryview(buf)[i : i + n]))  # H
    hear()
    del on[72]
    free = found[0][0] == 0
    if not free:
        ticks = _lock_step_ticks
    return found[0]
