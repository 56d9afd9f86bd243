"""What time it is, and how well that is known.

Owns: uptime out of wrapping ticks, the offset from uptime to time, the quality none / stale / synced.
Refuses: an absurd time, a jump that only one source told once, and ever giving a time below one it gave before, unless
it says so (`step`).
Invariants: pure; small corrections move the clock by one second at a time, large ones come as a step that the caller
turns into an event; with quality none, time is seconds since the boot.
"""

from wire.rows import NONE, STALE, SYNCED

EARLIEST_S = 1_704_067_200  # 2024: before that nothing of ours ran
LATEST_S = 4_102_444_800  # 2100
STEP_S = 10  # from here on a difference is a step, below it is made good in slow seconds
SLEW_EVERY_S = 20  # one second in twenty: a tenth of what the check on energy, power and time allows
STALE_AFTER_S = 3600


class Clock:
    def __init__(self, now_ms):
        self._last_ms = now_ms
        self._part_ms = 0
        self.uptime_s = 0
        self.offset_s = None  # time = uptime + offset
        self._heard_s = 0  # uptime at the last good word
        self._heard_quality = NONE
        self._slew_s = 0  # still to be made good
        self._slewed_s = 0  # uptime at the last slow second
        self._doubt_s = None  # the offset that one source told once

    def tick(self, now_ms):
        """Call at least once in six days; ticks wrap at 2^30."""
        passed = self._part_ms + ((now_ms - self._last_ms) & 0x3FFFFFFF)
        self._last_ms = now_ms
        if passed < 1000:
            self._part_ms = passed
            return
        self.uptime_s += passed // 1000
        self._part_ms = passed % 1000
        if self._slew_s and self.uptime_s - self._slewed_s >= SLEW_EVERY_S:
            one = 1 if self._slew_s > 0 else -1
            self._slew_s -= one
            self.offset_s += one
            self._slewed_s = self.uptime_s

    def time_s(self):
        return self.uptime_s if self.offset_s is None else self.offset_s + self.uptime_s

    @property
    def quality(self):
        if self.offset_s is None:
            return NONE
        if self._heard_quality == SYNCED and self.uptime_s - self._heard_s <= STALE_AFTER_S:
            return SYNCED
        return STALE

    def hear(self, time_s, quality):
        """A word on the time. Returns the seconds of a step that must be taken with `step`, else 0."""
        if quality == NONE or not EARLIEST_S <= time_s <= LATEST_S:
            return 0
        offset_s = time_s - self.uptime_s
        if self.offset_s is None:
            self._good(quality)
            return offset_s
        difference_s = offset_s - self.offset_s
        if abs(difference_s) < STEP_S:
            self._doubt_s = None
            self._good(quality)
            # Sources count whole seconds too, so one second is no difference.
            self._slew_s = difference_s if abs(difference_s) > 1 else 0
            return 0
        if self._doubt_s is None or abs(self._doubt_s - offset_s) >= STEP_S:
            self._doubt_s = offset_s
            return 0
        self._good(quality)
        return difference_s

    def step(self, seconds):
        self.offset_s = (self.offset_s or 0) + seconds
        self._slew_s = 0
        self._doubt_s = None

    def _good(self, quality):
        self._heard_s = self.uptime_s
        self._heard_quality = quality
