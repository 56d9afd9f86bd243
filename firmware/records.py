"""Records in a segment file of the journal: how one is written, and how whole ones are found again.

Owns: the layout (head, body, CRC-32) and the walk over a file that may be torn or flipped.
Refuses: a record whose CRC does not hold; the walk goes on behind it where its length still leads to a whole one.
Invariant: a record is one message as it was signed; its head repeats only what a walk needs without reading it.
"""

from binascii import crc32
from struct import pack, unpack, unpack_from

from wire import cbor, envelope
from wire.errors import WireError

FOLDER = "journal"
REPORT, COARSE, RECEIPT = 1, 2, 3
_HEAD = ">BHQQ32s"  # kind, length of the body, first seq, next seq, head before next seq
_HEAD_BYTES = 51
OVERHEAD = _HEAD_BYTES + 4


class Record:
    def __init__(self, kind, seq, next_seq, head, body, end):
        self.kind = kind
        self.seq = seq
        self.next_seq = next_seq
        self.head = head
        self.body = body  # None where it was not asked for
        self.end = end  # offset behind it

    def payload(self):
        return envelope.split(self.body).payload

    def head_before(self):
        """The head before the first row, from the signed bytes: key 4 of a report as of a coarse one."""
        return self.head if self.kind == RECEIPT else cbor.array(self.payload(), 1, 8, 1)[0][7]


def name_of(first):
    """The file of the segment that begins with row `first`."""
    return "%s/%014x" % (FOLDER, first)


def build(kind, seq, next_seq, head, body):
    """(head, CRC) to stand before and behind the body."""
    before = pack(_HEAD, kind, len(body), seq, next_seq, head)
    return before, pack(">I", crc32(body, crc32(before)))


def at(files, name, offset):
    """The record at an offset of a file, or (None, where the next might be), or (None, -1) at the file's end."""
    with files.open(name) as file:
        file.seek(offset)
        before = file.read(_HEAD_BYTES)
        if len(before) < _HEAD_BYTES:
            return None, -1
        kind, size, seq, next_seq, head = unpack(_HEAD, before)
        body = file.read(size)
        check = file.read(4)
    end = offset + OVERHEAD + size
    if len(check) < 4:
        return None, -1
    if unpack_from(">I", check)[0] != crc32(body, crc32(before)) or not _plausible(kind, seq, next_seq, body):
        return None, end
    return Record(kind, seq, next_seq, head, body, end), end


def walk(files, name, offset=0):
    """The whole records of a file from an offset on, in order."""
    seq = -1
    while True:
        record, offset = at(files, name, offset)
        if offset < 0:
            return
        if record is not None and record.seq >= seq:
            seq = record.next_seq
            yield record


def _plausible(kind, seq, next_seq, body):
    """A right CRC over something that we never wrote: a foreign file."""
    if not REPORT <= kind <= RECEIPT or next_seq < seq:
        return False
    try:
        envelope.split(body)
    except WireError:
        return False
    return True
