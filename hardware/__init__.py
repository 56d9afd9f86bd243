"""The physical world: register maps, the flash tool, and the emulator that stands in for boards, sensors and the grid.

Owns: `catalog` (register maps: data and one loader), flashing and provisioning, emulated boards and their faults.
Refuses: importing `gateway`, `ledger` or `pilot`; running firmware on anything but a real MicroPython interpreter.
Invariants: an emulated part answers byte for byte as the real one does, also where the real one does not answer.
"""
