"""Local safety of a station: the states it can be in, the rules that make it safe, the power it may have.

Owns: the state table, the rules with their reasons, limits on power, ramp, minimum on and off times.
Refuses: being overridden: no command, setting of a gateway or message reaches in here but through limits that a
registrar signed.
Invariants: pure; a rule that cannot be judged (no value where one belongs) counts as broken; with no lease the allowed
power is 0. Signs as everywhere: charging is positive.
"""

from wire import command

STATES = ("booting", "safe", "idle", "leased", "charging", "discharging", "fault")
BOOTING, SAFE, IDLE, LEASED, CHARGING, DISCHARGING, FAULT = STATES

# (state, what happens, next state). What is not here cannot happen. docs/hardware.md shows it as a diagram.
TABLE = (
    ("booting", "started", "safe"),
    ("safe", "clear", "idle"),
    ("idle", "order", "leased"),
    ("leased", "order", "leased"),
    ("leased", "charge", "charging"),
    ("leased", "discharge", "discharging"),
    ("leased", "over", "idle"),
    ("charging", "order", "leased"),
    ("charging", "over", "idle"),
    ("discharging", "order", "leased"),
    ("discharging", "over", "idle"),
    ("idle", "unsafe", "safe"),
    ("leased", "unsafe", "safe"),
    ("charging", "unsafe", "safe"),
    ("discharging", "unsafe", "safe"),
    ("safe", "stuck", "fault"),
    ("idle", "stuck", "fault"),
    ("leased", "stuck", "fault"),
    ("fault", "freed", "safe"),
)

HOLD_S = 5  # a safe state is left when all has been well for so long
STUCK_S = 2  # a contact has moved by then, and the current with it
FOLLOW_S = 5  # an inverter has heard of a lower limit by then, and its ramp is over
LEAK_MA = 200  # less than this may flow through filters and meters behind an open relay
OVER = 110  # per cent of the limit in force that the measured power may reach before it counts as broken


def after(state, happening):
    """The next state, or None where the table has no such line."""
    for line in TABLE:
        if line[0] == state and line[1] == happening:
            return line[2]
    return None


class View:
    """What is known at this moment; None where it is not known."""

    def __init__(self):
        self.acting = 0  # 1 charging, -1 discharging
        self.limit_w = 0  # in force, a magnitude
        self.power_w = self.voltage_mv = self.current_ma = None
        self.soc_milli = self.temperature_dc = None
        self.measured = False  # the meter answers
        self.store_seen = True  # so does the store, where there is one
        self.has_store = False
        self.frozen = False
        self.door_open = False
        self.link_lost = False
        self.no_clock = False


def _outside(value, low, high):
    return value is None or not low <= value <= high


def _current(limits, view):
    return view.measured and (view.current_ma or 0) > limits.current_ma_max


def _power(limits, view):
    if not view.acting or not view.measured:
        return False
    return abs(view.power_w) * 100 > view.limit_w * OVER + 10_000


# reason (a name of wire.command.REASONS), and whether it is broken; the first one that is gives the reason
RULES = (
    ("door", lambda limits, view: view.door_open),
    ("sensor", lambda limits, view: not view.measured or not view.store_seen or view.frozen),
    ("voltage", lambda limits, view: _outside(view.voltage_mv, limits.voltage_mv_min, limits.voltage_mv_max)),
    ("current", _current),
    ("power", _power),
    (
        "temperature",
        lambda limits, view: (
            view.temperature_dc is not None
            and _outside(view.temperature_dc, limits.temperature_dc_min, limits.temperature_dc_max)
        ),
    ),
    ("link-lost", lambda limits, view: view.link_lost),
    ("no-clock", lambda limits, view: view.no_clock),
)


def broken(limits, view):
    """Why the station must be safe now: a reason, or ""."""
    for reason, rule in RULES:
        if rule(limits, view):
            return reason
    return ""


def barred(limits, view, action):
    """Why this action cannot be begun or go on, though the station is safe as it is: a reason, or ""."""
    if action == "idle":
        return ""
    most_w = limits.charge_w_max if action == "charge" else limits.discharge_w_max
    if not most_w:
        return "power"
    if view.has_store:
        soc = view.soc_milli
        if soc is None or (soc >= limits.soc_max_milli if action == "charge" else soc <= limits.soc_min_milli):
            return "soc"
    return ""


def allowed_w(limits, action, limit_w):
    """The power of an order after our own limits, with its sign."""
    if action == "charge":
        return min(limit_w, limits.charge_w_max)
    if action == "discharge":
        return -min(limit_w, limits.discharge_w_max)
    return 0


def ramped(limits, now_w, wanted_w, seconds):
    """The next set point on the way to the wanted one."""
    step = limits.ramp_w_per_s * seconds
    if not limits.ramp_w_per_s or abs(wanted_w - now_w) <= step:
        return wanted_w
    return now_w + step if wanted_w > now_w else now_w - step


def reason(name):
    return command.REASONS.index(name)


def diagram():
    """The table as a Mermaid state diagram."""
    lines = ["stateDiagram-v2", "    [*] --> booting"]
    return "\n".join(lines + ["    %s --> %s: %s" % (line[0], line[2], line[1]) for line in TABLE])
