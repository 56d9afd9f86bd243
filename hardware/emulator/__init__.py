"""Boards on a bench that does not exist: real MicroPython processes, emulated hardware, one site clock, named faults.

Owns: `port` (where boards, parts and the grid meet), boards and their shims, clock, buses, flash, links, faults.
Refuses: changing a line of the firmware, or telling it that it is emulated; importing gateway or ledger.
Invariants: time is the site clock's; what a board left on its flash is what its flash chip would hold.
"""
