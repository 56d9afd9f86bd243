"""The journal: sealed messages on flash until the gateway holds them, oldest first, none lost silently.

Owns: segment files of records, where a position stands in them, making room.
Refuses: growing over its capacity; giving up what the gateway has not, except for a coarse report that says so.
Invariants: files and signed bytes come in; a record is whole on flash before `append` returns; a segment goes only when
the gateway's position is behind it or a coarse report for it is on flash already; `next_seq` never falls while it runs.

A segment is a file named by its first seq (14 hex digits). The oldest one may hold coarse reports, each of which stands
for one or more old segments; the receipts of those stay beside them. What is on flash at the start: `assembly.py`.
"""

from firmware import records
from firmware.memory import once
from firmware.records import FOLDER, RECEIPT, name_of
from wire import rows

SEGMENT_BYTES = 8_100  # two blocks of flash
BLOCK = 4_096
SPARE = FOLDER + "/spare"  # what is written to take a segment's place
COARSENING = "firmware.coarsening wire.report wire.state"  # modules that only a full journal needs
_FULL = 28  # ENOSPC


class Journal:
    """`coarse(seq, head, next_seq, next_head, merged, first, last, time_s, quality)`, which the device sets, gives a
    signed coarse report; time None stands for now."""

    def __init__(self, files):
        self.files = files
        self.capacity = 0
        self.coarse = None
        self.next_seq = 0
        self.head = rows.HEAD_START
        self.position = 0  # rows before it may go
        self.merged = 0  # reports given up so far
        self.firsts = []  # of the segments, rising
        self.sizes = []
        self.used = 0
        self.changes = 0  # segments moved: places are to be sought anew

    # ------------------------------------------------------------ reading

    @property
    def oldest_seq(self):
        return self.firsts[0] if self.firsts else self.next_seq

    def seek(self, seq):
        """The place (segment, offset) of the first record that is not wholly before row `seq`, None in an empty one."""
        if not self.firsts:
            return None
        index = len(self.firsts) - 1
        while index > 0 and self.firsts[index] > seq:
            index -= 1
        offset = 0
        for record in records.walk(self.files, name_of(self.firsts[index])):
            if record.next_seq > seq or (record.kind == RECEIPT and record.seq >= seq):
                break
            offset = record.end
        return (self.firsts[index], offset)

    def read(self, place):
        """(record, place behind it), or (None, place) at the journal's end."""
        first, offset = place
        for record in records.walk(self.files, name_of(first), offset):
            return record, (first, record.end)
        for later in self.firsts:
            if later > first:
                return self.read((later, 0))
        return None, place

    def head_at(self, seq):
        """The head before row `seq` where this journal knows it, else None."""
        if seq == self.next_seq:
            return self.head
        place = self.seek(seq)
        record = self.read(place)[0] if place else None
        return record.head_before() if record is not None and record.seq == seq else None

    # ------------------------------------------------------------ writing

    def append(self, kind, body, rows=0, head=None):
        """Puts one record behind the last; raises OSError when there is no room even after making some."""
        next_seq = self.next_seq + rows
        head = head or self.head
        before, check = records.build(kind, self.next_seq, next_seq, head, body)
        size = records.OVERHEAD + len(body)
        while True:
            opens = not self.firsts or self.sizes[-1] + size > SEGMENT_BYTES
            grows = blocks(size) if opens else blocks(self.sizes[-1] + size) - blocks(self.sizes[-1])
            if self.used + grows > self.capacity and self._give_up_oldest():
                continue
            try:
                self.files.append(name_of(self.next_seq if opens else self.firsts[-1]), before, body, check)
                break
            except OSError as error:
                if error.args[0] != _FULL or not self._give_up_oldest():
                    raise
        if opens:
            self.firsts.append(self.next_seq)
            self.sizes.append(0)
        self.sizes[-1] += size
        self.used += grows
        self.next_seq, self.head = next_seq, head

    # ------------------------------------------------------------ making room

    def _give_up_oldest(self):
        """Frees something: what the gateway holds, else old reports for coarse ones. False if nothing is left."""
        if len(self.firsts) < 2:
            return False
        if self.firsts[1] <= self.position:
            self.drop(0)
            return True
        try:
            return once(COARSENING, "coarsen", self)
        except OSError as error:
            if error.args[0] != _FULL:
                raise
            return False  # not even room for the coarse report

    def drop(self, index):
        self.files.remove(name_of(self.firsts[index]))
        self.firsts.pop(index)
        self.used -= blocks(self.sizes.pop(index))
        self.changes += 1

    def resize_first(self, size):
        self.used += blocks(size) - blocks(self.sizes[0])
        self.sizes[0] = size
        self.changes += 1


def blocks(size):
    """The bytes of flash that a file takes."""
    return (size + BLOCK - 1) // BLOCK * BLOCK
