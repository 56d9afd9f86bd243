"""What is flashed: the meter and the station, in MicroPython.

Owns: sampling, registers, journal, safety, the device's side of a session, drivers and boards.
Refuses: any import of ours but `wire`; touching a pin, bus, clock or socket except through the injected `Board`.
Invariants: every file imports on a laptop; a register never goes backwards; a station without a lease is safe.
"""
