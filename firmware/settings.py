"""Plain values that many files share: the settings in force, and what a device is made of.

Owns: their names. Refuses: nothing; `config.py` checks settings, `assembly.py` makes the parts, and both are then gone.
"""


class Settings:
    """Attributes by the names in `config.py`."""

    def __init__(self):
        self.problems = []  # what was wrong with config.json
        self.changed = {}  # settings by number that came in messages
        self.crc = 0  # of the config.json they lie over


class Base:
    """Board, settings and files; after `assembly.assemble` also the rest."""

    def __init__(self, board, config, files):
        self.board = board
        self.config = config
        self.files = files
        self.identity = self.journal = self.numbers = self.registers = self.saved_registers = None
        self.enrolment = None  # the signed message
        self.mains = []
        self.actors = []
        self.problems = []
