"""What every sensor and actor looks like to the rest of the firmware: the sample, the faults, the two ports.

Owns: `Sample`, `Fault` and the words for what can go wrong with a part.
Refuses: waiting. No driver sleeps or loops on a bus; a dead or babbling part costs its own readings and nothing else.
Invariants: integers only, import (consumption, charging) positive; a sample is one whole checked answer of the part,
never a mixture of two and never an old one again; a reading that fails leaves the sample as it was.

Sensor port (duck-typed, `now_ms` is a ticks_ms value, it may wrap at 2^30):
    start(now_ms)  -> None           opens one reading; an unfinished one is dropped
    poll(now_ms)   -> Sample | None  None while the answer is under way and when no reading is open;
                                     raises Fault when it failed. After a sample or a fault the reading is closed.
    wait_ms                          no answer can be there sooner than this after start: the loop may sleep so long
Then poll once a round of the loop, every 5 to 20 ms while a reading is open. Several drivers may share a bus (one
`modbus.Line` or I2C); start them all, they take turns.

Actor port:
    set(limit_w)   -> None           the wanted power, + charge, - discharge, 0 off, None as it likes. Never waits:
                                     a relay moves at once or in poll, an inverter is told in its next reading
    poll(now_ms)                     as above; relays return None
    read_back()    -> int | None     the limit_w that the part itself last said to be in force, None while not known
Relays: also open(), close(), closed (True, False, or None while it moves or where nothing is wired to tell).
Inverters and batteries are sensor and actor in one object; they fall back by themselves `revert_s` after the last
set(), so the holder of a lease calls set() again at least every revert_s / 2.
"""


class Sample:
    """One reading. What the part has not is None. A driver may fill the same one anew at the next reading, so whoever
    wants to keep a value copies it: where memory is full of what is not yet collected, a new object of this size costs
    as much as a third of the reading.

    voltage_mv and current_ma are one integer or a tuple of three; current is a magnitude, its direction is power's.
    Registers are the part's own and may restart when it is reset or changed."""

    def __init__(
        self, voltage_mv=None, current_ma=None, power_w=None, power_mw=None, import_wh=None, export_wh=None,
        frequency_mhz=None, power_factor_milli=None, soc_permille=None, temperature_dc=None, stored_wh=None, raw=None,
    ):  # fmt: skip
        self.voltage_mv = voltage_mv
        self.current_ma = current_ma
        self.power_w = power_w  # rounded half away from zero, for rows
        self.power_mw = power_mw  # as fine as the part has it, for integration
        self.import_wh = import_wh
        self.export_wh = export_wh
        self.frequency_mhz = frequency_mhz
        self.power_factor_milli = power_factor_milli  # 0..1000, the direction is power's
        self.soc_permille = soc_permille
        self.temperature_dc = temperature_dc  # tenths of a degree Celsius
        self.stored_wh = stored_wh
        self.raw = raw  # the answer's bytes, to tell a frozen part from a steady one; None where they cannot


SILENT = "silent"  # no answer in time
SHORT = "short"  # an answer that stopped too early
BABBLE = "babble"  # more than was asked for, or a line that is never quiet
CRC = "crc"
SLAVE = "slave"  # somebody else's answer
FUNCTION = "function"  # an answer to another question
EXCEPTION = "exception"  # the part refuses; detail is its code
BUS = "bus"  # I2C: no acknowledge or a stuck line
RANGE = "range"  # whole and checked, but no number, or one that the part cannot measure
MODEL = "model"  # not the kind of part that was configured
STALLED = "stalled"  # it answers, but its own heartbeat or conversion stands still
RESTING = "resting"  # failed so often that it is asked seldom, so that others on its bus keep their pace


class Fault(Exception):
    """A reading or an order that failed: `reason` is one of the words above, `detail` an integer for people."""

    def __init__(self, reason, detail=0):
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail


def since(now_ms, then_ms):
    """Milliseconds from then to now, over the wrap of ticks_ms (2^30 on boards, a multiple of it on 64 bits)."""
    return (now_ms - then_ms) & 0x3FFFFFFF


def rounded(number, divisor):
    """number / divisor, half away from zero (// alone would lean towards export)."""
    half = divisor // 2
    return (number + half) // divisor if number >= 0 else -((half - number) // divisor)
