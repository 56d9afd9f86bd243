"""The settings in force: attributes by the names in `firmware/config.py`, which reads and checks them and is then gone.

Owns: the values. Refuses: nothing; whoever puts a value here has checked it.
"""


class Settings:
    def __init__(self):
        self.problems = []  # what was wrong with config.json
        self.changed = {}  # settings by number that came in messages
        self.crc = 0  # of the config.json they lie over
