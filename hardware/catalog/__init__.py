"""Register maps: what each part says, where, in which unit, and in which section of its data sheet that stands.

Owns: one TOML a part (`NAME.toml`), the SunSpec models (`sunspec.toml`), and the one loader.
Refuses: a map with a mistake, with file, line and cause; knowing anything about lines, boards or houses.
Invariants: read by whoever asks a part and by whoever plays it, so the two cannot drift apart; quantities and their
units are those of a sample (`voltage_mv`, `power_mw`, `import_wh` ...), integers, import positive.
"""

from .loader import CatalogError, load, names
from .part import Block, Part, Register
from .sunspec import Model, Point, models

__all__ = ["Block", "CatalogError", "Model", "Part", "Point", "Register", "load", "models", "names"]
