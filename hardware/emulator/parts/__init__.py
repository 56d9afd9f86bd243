"""Emulated parts: byte for byte what the real ones answer, and what they do not.

Owns: sensors, relays, inverters and batteries, one file each, built from `hardware/catalog`; what can fail in a part.
Refuses: the pace of the line and bit flips (`bus.py`), physics (`grid`), secure elements' keys (`atecc608.py` apart).
Invariants: a part is silent, or raises the exception, wherever the real one does; energy registers have the part's own
resolution and never count what the part could not see.
"""
