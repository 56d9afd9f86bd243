"""The site file: one TOML that describes a pilot's houses, network, boards, tariffs, chains and faults.

Owns: its dataclasses (`model`), reading and checking it (`load`), and the line numbers in what it says about mistakes.
Refuses: half a site. A file with one mistake gives no `Site`, and all its mistakes in one message.
Invariants: plain values only, integers with the unit in the name; nothing here starts, opens or simulates anything.
"""

from .load import EXAMPLES, SiteError, load
from .model import Site

__all__ = ["EXAMPLES", "Site", "SiteError", "load"]
