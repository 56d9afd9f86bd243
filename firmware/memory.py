"""Modules that are needed once: loaded, used, and given back to the heap.

Owns: what was loaded for one purpose and nobody else uses.
Refuses: giving back what was there before; objects of such a module must not outlive the call.
Invariant: on CPython nothing is given back; there modules are for ever.
"""

import gc
import sys

_KEEPS = sys.implementation.name != "micropython"


def once(names, function, *args):
    """Calls a function of the first of these modules (names, spaces between); the others are what it brings along."""
    names = names.split()
    fresh = [name for name in names if name not in sys.modules]
    try:
        # No local name for the module: a frame of the caller would keep it.
        return getattr(__import__(names[0], None, None, ("",)), function)(*args)
    finally:
        if not _KEEPS:
            for name in fresh:
                _forget(name)
            gc.collect()


def _forget(name):
    parent, _, own = name.rpartition(".")
    for names, key in ((sys.modules, name), (sys.modules[parent].__dict__, own)):
        if key in names:
            names[key] = None  # a deleted entry's value stays in the table until its place is taken again
            del names[key]
