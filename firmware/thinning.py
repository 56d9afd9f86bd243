"""When flash takes nothing: pending rows are made fewer, never lost.

Owns: merging pairs of plain rows. Refuses: touching events.
Invariant: pure; registers are cumulative, so a row of twice the length still says how much energy there was.
"""

from wire.report import decode_row
from wire.rows import EVENT, encode_row


def thin(pending):
    """About half as many rows: neighbours without events become one of both lengths, with the mean of both powers."""
    rows = []
    held = None
    for row in [decode_row(raw) for raw in pending]:
        if row[6] & EVENT:
            if held is not None:
                rows.append(held)
            rows.append(row)
            held = None
        elif held is None:
            held = row
        else:
            dt = held[0] + row[0]
            row[3] = (held[3] * held[0] + row[3] * row[0]) // (dt or 1)
            row[0] = dt
            rows.append(row)
            held = None
    if held is not None:
        rows.append(held)
    return [encode_row(*row) for row in rows]
