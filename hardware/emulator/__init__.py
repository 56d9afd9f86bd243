"""Boards on a bench that does not exist: real MicroPython processes, emulated hardware, one site clock, faults by name.

Owns: `port` (where boards, parts and the grid meet), boards and their shims, clock, buses, flash, links, faults, the runner.
Refuses: changing a line of the firmware, or telling it that it is emulated; talking to gateway or ledger but by sockets.
Invariants: time is the site clock's; what a board left on its flash is what its flash chip would hold.
"""
