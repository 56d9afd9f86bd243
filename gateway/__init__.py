"""The cabinet service: hears devices, stores before it acknowledges, seals into slave blocks, sends upwards.

Owns: intake, sequence and chain heads of devices, the cutter, the window, Modbus polling, leases on their way down.
Refuses: importing `ledger`, `pilot` or `hardware` (but for the register maps of `hardware.catalog`).
Invariants: nothing is acknowledged before it is on disk; nothing that was acknowledged is lost or sealed twice.
"""
