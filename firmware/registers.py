"""The cumulative registers: import and export in Wh, which never fall and never count anything twice.

Owns: following a part's own registers over their restarts, integrating power where a part has none, the saved record.
Refuses: a part's leap that its rating does not allow; energy of a time in which nobody measured.
Invariants: pure; `import_wh` and `export_wh` never fall, whatever samples, floors and records come.
"""

from struct import pack, unpack

WH_MWS = 3_600_000  # milliwatt seconds in a watt hour
GAP_MS = 3_000  # power is taken to have gone on between two samples not further apart than this (or two periods)
DOUBTS = 3  # an impossible leap seen so often in a row is a part that was exchanged
AWAY_S = 7 * 86_400  # what a part may have counted alone, at its rating, while the device was down

_RECORD = ">QQIIqq"  # registers, what is below a Wh, the part's registers (-1: it has none)


class Registers:
    def __init__(self, rating_w, record=None):
        self.rating_w = rating_w
        self.import_wh = self.export_wh = 0
        self._import_mws = self._export_mws = 0
        self._part_import = self._part_export = None
        self._doubts = 0
        self._last_ms = None
        if record is not None:
            self._unpack(record)

    def pack(self):
        part_import = -1 if self._part_import is None else self._part_import
        part_export = -1 if self._part_export is None else self._part_export
        return pack(
            _RECORD, self.import_wh, self.export_wh, self._import_mws, self._export_mws, part_import, part_export
        )

    def _unpack(self, record):
        values = unpack(_RECORD, record)
        self.import_wh, self.export_wh, self._import_mws, self._export_mws = values[:4]
        self._part_import = values[4] if values[4] >= 0 else None
        self._part_export = values[5] if values[5] >= 0 else None

    def forget_parts(self):
        """The parts' own registers restart with the device: what they say first is where counting begins."""
        self._part_import = self._part_export = None

    def floor(self, import_wh, export_wh):
        """What a signed row has said already: the registers go on from there if the saved record is older."""
        if import_wh > self.import_wh:
            self.import_wh = import_wh
        if export_wh > self.export_wh:
            self.export_wh = export_wh

    def take(self, sample, now_ms, period_ms=1000):
        """Counts one sample. False: the part's registers did what its rating does not allow, or began anew."""
        last_ms = self._last_ms
        passed_ms = -1 if last_ms is None else (now_ms - last_ms) & 0x3FFFFFFF
        self._last_ms = now_ms
        if sample.import_wh is None and sample.export_wh is None:
            if 0 <= passed_ms <= max(GAP_MS, 2 * period_ms):
                self._integrate(sample.power_mw, passed_ms)
            return True
        if sample.import_wh == self._part_import and sample.export_wh == self._part_export:
            self._doubts = 0
            return True
        return self._follow(sample.import_wh, sample.export_wh, passed_ms)

    def _integrate(self, power_mw, passed_ms):
        if power_mw >= 0:
            mws = self._import_mws + power_mw * passed_ms // 1000
            self.import_wh += mws // WH_MWS
            self._import_mws = mws % WH_MWS
        else:
            mws = self._export_mws - power_mw * passed_ms // 1000
            self.export_wh += mws // WH_MWS
            self._export_mws = mws % WH_MWS

    def _follow(self, part_import, part_export, passed_ms):
        away_s = AWAY_S if passed_ms < 0 else passed_ms // 1000 + 1
        most_wh = self.rating_w * away_s // 3600 + 2
        rise_import = self._rise(part_import, self._part_import)
        rise_export = self._rise(part_export, self._part_export)
        sane = 0 <= rise_import <= most_wh and 0 <= rise_export <= most_wh
        if not sane:
            # A leap may be one wrong reading: only a part that insists was restarted or exchanged.
            self._doubts += 1
            if self._doubts < DOUBTS and passed_ms >= 0:
                return True
        else:
            self.import_wh += rise_import
            self.export_wh += rise_export
        self._doubts = 0
        self._part_import = part_import
        self._part_export = part_export
        return sane

    @staticmethod
    def _rise(now, before):
        return 0 if now is None or before is None else now - before
