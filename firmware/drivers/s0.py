"""S0: the pulse output of a meter, counted.

Owns: the count, the debounce, power from the time between pulses.
Refuses: pulses faster than the standard allows (30 ms on, 30 ms off): those are bounces.
Invariants: the handler takes no memory and runs in microseconds; a silent line and no load look alike, so `raw` is None
and nobody takes the one for the other's fault. Registers count from the start of the driver. Catalog: s0-pulse.toml.
"""

from . import Sample, rounded

_GAP_MS = 50  # from edge to edge at least 60 ms, less what an interrupt may be late
_IDLE_MS = 600_000  # after so long without a pulse the power is called 0


class S0:
    """`pin` pulls up, the output pulls down; `ticks_ms` is time.ticks_ms. `export` for a meter of a generator."""

    wait_ms = 0

    def __init__(self, pin, pulses_per_kwh, ticks_ms, export=False):
        self._per_kwh = pulses_per_kwh
        self._ticks_ms = ticks_ms
        self._export = export
        self._open = False
        self._pulses = 0
        self._last_ms = ticks_ms()
        self._between_ms = 0  # 0: not two pulses yet
        pin.irq(handler=self._pulse, trigger=pin.IRQ_FALLING)

    def start(self, now_ms):
        self._open = True

    def poll(self, now_ms):
        if not self._open:
            return None
        self._open = False
        power_mw = self._power_mw()
        energy_wh = self._pulses * 1000 // self._per_kwh
        exported = None
        if self._export:
            power_mw, energy_wh, exported = -power_mw, None, energy_wh
        return Sample(
            None, None, rounded(power_mw, 1000), power_mw, energy_wh, exported, None, None, None, None, None, None
        )

    def _pulse(self, pin):
        now_ms = self._ticks_ms()
        between = (now_ms - self._last_ms) & 0x3FFFFFFF
        if between >= _GAP_MS:
            if self._pulses:
                self._between_ms = between
            self._last_ms = now_ms
            self._pulses += 1

    def _power_mw(self):
        """The last interval's power, or less where the next pulse is overdue."""
        if not self._between_ms:
            return 0
        waited = (self._ticks_ms() - self._last_ms) & 0x3FFFFFFF
        if waited > _IDLE_MS:
            self._between_ms = 0
            return 0
        return rounded(3_600_000_000_000, self._per_kwh * max(waited, self._between_ms))
