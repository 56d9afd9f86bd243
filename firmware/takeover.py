"""A position ahead of this flash: the gateway holds rows that the device lost, so it goes on behind them.

Owns: sealing anew, behind the position, what this boot sealed; the event that says from which registers it goes on.
Refuses: a seq that the gateway has seen: nothing of this boot was sent yet, so nobody has.
Invariant: written beside the journal and put in its place in one step: a power cut leaves the old or the new one.
"""

from firmware import records
from firmware.journal import SPARE, blocks
from firmware.records import REPORT, name_of
from wire import report
from wire import rows as wire_rows


def take_over(meter, beat):
    """Moves the journal of a device behind the position of a beat."""
    journal = meter.journal
    since_seq = meter.session.boot_seq
    first = _first_report(journal, since_seq)
    registers = first.rows[0][1:3] if first else (meter.registers.import_wh, meter.registers.export_wh)
    event = {0: [wire_rows.EVENTS.index("takeover"), 0]}
    row = wire_rows.encode_row(0, *registers, 0, 0, 0, wire_rows.EVENT | wire_rows.NO_SENSOR, event)
    head = wire_rows.advance(beat.head, row)
    clock = meter.clock
    time_s, quality = (first.time_s, first.quality) if first else (clock.time_s(), clock.quality)
    seq = beat.next_seq + 1
    opening = meter.signed_report(beat.next_seq, beat.head, time_s, quality, [row])
    size = _put(journal, "wb", beat.next_seq, seq, head, opening)
    for old in _reports(journal, since_seq):
        body = meter.signed_report(seq, head, old.time_s, old.quality, old.row_bytes)
        for row in old.row_bytes:
            head = wire_rows.advance(head, row)
        next_seq = seq + len(old.row_bytes)
        size += _put(journal, "ab", seq, next_seq, head, body)
        seq = next_seq
    journal.files.replace(SPARE, name_of(beat.next_seq))
    while journal.firsts:
        journal.drop(0)
    journal.firsts.append(beat.next_seq)
    journal.sizes.append(size)
    journal.used += blocks(size)
    journal.next_seq, journal.head = seq, head
    journal.changes += 1


def _reports(journal, since_seq):
    place = journal.seek(since_seq)
    while place:
        record, place = journal.read(place)
        if record is None:
            return
        if record.kind == REPORT and record.seq >= since_seq:
            yield report.decode(record.payload())


def _first_report(journal, since_seq):
    for found in _reports(journal, since_seq):
        return found
    return None


def _put(journal, mode, seq, next_seq, head, body):
    before, check = records.build(REPORT, seq, next_seq, head, body)
    (journal.files.write if mode == "wb" else journal.files.append)(SPARE, before, body, check)
    return records.OVERHEAD + len(body)
