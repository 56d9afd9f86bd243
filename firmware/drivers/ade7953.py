"""ADE7953: a single-phase metering chip, I2C.

Owns: its set-up, its scale (from what the board's divider and shunt make full scale), its energy counter.
Refuses: a counter that rolled over unseen: after 30 s without a reading, or a reset of the chip, registers restart.
Invariants: the counter is not cleared by reading, so a reading that fails loses no energy. Catalog: ade7953.toml.
"""

from . import BUS, RANGE, Fault, Sample, rounded, since

_RMS = 9_032_007  # full scale of VRMS and IRMSA
_WATT = 4_862_401  # of AWATT
_RATE = 206_900  # of AENERGYA, counts a second
_ROLL_MS = 30_000  # 24 bits, signed, roll over after 40 s at full scale

_LCYCMODE, _UNLOCK, _PFA, _PERIOD, _RESERVED = 0x004, 0x0FE, 0x10A, 0x10E, 0x120
_AWATT, _IRMSA, _VRMS, _AENERGYA = 0x312, 0x31A, 0x31C, 0x31E


class ADE7953:
    """`full_mv` and `full_ma`: the mains voltage and current that drive the inputs to full scale (353.6 mV r.m.s.)."""

    wait_ms = 0

    def __init__(self, i2c, full_mv, full_ma, address=0x38, invert=False):
        self._i2c = i2c
        self._address = address
        self._full_mv = full_mv
        self._full_ma = full_ma
        self._full_mw = full_mv * full_ma // 1000
        self._sign = -1 if invert else 1
        self._open = False
        self._count = None  # the counter at the last reading, at _count_ms
        self._count_ms = 0
        self._imported = 0  # counts
        self._exported = 0

    def start(self, now_ms):
        self._open = True

    def poll(self, now_ms):
        if not self._open:
            return None
        self._open = False
        try:
            return self._sample(now_ms)
        except OSError as error:
            code = error.args[0] if error.args else 0
        raise Fault(BUS, code)

    def _read(self, register, count):
        return self._i2c.readfrom_mem(self._address, register, count, addrsize=16)

    def _set_up(self):
        for register, value in ((_UNLOCK, b"\xad"), (_RESERVED, b"\x00\x30"), (_LCYCMODE, b"\x00")):
            self._i2c.writeto_mem(self._address, register, value, addrsize=16)
        self._count = None

    def _sample(self, now_ms):
        if self._read(_LCYCMODE, 1) != b"\x00":  # as after a reset: bit 6 would clear the counter at every reading
            self._set_up()
        # the six registers in one string, whose parts are cut out below
        raw = b"".join([self._read(register, 4) for register in (_VRMS, _IRMSA, _AWATT, _AENERGYA)])
        raw += self._read(_PERIOD, 2) + self._read(_PFA, 2)
        volts, amps, watts = (_signed(raw, at, 4) for at in (0, 4, 8))
        if not (0 <= volts <= 1 << 24 and 0 <= amps <= 1 << 24 and -(1 << 23) <= watts < 1 << 23):
            raise Fault(RANGE)
        self._add(_signed(raw, 12, 4), now_ms)
        period = raw[16] << 8 | raw[17]
        power_mw = self._sign * rounded(watts * self._full_mw, _WATT)
        return Sample(
            rounded(volts * self._full_mv, _RMS),
            rounded(amps * self._full_ma, _RMS),
            rounded(power_mw, 1000),
            power_mw,
            self._wh(self._imported),
            self._wh(self._exported),
            223_750_000 // (period + 1) if period else None,
            rounded(abs(_signed(raw, 18, 2)) * 1000, 32_768),
            None,
            None,
            None,
            raw,
        )

    def _add(self, count, now_ms):
        if self._count is None or since(now_ms, self._count_ms) > _ROLL_MS:
            self._imported = self._exported = 0
        else:
            moved = self._sign * (((count - self._count + 0x800000) & 0xFFFFFF) - 0x800000)
            if moved > 0:
                self._imported += moved
            else:
                self._exported -= moved
        self._count = count
        self._count_ms = now_ms

    def _wh(self, counts):
        return counts * self._full_mw // (_RATE * 3_600_000)


def _signed(raw, at, count):
    number = int.from_bytes(raw[at : at + count], "big")
    return number - (1 << (8 * count)) if raw[at] & 0x80 else number
