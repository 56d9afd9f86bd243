"""Files on flash, and small records that survive a power cut at any instant.

Owns: reading, appending and replacing files; `Slots`, a record kept in two files in turn.
Refuses: knowing what the bytes mean.
Invariants: close() is the flush (MicroPython has no fsync), so every write opens, writes and closes; what `Slots.load`
gives back is the newest record that was ever saved whole, or None if there never was one.
"""

import os
from binascii import crc32
from struct import pack, unpack_from

_TAIL = 4  # the CRC-32 behind a record
_HEAD = ">IH"  # generation, length


class Files:
    """All file access of the firmware goes through here, so that tests can cut the power at each operation."""

    def __init__(self, root=""):
        self.root = root  # "" is where the board starts: the root of its flash

    def read(self, name, offset=0, size=-1):
        """The bytes, fewer at the file's end; None if there is no such file."""
        try:
            with open(self.root + name, "rb") as file:
                if offset:
                    file.seek(offset)
                return file.read(size) if size >= 0 else file.read()
        except OSError as error:
            if error.args[0] == 2:  # ENOENT
                return None
            raise

    def open(self, name):
        return open(self.root + name, "rb")

    def append(self, name, *parts):
        self._put(name, "ab", parts)

    def write(self, name, *parts):
        self._put(name, "wb", parts)

    def _put(self, name, mode, parts):
        with open(self.root + name, mode) as file:
            for part in parts:
                file.write(part)

    def replace(self, old, new):
        """`old` takes the name and place of `new` in one step."""
        os.rename(self.root + old, self.root + new)

    def remove(self, name):
        try:
            os.remove(self.root + name)
        except OSError as error:
            if error.args[0] != 2:
                raise

    def sizes(self, folder):
        """(name, size) of each file in a folder, which is made where it is missing."""
        path = self.root + folder
        try:
            os.mkdir(path)
        except OSError as error:
            if error.args[0] != 17:  # EEXIST
                raise
        return [(name, os.stat(path + "/" + name)[6]) for name in os.listdir(path)]

    def free_bytes(self):
        numbers = os.statvfs(self.root or ".")
        return numbers[0] * numbers[3]


class Slots:
    """One small record in the files NAME.0 and NAME.1, written in turn, so that a torn write leaves the one before."""

    def __init__(self, files, name):
        self.files = files
        self.name = name
        self.generation = 0

    def load(self):
        newest = None
        for slot in "01":
            data = self.files.read("%s.%s" % (self.name, slot))
            if data is None or len(data) < 6 + _TAIL:
                continue
            generation, size = unpack_from(_HEAD, data)
            end = 6 + size
            if len(data) != end + _TAIL or unpack_from(">I", data, end)[0] != crc32(data[:end]):
                continue
            if newest is None or generation > self.generation:
                self.generation = generation
                newest = data[6:end]
        return newest

    def save(self, payload):
        generation = self.generation + 1
        data = pack(_HEAD, generation, len(payload)) + payload
        self.files.write("%s.%d" % (self.name, generation & 1), data, pack(">I", crc32(data)))
        self.generation = generation
