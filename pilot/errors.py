"""How a command of `pilot` says that it cannot go on.

Owns: `Unavailable`.
Refuses: everything about messages; those failures are `wire.errors.WireError`.
"""


class Unavailable(Exception):
    """Something that the command needs cannot be had here; the text says what, why, and what to do."""
