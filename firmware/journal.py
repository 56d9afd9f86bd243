"""The journal: sealed messages on flash until the gateway holds them, oldest first, none lost silently.

Owns: segment files of records, where a position stands in them, making room.
Refuses: growing over its capacity; giving up what the gateway has not, except for a coarse report that says so.
Invariants: files and signed bytes come in; a record is whole on flash before `append` returns; a segment goes only when
the gateway's position is behind it or a coarse report for it is on flash already; `next_seq` never falls while it runs.

A segment is a file named by its first seq (14 hex digits). The oldest one may hold coarse reports, each of which stands
for one or more old segments; the receipts of those stay beside them.
"""

from firmware import records
from firmware.memory import Borrowed
from firmware.records import COARSE, FOLDER, RECEIPT, REPORT, name_of
from wire import rows

SEGMENT_BYTES = 8_100  # two blocks of flash
BLOCK = 4_096
SPARE = FOLDER + "/spare"  # what is written to take a segment's place
_FULL = 28  # ENOSPC


class Journal:
    """`coarse(seq, head, next_seq, next_head, merged, first, last, time_s, quality)` gives a signed coarse report;
    time None stands for now."""

    def __init__(self, files, capacity, coarse):
        self.files = files
        self.capacity = capacity
        self.coarse = coarse
        self.next_seq = 0
        self.head = rows.HEAD_START
        self.position = 0  # rows before it may go
        self.last = None  # the newest report that was found at the start
        self.merged = 0  # reports given up so far
        self.firsts = []  # of the segments, rising
        self.used = 0
        self.changes = 0  # segments moved: places are to be sought anew
        self._sizes = []
        self._find()

    # ------------------------------------------------------------ start

    def _find(self):
        found = []
        for name, size in self.files.sizes(FOLDER):
            first = _first(name)
            if first is None:
                self.files.remove(FOLDER + "/" + name)  # a spare that was never finished, or not ours
            else:
                found.append((first, size))
        found.sort()
        self.firsts = [first for first, _ in found]
        self._sizes = [size for _, size in found]
        self.used = sum([_blocks(size) for size in self._sizes])
        while self.firsts and not self._find_end():
            # Nothing whole is in it. What it held is asked for by the gateway's position, if anybody ever saw it.
            self._drop(len(self.firsts) - 1)
        self._finish_coarsening()

    def _find_end(self):
        end = None
        for record in records.walk(self.files, name_of(self.firsts[-1])):
            end = record
            if record.kind == REPORT:
                self.last = record
        if end is None:
            return False
        self.next_seq, self.head = end.next_seq, end.head
        if end.end != self._sizes[-1]:
            self._cut_off(end.end)
        if self.last is None and len(self.firsts) > 1:
            for record in records.walk(self.files, name_of(self.firsts[-2])):
                if record.kind == REPORT:
                    self.last = record
        return True

    def _cut_off(self, size):
        """What is torn or foreign behind the last whole record goes, or the next one would stand behind it."""
        name = name_of(self.firsts[-1])
        self.files.write(SPARE, self.files.read(name, 0, size))
        self.files.replace(SPARE, name)
        self.used += _blocks(size) - _blocks(self._sizes[-1])
        self._sizes[-1] = size

    def _finish_coarsening(self):
        """A cut between writing a coarse report and removing what it stands for leaves both."""
        end = self._coarse_end()
        while len(self.firsts) > 1 and self.firsts[1] < end:
            self._drop(1)

    def _coarse_end(self):
        """Behind the coarse reports of the oldest segment; 0 if it holds none."""
        end = 0
        for record in records.walk(self.files, name_of(self.firsts[0])) if self.firsts else ():
            if record.kind == REPORT:
                break
            if record.kind == COARSE:
                end = record.next_seq
        return end

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
            opens = not self.firsts or self._sizes[-1] + size > SEGMENT_BYTES
            grows = _blocks(size) if opens else _blocks(self._sizes[-1] + size) - _blocks(self._sizes[-1])
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
            self._sizes.append(0)
        self._sizes[-1] += size
        self.used += grows
        self.next_seq, self.head = next_seq, head

    # ------------------------------------------------------------ making room

    def _give_up_oldest(self):
        """Frees something: what the gateway holds, else old reports for coarse ones. False if nothing is left."""
        if len(self.firsts) < 2:
            return False
        if self.firsts[1] <= self.position:
            self._drop(0)
            return True
        return self._coarsen()

    def _drop(self, index):
        self.files.remove(name_of(self.firsts[index]))
        self.firsts.pop(index)
        self.used -= _blocks(self._sizes.pop(index))
        self.changes += 1

    def _coarsen(self):
        """A coarse report takes the place of the oldest segment that holds reports."""
        with Borrowed("firmware.coarsening", "wire.report", "wire.state") as coarsening:
            try:
                return self._coarsen_with(coarsening)
            except OSError as error:
                if error.args[0] != _FULL:
                    raise
                return False  # not even room for the coarse report

    def _coarsen_with(self, coarsening):
        if not self._coarse_end():
            return self._replace_first(coarsening.stand_in(self, 0, None))
        if len(self.firsts) < 3:  # the newest segment is still being written
            return False
        if self._sizes[0] > SEGMENT_BYTES - 2 * coarsening.RECORD_BYTES:
            self._replace_first(coarsening.fewer(self))
        parts = coarsening.stand_in(self, 1, coarsening.end_registers(self))
        self.files.append(name_of(self.firsts[0]), *parts)
        self._resize_first(self._sizes[0] + sum([len(part) for part in parts]))
        self._drop(1)
        return True

    def _replace_first(self, parts):
        name = name_of(self.firsts[0])
        if not parts:
            self._drop(0)
            return True
        self.files.write(SPARE, *parts)
        self.files.replace(SPARE, name)
        self._resize_first(sum([len(part) for part in parts]))
        return True

    def _resize_first(self, size):
        self.used += _blocks(size) - _blocks(self._sizes[0])
        self._sizes[0] = size
        self.changes += 1

    def restart(self, spare, size, first, next_seq, head):
        """A segment written elsewhere takes the place of all there is (takeover of a position)."""
        self.files.replace(spare, name_of(first))
        while self.firsts:
            self._drop(0)
        self.firsts.append(first)
        self._sizes.append(size)
        self.used += _blocks(size)
        self.next_seq, self.head = next_seq, head
        self.changes += 1


def _first(name):
    try:
        return int(name, 16) if len(name) == 14 else None
    except ValueError:
        return None


def _blocks(size):
    return (size + BLOCK - 1) // BLOCK * BLOCK
