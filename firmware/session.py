"""The device's side of the talk with its gateway: hello, beats, what to send next, when the link counts as lost.

Owns: the nonce, which beats count, the position, the cursor over the journal, sending again, the takeover decision.
Refuses: a beat for another device or another hello, or one whose number is not above the last.
Invariants: pure but for reading the journal that is handed in; nothing but hello and enrolment is due before the first
beat of a connection; what two beats in a row stand before is sent again, what is merely in flight is not.
"""

from wire.errors import WireError
from wire.hello import PERIOD_S, Beat, newer

AHEAD_ROWS = 3_000  # not further than this before the position: a broker's queue is not a store
LOST_PERIODS = 2

GAP, TAKE_OVER = "gap", "take over"


class Session:
    def __init__(self, id, boot_seq):
        self.id = id
        self.boot_seq = boot_seq  # the first row that this boot seals
        self.settled = False  # the first beat since the boot came, and what it asked for was done
        self.nonce = None
        self.position = None
        self._count = -1
        self._cursor = 0  # next row to send
        self._head = b""  # the head before it
        self._place = None
        self._changes = -1
        self._sent_at_beat = 0
        self._beat_s = None  # uptime of the last beat
        self._period_s = PERIOD_S

    def connected(self, nonce):
        self.nonce = nonce
        self.position = None
        self._count = -1

    def disconnected(self):
        self.nonce = self.position = None

    def lost(self, uptime_s):
        """Whether no beat came for two periods."""
        return self._beat_s is None or uptime_s - self._beat_s > LOST_PERIODS * self._period_s

    def beat(self, payload, uptime_s):
        """Takes a beat whose MAC held. Raises WireError for one that does not count."""
        beat = Beat.decode(payload)
        if beat.id != self.id:
            raise WireError("wrong-id", "a beat for somebody else")
        if self.nonce is None or beat.nonce != self.nonce:
            raise WireError("bad-field", "not the nonce of the last hello")
        newer(beat.count, self._count, "beat")
        self._count = beat.count
        self._beat_s = uptime_s
        self._period_s = beat.period_s
        return beat

    def stand(self, beat, journal):
        """What the beat's position means: None, GAP (a coarse report is due from there) or TAKE_OVER."""
        first = self.position is None
        next_seq = beat.next_seq
        if not self.settled and self._ahead(next_seq, beat.head, journal):
            return TAKE_OVER
        self.settled = True
        stuck = not first and next_seq == self.position[0]
        self.position = (next_seq, beat.head)
        if next_seq <= journal.next_seq:
            journal.position = max(journal.position, next_seq)
        if first or (stuck and next_seq < self._sent_at_beat) or next_seq > self._cursor:
            self._cursor, self._head = self.position
            self._changes = -1
        self._sent_at_beat = self._cursor
        return None

    def _ahead(self, next_seq, head, journal):
        """Whether the gateway holds rows that this flash lost: behind its end, or in place of what this boot sealed."""
        if next_seq > journal.next_seq:
            return True
        return next_seq > self.boot_seq and journal.head_at(next_seq) != head

    def taken_over(self, next_seq):
        self.boot_seq = next_seq
        self.settled = True

    def due(self, journal):
        """The next record to send, (GAP, record behind it), or None; `sent` moves on."""
        if self.position is None or self._cursor >= self.position[0] + AHEAD_ROWS:
            return None
        if self._changes != journal.changes or self._place is None:
            self._place = journal.seek(self._cursor)
            self._changes = journal.changes
            if self._place is None:
                return None
        record, place = journal.read(self._place)
        if record is None:
            return None
        if record.seq > self._cursor:
            return (GAP, record)
        self._next = (place, record.next_seq, record.head)
        return record

    def sent(self):
        self._place, self._cursor, self._head = self._next

    def gap(self, record):
        """(seq, head, next seq, next head) of the coarse report that is due before a record."""
        return self._cursor, self._head, record.seq, record.head_before()

    def gap_sent(self, record):
        self._cursor, self._head = record.seq, record.head_before()
