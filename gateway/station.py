"""A Modbus inverter or battery as a station: the same safety table as on boards, played by the gateway. Pure.

Owns: the states and rules (those of firmware/safety.py, held against it by a test), the order in force, what the device
is told, receipts, events, what the station says of itself.
Refuses: acting without a lease, on a device that cannot be read, or beyond the limits that the registrar signed.
Invariants: the world moves first, words come after; with no lease the power is 0; a rule that cannot be judged counts
as broken. Whatever becomes of the gateway, the device's own revert timer ends an order.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from gateway.sunspec import Health
from wire import cbor, rows
from wire.command import ACTIONS, OUTCOMES, REASONS, Command, Receipt
from wire.state import State

BOOTING, SAFE, IDLE, LEASED, CHARGING, DISCHARGING = "booting", "safe", "idle", "leased", "charging", "discharging"

# (state, what happens, next state). What is not here cannot happen. Without relays there is no stuck one: no `fault`.
TABLE = (
    (BOOTING, "started", SAFE),
    (SAFE, "clear", IDLE),
    (IDLE, "order", LEASED),
    (LEASED, "order", LEASED),
    (LEASED, "charge", CHARGING),
    (LEASED, "discharge", DISCHARGING),
    (LEASED, "over", IDLE),
    (CHARGING, "order", LEASED),
    (CHARGING, "over", IDLE),
    (DISCHARGING, "order", LEASED),
    (DISCHARGING, "over", IDLE),
    (IDLE, "unsafe", SAFE),
    (LEASED, "unsafe", SAFE),
    (CHARGING, "unsafe", SAFE),
    (DISCHARGING, "unsafe", SAFE),
)
HOLD_S = 5  # a safe state is left when all has been well for so long
EARLY_S = 30  # an order for so soon is taken and waits
SILENT_S = 15  # without an answer the device counts as not seen
SLOW_S = 10  # so long an inverter may take to come down to a lower limit
OVER = 110  # per cent of the limit in force that the measured power may reach before it counts as broken
FULL_AGAIN_MILLI = 20  # a flag that fell at a limit rises only so far from it

SAFE_IN, SAFE_OUT, TAKEN, BEGUN, ENDED = (
    rows.EVENTS.index(name) for name in ("safe entered", "safe left", "command", "session start", "session end")
)


@dataclass(frozen=True)
class Limits:
    """As in a registry entry (wire/settings.py, 40 and up)."""

    soc_min_milli: int = 0
    soc_max_milli: int = 1_000
    charge_w_max: int = 0
    discharge_w_max: int = 0
    voltage_mv_min: int = 184_000
    voltage_mv_max: int = 264_500
    current_ma_max: int = 1 << 31
    temperature_dc_min: int = -200
    temperature_dc_max: int = 600
    ramp_w_per_s: int = 0

    @classmethod
    def of(cls, entry: dict[int, int]) -> Limits:
        return cls(**{name: entry[key] for key, name in _KEYS.items() if key in entry})


_KEYS = {
    40: "soc_min_milli", 41: "soc_max_milli", 42: "charge_w_max", 43: "discharge_w_max", 44: "voltage_mv_min",
    45: "voltage_mv_max", 46: "current_ma_max", 47: "temperature_dc_min", 48: "temperature_dc_max", 51: "ramp_w_per_s",
}  # fmt: skip


@dataclass
class View:
    """What was read last; None where it is not known."""

    at_s: int = -(1 << 40)
    power_w: int = 0
    voltages_mv: tuple[int, ...] = ()
    current_ma: int = 0
    health: Health | None = None
    imported_wh: int = 0
    exported_wh: int = 0


@dataclass
class Order:
    """The command in force, with what its receipts need."""

    id: bytes
    counter: int
    action: str
    limit_w: int
    energy_wh: int
    not_before: int
    lease_until: int
    before: tuple[int, int]
    first_seq: int

    def pack(self) -> bytes:
        return cbor.encode([*vars(self).values()])

    @classmethod
    def unpack(cls, raw: bytes) -> Order:
        values: Any = cbor.decode(raw)
        values[7] = tuple(values[7])
        return cls(*values)

    def moved_wh(self, view: View) -> int:
        if self.action == "discharge":
            return view.exported_wh - self.before[1]
        return view.imported_wh - self.before[0]


class Event(NamedTuple):
    """A row of its own."""

    code: int
    value: int


class Part(NamedTuple):
    """A receipt, but for its registers and rows, which are those of the moment it is made."""

    order: Order
    part: int
    outcome: str
    reason: str


class Refusal(NamedTuple):
    command: Command
    reason: str


Word = Event | Part | Refusal


@dataclass
class Station:
    """`words` is what happened since it was last taken; the caller makes rows and receipts of it, in order."""

    limits: Limits
    state: str = BOOTING
    why: str = ""
    view: View = field(default_factory=View)
    order: Order | None = None
    set_w: int = 0
    words: list[Word] = field(default_factory=list)
    told: tuple[tuple[int, int], int] | None = None  # flags and stored energy of the last state
    _clear_s: int | None = None
    _eased: tuple[int, int] = (0, 0)  # a higher power that it comes down from, and since when
    _last_s: int = 0

    # ------------------------------------------------------------ once a second

    def step(self, now_s: int, no_clock: bool) -> int:
        """What the device is to be told now, with its sign."""
        reason = self._broken(now_s, no_clock)
        if self.state == BOOTING:
            self._enter("started", "reset", now_s)
        elif self.state == SAFE:
            self._wait_until_clear(reason, now_s)
        elif reason:
            self._enter("unsafe", reason, now_s)
        elif self.order is not None:
            self._follow(self.order, now_s)
        self._drive(now_s)
        return self.set_w

    def _broken(self, now_s: int, no_clock: bool) -> str:
        """Why the station must be safe now; the first rule that is broken gives the reason."""
        view, limits, health = self.view, self.limits, self.view.health
        temperature = health.temperature_dc if health else None
        for reason, broken in (
            ("sensor", health is None or not view.voltages_mv or not 0 <= now_s - view.at_s <= SILENT_S),
            ("sensor", health is not None and bool(health.alarms or health.store_alarms)),
            ("voltage", any(not limits.voltage_mv_min <= v <= limits.voltage_mv_max for v in view.voltages_mv)),
            ("current", view.current_ma > limits.current_ma_max),
            ("power", self.acting() and abs(view.power_w) * 100 > self._limit_in_force(now_s) * OVER + 10_000),
            (
                "temperature",
                temperature is not None and not limits.temperature_dc_min <= temperature <= limits.temperature_dc_max,
            ),
            ("no-clock", no_clock),
        ):
            if broken:
                return reason
        return ""

    def _barred(self, action: str) -> str:
        """Why this action cannot be begun or go on, though the station is safe as it is."""
        if action == "idle":
            return ""
        if not (self.limits.charge_w_max if action == "charge" else self.limits.discharge_w_max):
            return "power"
        health = self.view.health
        if health is not None and health.capacity_wh is not None:
            soc = health.soc_milli
            if soc is None or (
                soc >= self.limits.soc_max_milli if action == "charge" else soc <= self.limits.soc_min_milli
            ):
                return "soc"
        elif action == "charge":
            return "power"  # nothing to charge
        return ""

    def acting(self) -> bool:
        return self.state in (CHARGING, DISCHARGING)

    def _limit_in_force(self, now_s: int) -> int:
        before_w, since_s = self._eased
        return max(abs(self.set_w), before_w) if now_s - since_s < SLOW_S else abs(self.set_w)

    def _wait_until_clear(self, reason: str, now_s: int) -> None:
        if reason:
            self._clear_s, self.why = None, reason
            return
        if self._clear_s is None or now_s < self._clear_s:
            self._clear_s = now_s
        if now_s - self._clear_s >= HOLD_S:
            self._go("clear")
            self._clear_s, self.why = None, ""
            self.words.append(Event(SAFE_OUT, 0))

    def _enter(self, happening: str, reason: str, now_s: int) -> None:
        self._go(happening)
        self.why, self._clear_s = reason, None
        self._drive(now_s)
        if self.order is not None:
            self._end(self.order, "failed-safe", reason)
        self.words.append(Event(SAFE_IN, REASONS.index(reason)))

    def _go(self, happening: str) -> None:
        self.state = next(
            (after for state, what, after in TABLE if (state, what) == (self.state, happening)), self.state
        )

    def _follow(self, order: Order, now_s: int) -> None:
        barred = self._barred(order.action)
        if order.action != "idle" and order.moved_wh(self.view) >= order.energy_wh:
            self._over(order, "done", "", now_s)
        elif now_s >= order.lease_until:
            self._over(order, "done" if order.action == "idle" else "partial", "lease-ended", now_s)
        elif barred:
            self._over(order, "partial", barred, now_s)
        elif self.state == LEASED and order.action != "idle" and now_s >= order.not_before:
            self._go(order.action)
            self._eased = (abs(self.view.power_w), now_s)  # it may still be coming down from its own rule
            self.words.append(Event(BEGUN, order.counter))

    def _over(self, order: Order, outcome: str, reason: str, now_s: int) -> None:
        self._go("over")
        self._drive(now_s)
        self._end(order, outcome, reason)

    def _end(self, order: Order, outcome: str, reason: str) -> None:
        self.order = None
        self.words += [Event(ENDED, order.counter), Part(order, 2, outcome, reason)]

    def _drive(self, now_s: int) -> None:
        seconds, self._last_s = max(now_s - self._last_s, 0), now_s
        wanted_w = 0
        if self.acting() and self.order is not None:
            charge = self.order.action == "charge"
            most_w = self.limits.charge_w_max if charge else self.limits.discharge_w_max
            wanted_w = min(self.order.limit_w, most_w) * (1 if charge else -1)
        before_w = self.set_w
        self.set_w = self._ramped(wanted_w, seconds) if self.acting() else 0
        if abs(self.set_w) < abs(before_w):
            self._eased = (abs(before_w), now_s)

    def _ramped(self, wanted_w: int, seconds: int) -> int:
        step = self.limits.ramp_w_per_s * seconds
        if not self.limits.ramp_w_per_s or abs(wanted_w - self.set_w) <= step:
            return wanted_w
        return self.set_w + step if wanted_w > self.set_w else self.set_w - step

    # ------------------------------------------------------------ commands

    def take(self, found: Command, now_s: int, no_clock: bool, next_seq: int) -> bool:
        """False where it is refused. A command is the whole order and replaces the one before."""
        action = ACTIONS[found.action]
        reason = self._against(found, action, now_s, no_clock)
        if reason:
            self.words.append(Refusal(found, reason))
            return False
        if self.order is not None:
            done = self.order.action == "idle" or self.order.moved_wh(self.view) >= self.order.energy_wh
            self._end(self.order, "done" if done else "partial", "replaced")
        self.order = Order(
            id=found.id,
            counter=found.counter,
            action=action,
            limit_w=found.limit_w,
            energy_wh=found.energy_wh,
            not_before=found.not_before,
            lease_until=found.lease_until,
            before=(self.view.imported_wh, self.view.exported_wh),
            first_seq=next_seq + sum(isinstance(word, Event) for word in self.words),
        )
        self._go("order")
        self.words += [Event(TAKEN, found.counter), Part(self.order, 1, "taken", "")]
        return True

    def _against(self, found: Command, action: str, now_s: int, no_clock: bool) -> str:
        if no_clock:
            return "no-clock"
        if now_s >= found.lease_until or found.lease_until <= found.not_before:
            return "late"
        if found.not_before > now_s + EARLY_S:
            return "early"
        if self.state in (BOOTING, SAFE):
            return "safe-state"
        return self._barred(action)

    def recover(self, left_over: Order) -> None:
        """An order was in force when the gateway went down: it ended there and then."""
        self.words += [Event(ENDED, left_over.counter), Part(left_over, 2, "failed-safe", "reset")]

    # ------------------------------------------------------------ what it says of itself

    def flags(self) -> tuple[int, int]:
        """(may give, may take), with a distance from the limit that it fell at."""
        health, limits = self.view.health, self.limits
        if self.state in (BOOTING, SAFE) or health is None:
            return (0, 0)
        if health.capacity_wh is None:
            return (int(limits.discharge_w_max > 0), 0)
        before = self.told[0] if self.told else (1, 1)
        soc = health.soc_milli
        low = limits.soc_min_milli + (0 if before[0] else FULL_AGAIN_MILLI)
        high = limits.soc_max_milli - (0 if before[1] else FULL_AGAIN_MILLI)
        supply = limits.discharge_w_max and soc is not None and soc > low
        acquire = limits.charge_w_max and soc is not None and soc < high
        return (int(bool(supply)), int(bool(acquire)))

    def stored(self) -> tuple[int, int]:
        """Usable energy and usable capacity: what lies within the window."""
        health, limits = self.view.health, self.limits
        if health is None or health.capacity_wh is None:
            return (0, 0)
        window = max(0, limits.soc_max_milli - limits.soc_min_milli)
        above = min(max(0, (health.soc_milli or 0) - limits.soc_min_milli), window)
        return health.capacity_wh * above // 1_000, health.capacity_wh * window // 1_000

    def wants_to_tell(self, unit_wh: int) -> bool:
        if self.told is None:
            return self.view.health is not None
        moved = self.order is None and abs(self.stored()[0] - self.told[1]) >= unit_wh
        return self.flags() != self.told[0] or moved

    def tell(self, id: bytes, number: int, seq: int, now_s: int, quality: int) -> State:
        flags, (stored_wh, capacity_wh), health = self.flags(), self.stored(), self.view.health
        self.told = (flags, stored_wh)
        return State(
            id=id,
            number=number,
            seq=seq,
            stored_wh=stored_wh,
            capacity_wh=capacity_wh,
            soc_milli=(health.soc_milli or 0) if health else 0,
            temperature_dc=health.temperature_dc if health else None,
            supply_ok=flags[0],
            acquire_ok=flags[1],
            time_s=now_s,
            quality=quality,
        )


def receipt(word: Part | Refusal, id: bytes, view: View, last_seq: int, now_s: int) -> Receipt:
    """The receipt that a word stands for; `last_seq` is the last row that was made."""
    now = [view.imported_wh, view.exported_wh]
    if isinstance(word, Part):
        before, first_seq, made = list(word.order.before), word.order.first_seq, word.order
        part, outcome, reason = word.part, word.outcome, word.reason
    else:
        before, first_seq, made = now, last_seq, word.command  # type: ignore[assignment]
        part, outcome, reason = 1, "expired" if word.reason == "late" else "refused", word.reason
    return Receipt(
        station=id,
        command=made.id,
        counter=made.counter,
        part=part,
        outcome=OUTCOMES.index(outcome),
        reason=REASONS.index(reason),
        before=before,
        after=now if part == 2 else before,
        first_seq=first_seq,
        last_seq=max(last_seq, 0),
        time_s=now_s,
    )
