"""What takes the place of reports that a full journal gives up: coarse reports, ever fewer and ever coarser.

Owns: making the records that stand for a segment, merging coarse ones, keeping receipts.
Refuses: touching flash; the journal decides when, and writes.
Invariants: the range of rows that a coarse report names is exactly what was there; receipts the gateway may not have
yet are carried over unchanged.
"""

from firmware import records
from firmware.records import COARSE, RECEIPT, REPORT, name_of
from wire import report

RECORD_BYTES = 360  # a coarse report's record, at most


def stand_in(journal, index, first):
    """The parts of records for the reports of a segment; none where nothing in it is whole."""
    start = end = None
    merged = 0
    receipts = []
    for record in _walk(journal, index):
        if record.kind == RECEIPT:
            if record.seq >= journal.position:
                receipts += _parts(record)
            continue
        if start is None:
            start = (record.seq, record.head_before())
        end = record
        merged += 1
    if start is None:
        return receipts
    journal.merged += merged
    last, time_s, quality = _end(end)
    fields = start + (end.next_seq, end.head, merged, first, last, time_s, quality)
    return _coarse_parts(journal, fields) + receipts


def fewer(journal):
    """The oldest segment's records with the two neighbours made one that together have the fewest rows."""
    spans = []
    for record in _walk(journal, 0):
        if record.kind == COARSE:
            spans.append((record.seq, record.next_seq))
    widths = [spans[i + 1][1] - spans[i][0] for i in range(len(spans) - 1)]
    if not widths:
        return []
    chosen = widths.index(min(widths))
    parts = []
    held = None
    for record in _walk(journal, 0):
        if record.kind == COARSE and record.seq == spans[chosen][0]:
            held = record
            continue
        if record.kind == COARSE and held is not None and record.seq == spans[chosen + 1][0]:
            a, b = _coarse(held), _coarse(record)
            fields = (a.seq, a.head, b.next_seq, b.next_head, a.merged + b.merged, a.first, b.last, b.time_s, b.quality)
            parts += _coarse_parts(journal, fields)
        else:
            parts += _parts(record)
    return parts


def end_registers(journal):
    """The registers at the end of the oldest segment, which holds coarse reports."""
    last = None
    for record in _walk(journal, 0):
        if record.kind == COARSE:
            last = _coarse(record).last
    return last


def _walk(journal, index):
    return records.walk(journal.files, name_of(journal.firsts[index]))


def _coarse(record):
    return report.Coarse.decode(record.payload())


def _end(record):
    """Registers, time and clock quality behind a record's last row."""
    if record.kind == REPORT:
        found = report.decode(record.payload())
        return found.rows[-1][1:3], found.time_s + sum([row[0] for row in found.rows]), found.quality
    found = _coarse(record)
    return found.last, found.time_s, found.quality


def _coarse_parts(journal, fields):
    body = journal.coarse(*fields)
    before, check = records.build(COARSE, fields[0], fields[2], fields[3], body)
    return [before, body, check]


def _parts(record):
    before, check = records.build(record.kind, record.seq, record.next_seq, record.head, record.body)
    return [before, record.body, check]
