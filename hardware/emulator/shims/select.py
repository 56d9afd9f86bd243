"""poll() over sockets of the host and the board's emulated streams, waiting on the site clock."""

import uselect
from _emulator import link, ticks, wait
from uselect import POLLERR, POLLHUP, POLLIN, POLLOUT


class Stream:
    """What is emulated and can be polled. `_ready()` returns the events that would not block."""


class poll:
    def __init__(self):
        self._p = uselect.poll()
        self._p.register(link, POLLIN)
        self._sockets = set()
        self._streams = {}
        self._ready = []

    def register(self, o, ev=POLLIN | POLLOUT):
        if isinstance(o, Stream):
            self._streams[id(o)] = o, ev
        else:
            self._p.register(o, ev)
            self._sockets.add(id(o))

    def modify(self, o, ev):
        if isinstance(o, Stream):
            self._streams[id(o)] = o, ev
        else:
            self._p.modify(o, ev)

    def unregister(self, o):
        if isinstance(o, Stream):
            self._streams.pop(id(o), None)
        else:
            self._p.unregister(o)
            self._sockets.discard(id(o))

    def ipoll(self, ms=-1, flags=0):
        ready = self._ready
        ready.clear()
        streams = self._streams
        end = ticks() + ms
        t = ms
        while True:
            wants = 0
            for o, ev in streams.values():
                wants |= ev & POLLIN
                ev &= o._ready()
                if ev:
                    ready.append((o, ev))
            wait(self._p, 0 if ready else t, ready, wants, len(self._sockets))
            if ready or t == 0:
                return ready
            if ms > 0:
                t = end - ticks() & 0x3FFFFFFF
                if t > 0x1FFFFFFF:
                    t = 0

    def poll(self, ms=-1):
        return list(self.ipoll(ms))
