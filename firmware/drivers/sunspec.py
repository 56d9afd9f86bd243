"""What SunSpec inverters and batteries share: finding their models, and points with scale factors.

Owns: the scan, questions for whole models, the AC measurements of models 101-103.
Refuses: a device without the SunSpec mark; a block that is not the model it was when it was found (then it scans anew).
Invariants: liberal in discovery (three base registers, any order, unknown models skipped, lengths as the device says),
strict in control; a point that is not implemented is None, a value without a scale factor too. Catalog: sunspec.toml.
"""

from . import EXCEPTION, MODEL, SILENT, Fault, rounded, since
from .modbus import READ_HOLDING, order, question
from .talk import Talk

_BASES = (40000, 0, 50000)
_MODELS_MAX = 40
_END = 0xFFFF
_NO_UNSIGNED = 0xFFFF
_NO_SIGNED = 0x8000


def signed(word):
    return word - 0x10000 if word & 0x8000 else word


def _times(number, factor, unit):
    """number * 10^factor * unit as an integer; factor as its register has it."""
    exponent = signed(factor)
    if not -10 <= exponent <= 10:
        return None
    return number * 10**exponent * unit if exponent >= 0 else rounded(number * unit, 10**-exponent)


def unsigned_point(words, at, scale_at, unit=1):
    return None if words[at] == _NO_UNSIGNED else _times(words[at], words[scale_at], unit)


def signed_point(words, at, scale_at, unit=1):
    return None if words[at] == _NO_SIGNED else _times(signed(words[at]), words[scale_at], unit)


def per_cent(part, whole, factor):
    """part / whole in per cent with that scale factor, towards zero: an order is never exceeded."""
    exponent = -signed(factor)
    share = abs(part) * 100
    share = share * 10**exponent // whole if exponent >= 0 else share // (whole * 10**-exponent)
    return share if part >= 0 else -share


class SunSpec(Talk):
    """`set` and `read_back` of the actor port; what exactly is written is the inverter's and the battery's own."""

    WANTED = ()  # the models that matter to the device

    def __init__(self, line, address=1, revert_s=60, timeout_ms=500):
        super().__init__(line, address, timeout_ms)
        self.revert_s = revert_s
        self.wait_ms = 0
        self.state = None  # model 101-103, St: 4 runs, 5 throttled, 7 fault ...
        self.alarms = 0  # model 101-103, Evt1
        self.refused = 0  # the exception with which the device refused the last order, 0: it took it
        self._address = address
        self._models = None
        self._base = 0
        self._wanted = None
        self._ordered = False  # was set() called since the device was told?
        self._told = None
        self._told_ms = None
        self._in_force = None

    def set(self, limit_w):
        self._wanted = limit_w
        self._ordered = True

    def _due(self, now_ms):
        """Is there something to tell? The same order again only when a quarter of its revert time has passed, or
        when the device has forgotten it: registers in flash memory wear."""
        if not self._ordered:
            return False
        if self._wanted != self._told or self._told_ms is None:
            return True
        if self._in_force is None and self._wanted is not None:
            return True
        if since(now_ms, self._told_ms) >= self.revert_s * 250:
            return True
        self._ordered = False
        return False

    def _has_told(self, limit_w, now_ms):
        """The device answered: it took the order or refused it."""
        self._told = limit_w
        self._told_ms = now_ms
        self._ordered = self._wanted != limit_w

    def read_back(self):
        return self._in_force

    def _ask(self, register, count):
        return question(self._address, READ_HOLDING, register, count)

    def _scan(self):
        """Find the models; a generator to be delegated to."""
        models = {}
        at = (yield from self._find_base()) + 2
        for _ in range(_MODELS_MAX):
            try:
                words = yield self._ask(at, 2)
            except Fault as fault:
                if fault.reason != EXCEPTION:
                    raise
                break  # no end mark: some devices have none
            model, length = words[0], words[1]
            if model == _END:
                break
            if model in self.WANTED and model not in models:
                models[model] = (at, length)
            at += 2 + length
            if at > 0xFFFD:
                raise Fault(MODEL, model)
        if 1 not in models:
            raise Fault(MODEL)
        self._models = models

    def _find_base(self):
        for _ in _BASES:
            base = _BASES[self._base]
            try:
                words = yield self._ask(base, 2)
                if words[0] == 0x5375 and words[1] == 0x6E53:  # "SunS"
                    return base
            except Fault as fault:
                if fault.reason == SILENT:  # dead, or a device that ignores what it does not know: next time elsewhere
                    self._base = (self._base + 1) % len(_BASES)
                if fault.reason != EXCEPTION:
                    raise
            self._base = (self._base + 1) % len(_BASES)
        raise Fault(MODEL)

    def _first(self, *models):
        """The first of these models that the device has, or None."""
        for model in models:
            if model in self._models:
                return model
        return None

    def _block(self, model):
        """A whole model with its ID and length, so that places are those of the specification; a generator."""
        at, length = self._models[model]
        words = yield self._ask(at, min(length + 2, 125))
        if words[0] != model or words[1] != length:
            self._models = None
            raise Fault(MODEL, words[0])
        return words

    def _order(self, model, at, values):
        """Write consecutive points of a model; a generator. Returns the exception's code where the device refuses, 0
        where it takes them: a refusal costs no reading."""
        try:
            yield order(self._address, self._models[model][0] + at, values)
            return 0
        except Fault as fault:
            if fault.reason != EXCEPTION:
                raise
            return fault.detail

    def _rated_w(self):
        """WMax of the settings, or the nameplate's rating; a generator."""
        if 121 in self._models:
            words = yield from self._block(121)
            watts = unsigned_point(words, 2, 22)
        else:
            words = yield from self._block(120)
            watts = unsigned_point(words, 3, 4)
        if not watts:
            raise Fault(MODEL, 121)
        return watts

    def _ac(self, words):
        """The AC side of a model 101-103 as the first fields of a sample; what is fed in is negative."""
        self.state = words[38]
        self.alarms = words[40] << 16 | words[41]
        if words[0] == 101:
            voltage = unsigned_point(words, 10, 13, 1000)
            current = unsigned_point(words, 2, 6, 1000)
        else:
            voltage = tuple([unsigned_point(words, at, 13, 1000) for at in (10, 11, 12)])
            current = tuple([unsigned_point(words, at, 6, 1000) for at in (3, 4, 5)])
        power_mw = signed_point(words, 14, 15, -1000)
        factor = signed_point(words, 22, 23, 10)
        energy = _times(words[24] << 16 | words[25], words[26], 1)
        return (
            voltage,
            current,
            None if power_mw is None else rounded(power_mw, 1000),
            power_mw,
            None,
            energy,
            unsigned_point(words, 16, 17, 1000),
            None if factor is None else abs(factor),
        ), signed_point(words, 33, 37, 10)
