"""What takes the place of reports that a full journal gives up: coarse reports, ever fewer and ever coarser.

Owns: making the records that stand for a segment, merging coarse ones, keeping receipts, the order of writing it all.
Refuses: deciding when; that is the journal's.
Invariants: a coarse report is on flash before what it stands for is removed; the range of rows that it names is exactly
what was there; receipts that the gateway may not have yet are carried over unchanged.
"""

from firmware import records
from firmware.journal import SEGMENT_BYTES, SPARE
from firmware.records import COARSE, RECEIPT, REPORT, name_of
from wire import report

RECORD_BYTES = 360  # a coarse report's record, at most


def signed(device, seq, head, next_seq, next_head, merged, first, last, time_s=None, quality=None):
    """The signed bytes of a coarse report; without a time it is of now."""
    clock = device.clock
    message = report.Coarse(
        id=device.id, boot=device.numbers.boot, seq=seq, head=head, next_seq=next_seq, next_head=next_head,
        merged=merged, first=first, last=last,
        time_s=clock.time_s() if time_s is None else time_s,
        quality=clock.quality if quality is None else quality,
    )  # fmt: skip
    return device.sign(message)


def coarsen(journal):
    """A coarse report takes the place of the oldest segment that holds reports. False where there is none to spare."""
    if not any(record.kind == COARSE for record in _walk(journal, 0)):
        _replace_first(journal, stand_in(journal, 0, None))
        return True
    if len(journal.firsts) < 3:  # the newest segment is still being written
        return False
    if journal.sizes[0] > SEGMENT_BYTES - 2 * RECORD_BYTES:
        _replace_first(journal, fewer(journal))
    parts = stand_in(journal, 1, end_registers(journal))
    journal.files.append(name_of(journal.firsts[0]), *parts)
    journal.resize_first(journal.sizes[0] + _size(parts))
    journal.drop(1)
    return True


def _replace_first(journal, parts):
    if not parts:
        journal.drop(0)
        return
    journal.files.write(SPARE, *parts)
    journal.files.replace(SPARE, name_of(journal.firsts[0]))
    journal.resize_first(_size(parts))


def _size(parts):
    return sum([len(part) for part in parts])


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
