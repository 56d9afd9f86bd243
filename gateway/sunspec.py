"""SunSpec devices: found by their models wherever these lie, read, and told what to do. Pure plans, like meters.py.

Owns: the scan, the sample of an inverter or battery, its orders, reading back what is in force.
Refuses: a device without the mark; a block that is not the model it was when it was found (then it is scanned anew).
Invariants: liberal in finding (three base addresses, any order of models, unknown ones skipped by their length), strict
in telling: an order goes out with the device's own revert timer and is never more than was asked for. A point that is
not implemented is None, never a number. What is fed in is negative.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from gateway.meters import Fault, Order, Question, Sample, packed
from hardware.catalog import Model, models
from hardware.catalog.part import half_away

BASES = (40_000, 0, 50_000)
MARK = (0x5375, 0x6E53)  # "SunS"
END = 0xFFFF
MODELS_MAX = 60
BLOCK_MAX = 125
AC = (101, 102, 103)
LIKE = {102: 103}  # split phase has the registers of three phases
MW, MV, MA, MHZ = 1_000, 1_000, 1_000, 1_000

Talk = Generator[Question | Order, Sequence[int], Any]
Values = dict[str, Fraction | str | None]


@dataclass
class Found:
    """A device's models: id → register of its ID, and its length as the device says."""

    blocks: dict[int, tuple[int, int]] = field(default_factory=dict)
    rated_w: int = 0

    def first(self, *wanted: int) -> int | None:
        return next((model for model in wanted if model in self.blocks), None)


def scan(turn: int = 0) -> Generator[Question | Order, Sequence[int], Found]:
    """`turn` says which base address to begin with: one that is met with silence ends the scan, for an answer that
    comes late would be taken for the next question's."""
    found = Found()
    at = (yield from _base(turn)) + 2
    for _ in range(MODELS_MAX):
        try:
            model, length = yield Question(3, at, 2)
        except Fault as fault:
            if fault.reason != "refused":
                raise
            break  # no end mark: some devices have none
        if model == END or at + 2 + length > 0xFFFF:
            break
        found.blocks.setdefault(model, (at, length))
        at += 2 + length
    if found.first(*AC) is None:
        raise Fault("no-model", f"models {sorted(found.blocks)}, none of {AC}")
    found.rated_w = yield from _rated(found)
    return found


def _base(turn: int) -> Generator[Question | Order, Sequence[int], int]:
    for place in range(len(BASES)):
        base = BASES[(turn + place) % len(BASES)]
        try:
            words = yield Question(3, base, 2)
        except Fault as fault:
            if fault.reason != "refused":
                raise
            continue
        if tuple(words) == MARK:
            return base
    raise Fault("no-model", "no SunSpec mark")


def _rated(found: Found) -> Generator[Question | Order, Sequence[int], int]:
    """WMax of the settings, or the nameplate's rating; 0 where neither is told."""
    for model, name in ((121, "WMax"), (120, "WRtg")):
        if model in found.blocks:
            values, _ = yield from block(found, model)
            if isinstance(values[name], Fraction):
                return int(values[name])  # type: ignore[arg-type]
    return 0


def block(found: Found, model: int) -> Generator[Question | Order, Sequence[int], tuple[Values, bytes]]:
    """A model's values, and its registers as they came."""
    at, length = found.blocks[model]
    words = yield Question(3, at, min(length + 2, BLOCK_MAX))
    if (words[0], words[1]) != (model, length):
        raise Fault("no-model", f"model {words[0]} where {model} was")
    return layout(model).values(words), packed(words)


def layout(model: int) -> Model:
    return models()[LIKE.get(model, model)]


# ---------------------------------------------------------------- reading


def sample(found: Found) -> Generator[Question | Order, Sequence[int], Sample]:
    ac = found.first(*AC)
    assert ac is not None, "the scan saw to it"
    values, raw = yield from block(found, ac)
    power_mw = scaled(values, "W", -MW)
    if power_mw is None:
        raise Fault("no-number", "W is not implemented")
    more = {1: scaled(values, "Hz", MHZ), 2: _factor(values), 4: scaled(values, "TmpCab", 10)}
    store = found.first(802, 124)
    if store is not None:
        stored, more_raw = yield from block(found, store)
        more[3] = scaled(stored, "SoC" if store == 802 else "ChaState", 10)
        raw += more_raw
    return Sample(
        power_mw=power_mw,
        voltage_mv=_phases(values, "PhVph", MV, ac),
        current_ma=_phases(values, "Aph", MA, ac),
        import_wh=None,
        # A battery's lifetime energy counts one way only and not the other: both are then made from its power.
        export_wh=None if store is not None else scaled(values, "WH", 1),
        more={key: value for key, value in more.items() if value is not None},
        raw=raw,
    )


def scaled(values: Values, name: str, unit: int) -> int | None:
    value = values.get(name)
    return half_away(value * unit) if isinstance(value, Fraction) else None


def _factor(values: Values) -> int | None:
    """PF comes in per cent; its sign says lead or lag, here it is a magnitude."""
    factor = scaled(values, "PF", 10)
    return None if factor is None else min(abs(factor), 1_000)


def _phases(values: Values, name: str, unit: int, ac: int) -> int | list[int]:
    letters = "A" if ac == 101 else "ABC"
    found = [abs(scaled(values, name + letter, unit) or 0) for letter in letters]
    return found[0] if len(found) == 1 else found


# ---------------------------------------------------------------- telling


def tell(found: Found, limit_w: int | None, revert_s: int) -> Generator[Question | Order, Sequence[int], None]:
    """Power with its sign, or None for the device's own rule. The timer makes it fall back when nobody renews."""
    control = control_of(found)
    values, _ = yield from block(found, control)
    if limit_w is not None and 802 in found.blocks:
        yield from _connect(found)
    if control == 704 and _stores(found):
        yield from _watts(found, values, limit_w, revert_s)
    elif control == 704:
        yield from _percent_704(found, values, limit_w, revert_s)
    elif control == 124:
        yield from _rates(found, values, limit_w, revert_s)
    else:
        yield from _percent_123(found, values, limit_w, revert_s)


def control_of(found: Found) -> int:
    control = found.first(704, 124, 123)
    if control is None:
        raise Fault("no-model", "nothing to control it by: none of 704, 124, 123")
    return control


def _stores(found: Found) -> bool:
    return found.first(802, 124) is not None


def _connect(found: Found) -> Generator[Question | Order, Sequence[int], None]:
    values, _ = yield from block(found, 802)
    if values.get("LocRemCtl") == 1:
        raise Fault("local")
    if values.get("State") == 1:  # disconnected: connect it and start its inverter
        yield _points(found, 802, "SetOp", (1, 3))


def _watts(
    found: Found, values: Values, limit_w: int | None, revert_s: int
) -> Generator[Question | Order, Sequence[int], None]:
    """WSet, + is feeding in; when the timer runs out it is 0 W and stays set."""
    on = limit_w is not None
    wanted = _towards_zero(Fraction(-limit_w), exponent(values, "WSet_SF")) if limit_w is not None else 0
    pct = (_word(values, "WSetPct", "WSetPct_SF"), _word(values, "WSetPctRvrt", "WSetPct_SF"))
    revert = revert_s if on else 0
    yield _points(
        found,
        704,
        "WSetEna",
        (int(on), 1, *_long(wanted), 0, 0, *pct, int(on), *_long(revert)),
    )


def _percent_704(
    found: Found, values: Values, limit_w: int | None, revert_s: int
) -> Generator[Question | Order, Sequence[int], None]:
    share, full = _share(found, limit_w, exponent(values, "WMaxLimPct_SF"))
    on = limit_w is not None
    yield _points(found, 704, "WMaxLimPctEna", (int(on), share, full, 0, *_long(revert_s if on else 0)))


def _percent_123(
    found: Found, values: Values, limit_w: int | None, revert_s: int
) -> Generator[Question | Order, Sequence[int], None]:
    share, _ = _share(found, limit_w, exponent(values, "WMaxLimPct_SF"))
    on = limit_w is not None
    yield _points(found, 123, "WMaxLimPct", (share, 0, revert_s if on else 0, 0, int(on)))


def _rates(
    found: Found, values: Values, limit_w: int | None, revert_s: int
) -> Generator[Question | Order, Sequence[int], None]:
    """Both rates at once: charging at x is a charge limit of x and a discharge limit of -x. The timer ends it."""
    if limit_w is None:
        yield _points(found, 124, "StorCtl_Mod", (0,))
        return
    rated = values.get("WChaMax")
    rated = rated if isinstance(rated, Fraction) and rated > 0 else Fraction(found.rated_w)
    share = _towards_zero(Fraction(limit_w) * 100 / rated, exponent(values, "InOutWRte_SF"))
    grid = 1 if values.get("ChaGriSet") is not None else 0xFFFF
    yield _points(found, 124, "OutWRte", (-share & 0xFFFF, share & 0xFFFF, 0, revert_s, 0, grid))
    yield _points(found, 124, "StorCtl_Mod", (3,))


def _share(found: Found, limit_w: int | None, sf: int) -> tuple[int, int]:
    """Of the rated power, in per cent at that scale, and 100 %."""
    full = _towards_zero(Fraction(100), sf)
    if limit_w is None or not found.rated_w:
        return full, full
    return min(_towards_zero(Fraction(max(-limit_w, 0) * 100, found.rated_w), sf), full), full


def _towards_zero(value: Fraction, sf: int) -> int:
    """The register at a scale factor; an order is never exceeded."""
    number = int(abs(value) / Fraction(10) ** sf)
    return number if value >= 0 else -number


def exponent(values: Values, name: str) -> int:
    value = values.get(name)
    return int(value) if isinstance(value, Fraction) and -10 <= value <= 10 else 0


def _word(values: Values, name: str, scale: str) -> int:
    """A point as it stands in its register, to be written back unharmed."""
    value = values.get(name)
    return int(value / Fraction(10) ** exponent(values, scale)) & 0xFFFF if isinstance(value, Fraction) else 0x8000


def _long(number: int) -> tuple[int, int]:
    return number >> 16 & 0xFFFF, number & 0xFFFF


def _points(found: Found, model: int, name: str, values: tuple[int, ...]) -> Order:
    """An order for the points of a model from `name` on."""
    return Order(found.blocks[model][0] + layout(model).point(name).at, values)


# ---------------------------------------------------------------- reading back


def in_force(found: Found) -> Generator[Question | Order, Sequence[int], int | None]:
    """What the device says it holds to, with its sign; None where it follows its own rule."""
    control = control_of(found)
    values, _ = yield from block(found, control)
    if control == 704 and _stores(found):
        on = values["WSetEna"] == 1 and values["WSetMod"] == 1
        watts = scaled(values, "WSet", 1)
        return -watts if on and watts is not None else None
    if control == 124:
        return _rate_in_force(found, values)
    on = values["WMaxLimPctEna" if control == 704 else "WMaxLim_Ena"] == 1
    share = values.get("WMaxLimPct")
    return -int(found.rated_w * share / 100) if on and isinstance(share, Fraction) else None


def _rate_in_force(found: Found, values: Values) -> int | None:
    share = values.get("InWRte")
    if values["StorCtl_Mod"] != 3 or not isinstance(share, Fraction):
        return None
    rated = values.get("WChaMax")
    return int((rated if isinstance(rated, Fraction) and rated > 0 else found.rated_w) * share / 100)


def heartbeat(found: Found, count: int | None) -> Generator[Question | Order, Sequence[int], int | None]:
    """The device's own; ours to it, unless `count` is None: a battery may stop when it stands still."""
    if 802 not in found.blocks:
        return None
    values, _ = yield from block(found, 802)
    if count is not None and values.get("CtrlHb") is not None:
        yield _points(found, 802, "CtrlHb", (count & 0x7FFF,))
    beat = values.get("Hb")
    return int(beat) if isinstance(beat, Fraction) else None


@dataclass(frozen=True)
class Health:
    """What keeps an inverter from being told anything."""

    alarms: int
    store_alarms: int
    state: int | None
    capacity_wh: int | None
    soc_milli: int | None
    temperature_dc: int | None


def health(found: Found) -> Generator[Question | Order, Sequence[int], Health]:
    ac = found.first(*AC)
    assert ac is not None
    values, _ = yield from block(found, ac)
    alarms, state, temperature = scaled(values, "Evt1", 1) or 0, scaled(values, "St", 1), scaled(values, "TmpCab", 10)
    store_alarms, capacity, soc = 0, None, None
    if 802 in found.blocks:
        stored, _ = yield from block(found, 802)
        store_alarms = scaled(stored, "Evt1", 1) or 0
        capacity, soc = scaled(stored, "WHRtg", 1), scaled(stored, "SoC", 10)
    elif 124 in found.blocks:
        stored, _ = yield from block(found, 124)
        soc = scaled(stored, "ChaState", 10)
        capacity = yield from _nameplate_wh(found)
    return Health(alarms, store_alarms, state, capacity, soc, temperature)


def _nameplate_wh(found: Found) -> Generator[Question | Order, Sequence[int], int | None]:
    if 120 not in found.blocks:
        return None
    values, _ = yield from block(found, 120)
    return scaled(values, "WHRtg", 1)
