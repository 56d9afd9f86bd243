"""Rows: the samples of a while made into one entry, and entries waiting to be sealed into a wire_rows.

Owns: means over samples, `dt`, flags and events of rows, when a report is due.
Refuses: a row that `wire.units` would call suspect. What a part's registers gained while nobody measured, or against
its own power, comes in on an event row of no duration: there it cannot be taken for something that power showed.
Invariants: pure; `dt` is never negative and no second is in two rows.
"""

from wire import cbor, units
from wire import rows as wire_rows

SEAL_ROWS_DOWN = 60  # while the link is down: fewer signatures, less flash

TAMPER = wire_rows.EVENTS.index("tamper")


class Rows:
    def __init__(self, time_s, registers):
        self.pending = []
        self.base_s = time_s  # the time of the row before the first pending one
        self.last_s = time_s
        self.before = (registers.import_wh, registers.export_wh)
        self.soc_milli = self.temperature_dc = None  # of a store that another part tells of
        self._fresh = False  # whether `_last` may speak for a row without samples of its own
        self._last = None
        self._clear()

    def _clear(self):
        self.samples = 0
        self._watts = 0
        self._millivolts = self._milliamps = None

    def add(self, sample):
        """Counts a sample into the row that is being made."""
        self._watts += sample.power_w
        if self.samples:
            self._millivolts = _add(self._millivolts, sample.voltage_mv or 0)
            self._milliamps = _add(self._milliamps, sample.current_ma or 0)
        else:
            self._millivolts = sample.voltage_mv or 0
            self._milliamps = sample.current_ma or 0
        self.samples += 1
        self._last = sample
        self._fresh = True

    def lost(self):
        """Nobody measures any more: rows say so until the next sample."""
        self._fresh = False

    def close(self, time_s, registers, flags=0, event=None):
        """Makes the row that ends now, or two where energy and power disagree."""
        dt = max(0, time_s - self.last_s)
        self.last_s = max(time_s, self.last_s)
        now = (registers.import_wh, registers.export_wh)
        if not self.samples and self._fresh:
            self.add(self._last)
        n = self.samples
        if not n:
            return self._put([dt, self.before[0], self.before[1], 0, 0, 0, flags | wire_rows.NO_SENSOR], event, None)
        watts = _mean(self._watts, n)
        row = [dt, now[0], now[1], watts, _mean(self._millivolts, n), _mean(self._milliamps, n), flags]
        suspect = units.suspect_step(self.before, row)
        if suspect:
            self._put([dt, self.before[0], self.before[1], 0, 0, 0, flags | wire_rows.NO_SENSOR], None, None)
            row[0] = 0
            event = event or [TAMPER, suspect]
        self._put(row, event, self._last)
        self.before = now
        self._clear()
        return None

    def _put(self, row, event, sample):
        more = {0: event} if event else None
        if event:
            row[6] |= wire_rows.EVENT
        if sample is not None:
            for key, value in (
                (1, sample.frequency_mhz),
                (2, sample.power_factor_milli),
                (3, self.soc_milli if sample.soc_permille is None else sample.soc_permille),
                (4, self.temperature_dc if sample.temperature_dc is None else sample.temperature_dc),
            ):
                if value is not None:
                    if more is None:
                        more = {}
                    more[key] = value
        self.pending.append(wire_rows.encode_row(*row, more))

    def rebase(self, time_s):
        """The clock stepped: nothing is pending, and the next row counts from here."""
        assert not self.pending
        self.base_s = self.last_s = time_s

    def due(self, time_s, rows, seconds):
        """Whether a report should be sealed: enough rows, or old enough ones (0: age does not matter)."""
        count = len(self.pending)
        return count >= rows or (count > 0 and 0 < seconds <= time_s - self.base_s)

    def sealed(self, count):
        """The first `count` rows are on flash."""
        self.base_s += sum([cbor.array(row, 1, 1, 1)[0][0] for row in self.pending[:count]])
        self.pending = self.pending[count:]


def sane(sample):
    """Whether a sample lies within the limits of `wire.units`; one that does not is a fault of the part."""
    row = [0, 0, 0, sample.power_w, sample.voltage_mv or 0, sample.current_ma or 0, 0]
    return not units.suspect_values(row)


def _add(total, value):
    if type(value) is int:
        return total + value
    return (total[0] + value[0], total[1] + value[1], total[2] + value[2])


def _mean(total, n):
    if type(total) is int:
        return (total + n // 2) // n if total >= 0 else -((n // 2 - total) // n)
    return [(value + n // 2) // n for value in total]
