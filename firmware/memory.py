"""Modules that are needed once: used, and given back to the heap.

Owns: what was loaded for one purpose and nobody else uses.
Refuses: giving back what was there before; objects of a borrowed module must not outlive the loan.
Invariant: on CPython nothing is given back; there modules are for ever.
"""

import gc
import sys

_KEEPS = sys.implementation.name != "micropython"


class Borrowed:
    """`with Borrowed("wire.report", "wire.state") as report: ...`: the others are what it brings along."""

    def __init__(self, name, *others):
        self._name = name
        self._fresh = [each for each in (name,) + others if each not in sys.modules]

    def __enter__(self):
        return __import__(self._name, None, None, ("",))

    def __exit__(self, *error):
        if _KEEPS:
            return
        for name in self._fresh:
            parent, _, own = name.rpartition(".")
            for names, key in ((sys.modules, name), (sys.modules[parent].__dict__, own)):
                names[key] = None  # a deleted entry's value stays in the table until its place is taken again
                del names[key]
        gc.collect()
