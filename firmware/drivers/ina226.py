"""INA226: voltage and shunt current of a DC bus, I2C.

Owns: the part's set-up and the sum from shunt voltage to current and power, in integers.
Refuses: a conversion that was read before; another chip at this address.
Invariants: a part that lost its settings (brown-out) is set up again before it is believed. It keeps no energy
register. Current from IN+ to IN- is import. Catalog: ina226.toml.
"""

from . import BUS, MODEL, STALLED, Fault, Sample, rounded, since

CONFIG = 0x4927  # mean of 128, 1.1 ms each for bus and shunt, continuous: a new value every 282 ms
_CONVERSION_MS = 282
_READY = 0x0008  # in the mask register, cleared by reading it


class INA226:
    wait_ms = 0

    def __init__(self, i2c, shunt_uohm, address=0x40):
        self._i2c = i2c
        self._address = address
        self._shunt_uohm = shunt_uohm
        self._start_ms = None

    def start(self, now_ms):
        self._start_ms = now_ms

    def poll(self, now_ms):
        if self._start_ms is None:
            return None
        waited = since(now_ms, self._start_ms)
        try:
            ready = self._ready()
            if not ready and waited <= 3 * _CONVERSION_MS:
                return None
            self._start_ms = None
            if ready:
                return self._sample(self._read(2) + self._read(1))
            fault = Fault(STALLED, waited)
        except OSError as error:
            fault = Fault(BUS, error.args[0] if error.args else 0)
        self._start_ms = None
        raise fault

    def _read(self, register):
        return self._i2c.readfrom_mem(self._address, register, 2)

    def _ready(self):
        if self._read(0) == CONFIG.to_bytes(2, "big"):
            return self._read(6)[1] & _READY
        if self._read(0xFE) != b"TI" or self._read(0xFF) != b"\x22\x60":
            self._start_ms = None
            raise Fault(MODEL)
        self._i2c.writeto_mem(self._address, 0, CONFIG.to_bytes(2, "big"))
        return 0

    def _sample(self, raw):
        bus = raw[0] << 8 | raw[1]  # 1.25 mV
        shunt = raw[2] << 8 | raw[3]  # 2.5 uV
        if shunt & 0x8000:
            shunt -= 0x10000
        uohm = self._shunt_uohm
        power_mw = rounded(bus * shunt * 25, 8 * uohm)
        return Sample(
            rounded(bus * 5, 4),
            abs(rounded(shunt * 2500, uohm)),
            rounded(power_mw, 1000),
            power_mw,
            None,
            None,
            None,
            None,
            None,
            None,
            None,
            raw,
        )
