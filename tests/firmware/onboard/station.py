"""A station by hand: who may order what, local safety above orders, receipts that say what happened."""

from rig import GATEWAY, REGISTRAR, Flash, Gateway, Rig, run
from wire import command
from wire.rows import BOUNDARY, NONE

SETTINGS = {
    "role": "station",
    "actors": [{"part": "relay", "bus": "gpio0", "contact": "gpio1"}],
    "charge_w_max": 5_000,
    "discharge_w_max": 5_000,
    "current_ma_max": 40_000,
    "relay_on_s_min": 0,
    "relay_off_s_min": 0,
    "door": "gpio2",
}


class World:
    """A station whose contact follows its coil unless it is stuck, and through which current then flows."""

    def __init__(self, **settings):
        wanted = dict(SETTINGS)
        wanted.update(settings)
        self.rig = Rig(Flash(), wanted)
        self.stuck = None
        self.boot()
        self.gateway = Gateway(self.rig, verify=False)
        self.seconds(2)
        self.gateway.connect()
        self.gateway.beat()
        self.seconds(8)

    def boot(self):
        self.station = self.rig.boot()
        self.pins = self.station.board.pins
        self.pins["gpio2"].level = 0

    def second(self, watts=3_600, **more):
        closed = bool(self.pins["gpio0"].level) if self.stuck is None else self.stuck
        self.pins["gpio1"].level = 0 if closed else 1
        for relay in self.station.relays:
            for now_ms in (self.rig.now_ms, self.rig.now_ms + 50):
                relay.poll(now_ms)
        self.rig.second(watts if closed else 0, **more)

    def seconds(self, count, beats=True, **more):
        for i in range(count):
            self.second(**more)
            if beats and i % 5 == 4 and hasattr(self, "gateway"):
                self.gateway.beat()

    @property
    def closed(self):
        return bool(self.pins["gpio0"].level)

    def answers(self):
        self.gateway.hear()
        found = self.gateway.receipts
        return [(r.counter, r.part, command.OUTCOMES[r.outcome], command.REASONS[r.reason]) for r in found]

    def states(self):
        self.gateway.settle()
        return [name for name, _ in self.gateway.events()]


def check_an_order_is_carried_out_and_answered():
    world = World()
    world.gateway.order(1, energy_wh=5)
    world.seconds(1)
    assert world.closed and world.station.state == "charging"
    world.seconds(10)
    assert not world.closed and world.station.state == "idle"
    assert world.answers() == [(1, 1, "taken", ""), (1, 2, "done", "")]
    receipt = world.gateway.receipts[-1]
    assert 5 <= receipt.after[0] - receipt.before[0] <= 7
    names = world.states()
    assert names[-3:] == ["command", "session start", "session end"]
    rows = world.gateway.rows[receipt.first_seq : receipt.last_seq + 1]
    assert rows[0][1] == receipt.before[0] and rows[-1][1] == receipt.after[0], "the rows show what the receipt says"
    assert rows[-1][6] & BOUNDARY


def check_a_lease_that_ends_opens_within_a_second():
    world = World()
    until = world.station.clock.time_s() + 7
    world.gateway.order(1, lease_until=until)
    for _ in range(12):
        world.second()
        assert world.closed == (world.station.clock.time_s() < until)
    assert world.answers()[-1] == (1, 2, "partial", "lease-ended")


def check_the_next_order_replaces_the_one_before():
    world = World()
    world.gateway.order(1)
    world.seconds(4)
    world.gateway.order(2, energy_wh=3)
    assert world.closed, "the same direction goes on without a switch"
    world.seconds(8)
    assert world.answers() == [
        (1, 1, "taken", ""), (1, 2, "partial", "replaced"), (2, 1, "taken", ""), (2, 2, "done", ""),
    ]  # fmt: skip
    world.gateway.order(3)
    world.seconds(3)
    world.gateway.order(4, "idle")
    world.seconds(3)
    assert not world.closed


def check_whatever_is_not_right_is_refused_with_a_reason():
    world = World()
    now_s = world.station.clock.time_s()
    order = world.gateway.order
    order(5, energy_wh=1)
    world.seconds(6)
    known = len(world.answers())
    for kind, changes in (
        ("replayed", {"counter": 5, "id": b"another id 12345"}),
        ("replayed", {"counter": 4}),
        ("foreign", {"station": b"\x01" * 8}),
        ("late", {"lease_until": now_s - 1}),
        ("early", {"not_before": now_s + 500, "lease_until": now_s + 600}),
    ):
        order(changes.pop("counter", 9), **changes)
        world.seconds(6)
        assert world.answers()[-1][2:] == ("expired" if kind == "late" else "refused", kind), kind
        assert not world.closed
    for private in (GATEWAY, REGISTRAR):
        order(9, private=private)
        world.seconds(6)
        assert world.answers()[-1][1:] == (1, "refused", "bad-mac")
    assert len(world.answers()) == known + 7
    order(9, energy_wh=1)
    world.seconds(2)
    assert (9, 1, "taken", "") in world.answers(), "none of them used up a counter"


def check_retained_and_doubled_messages():
    world = World()
    sent = []
    arrive = world.gateway.arrive
    world.gateway.arrive = lambda kind, data, retained=False: sent.append(data)
    world.gateway.order(1, energy_wh=4)
    world.gateway.arrive = arrive
    arrive("command", sent[0], True)
    world.seconds(2)
    assert world.answers() == [(1, 1, "refused", "retained")] and not world.closed
    arrive("command", sent[0])
    arrive("command", sent[0])
    world.seconds(2)
    assert world.answers()[1:] == [(1, 1, "taken", "")] * 2, "a second copy gets the same answer again"
    world.seconds(8)
    arrive("command", sent[0])
    world.seconds(2)
    assert not world.closed and world.station.numbers.command == 1


def check_ten_thousand_malformed_commands():
    world = World()
    sent = []
    arrive = world.gateway.arrive
    world.gateway.arrive = lambda kind, data, retained=False: sent.append(data)
    world.gateway.order(1, lease_until=world.station.clock.time_s() + 600)
    world.gateway.arrive = arrive
    right = sent[0]
    seed = 1
    signed = []
    sign = world.station.sign
    world.station.sign = lambda message: signed.append(1) or sign(message)
    for i in range(10_000):
        seed = (seed * 1_103_515_245 + 12_345) & 0x7FFFFFFF
        data = bytearray(right)
        if i % 4 == 0:
            data[seed % len(data)] ^= 1 << (seed >> 20 & 7)
        elif i % 4 == 1:
            data = data[: seed % len(data)]
        elif i % 4 == 2:
            data = data + bytes(seed % 40 + 1)
        else:
            data = bytes([seed >> 3 & 255]) * (seed % 300)
        arrive("command", bytes(data))
    assert world.station.order is None and world.station.numbers.command == 0 and not world.closed
    assert len(signed) <= 5, "a flood of them costs no flood of signatures"
    world.seconds(60)
    arrive("command", b"")
    assert world.answers()[-1][0] > 9_990, "the answer counts them"
    arrive("command", right)
    world.seconds(1)
    assert world.closed


def check_no_orders_without_clock_or_beat():
    world = World()
    world.boot()
    world.seconds(5, beats=False)
    world.gateway.connect()
    world.gateway.order(1)
    assert world.station.order is None
    world.gateway.beat(quality=NONE)
    world.seconds(3, beats=False)
    world.gateway.order(2)
    assert world.station.order is None
    assert [answer[3] for answer in world.answers()] == ["no-hello", "no-clock"]


def check_the_link_is_lost():
    world = World()
    world.gateway.order(1)
    world.seconds(5)
    assert world.closed
    world.gateway.beat()
    world.seconds(20, beats=False)
    assert world.closed
    world.seconds(1, beats=False)
    assert not world.closed and world.station.state == "safe"
    world.gateway.beat()
    world.seconds(7)
    assert world.station.state == "idle" and not world.closed, "it does not go on by itself"
    assert world.answers()[-1] == (1, 2, "failed-safe", "link-lost")
    names = world.states()
    assert names[-3:] == ["safe entered", "session end", "safe left"]


def strike(reason, act, heal=None):
    """Something happens while the station charges: safe within a second, said in rows and receipt."""
    world = World()
    world.gateway.order(1)
    world.seconds(4)
    assert world.closed
    more = act(world) or {}
    world.seconds(1, **more)
    for _ in range(4 if reason == "sensor" else 0):
        world.seconds(1, **more)
    assert not world.closed and world.station.state == "safe", reason
    assert world.station.why == reason
    world.seconds(3, **more)
    assert world.answers()[-1] == (1, 2, "failed-safe", reason)
    if heal:
        heal(world)
    world.seconds(9)
    assert world.station.state == "idle" and not world.closed
    return world


def check_the_door():
    def open_door(world):
        world.pins["gpio2"].level = 1

    def shut(world):
        world.pins["gpio2"].level = 0

    strike("door", open_door, shut)


def check_voltage_current_power_and_a_silent_meter():
    strike("voltage", lambda world: {"millivolts": 300_000})
    strike("voltage", lambda world: {"millivolts": 150_000})
    strike("current", lambda world: {"watts": 11_000})
    strike("power", lambda world: {"watts": 7_000})
    strike("sensor", lambda world: {"measured": False})


def check_a_contact_that_stays_closed():
    world = World()
    world.gateway.order(1, energy_wh=3)
    world.seconds(3)
    world.stuck = True
    world.seconds(8)
    assert world.station.state == "fault" and not world.closed
    assert world.answers()[-1][1:] == (2, "done", ""), "delivered, and more than that"
    receipt = world.gateway.receipts[-1]
    assert receipt.after[0] - receipt.before[0] >= 3
    world.gateway.order(2)
    assert world.answers()[-1] == (2, 1, "refused", "stuck-relay")
    world.stuck = None
    world.seconds(12)
    assert world.station.state == "idle"
    reasons = [value for name, value in world.gateway.events() if name == "safe entered"]
    world.gateway.settle()
    reasons = [value for name, value in world.gateway.events() if name == "safe entered"]
    assert command.REASONS[reasons[-1]] == "stuck-relay"


def check_a_contact_that_stays_open():
    world = World()
    world.stuck = False
    world.gateway.order(1)
    world.seconds(5)
    assert not world.closed and world.station.why in ("stuck-relay", "")
    assert world.answers()[-1] == (1, 2, "failed-safe", "stuck-relay")


def check_own_limits_stand_above_orders():
    world = World(charge_w_max=2_000)
    world.gateway.order(1, limit_w=4_000)
    world.seconds(1, watts=3_600)
    world.seconds(2, watts=3_600)
    assert world.answers()[-1] == (1, 2, "failed-safe", "power"), "whatever was ordered"
    world = World(discharge_w_max=0)
    world.gateway.order(1, "discharge")
    assert world.answers() == [(1, 1, "refused", "power")]


def check_a_lower_limit_may_be_followed_and_is_then_held():
    world = World()
    world.gateway.order(1, limit_w=5_000)
    world.seconds(4, watts=4_900)
    world.gateway.order(2, limit_w=4_000)
    world.gateway.order(3, limit_w=3_000)
    world.seconds(3, watts=4_900)
    assert world.station.state == "charging", "the inverter had no time to follow yet"
    world.seconds(4, watts=4_900)
    assert world.answers()[-1] == (3, 2, "failed-safe", "power")


def check_minimum_rest():
    world = World(relay_off_s_min=15)
    world.seconds(10)
    world.gateway.order(1, energy_wh=2)
    world.seconds(6)
    assert not world.closed
    world.gateway.order(2)
    world.seconds(4)
    assert not world.closed and world.station.state == "leased", "it rests, then goes on"
    world.seconds(14)
    assert world.closed
    world = World(relay_on_s_min=30)
    world.gateway.order(1, lease_until=world.station.clock.time_s() + 10)
    assert world.answers()[-1] == (1, 1, "refused", "relay-rest")


def check_a_reset_ends_the_order():
    world = World()
    world.gateway.order(1)
    world.seconds(5)
    world.boot()
    world.seconds(2)
    assert not world.closed
    world.gateway.connect()
    world.gateway.beat()
    world.seconds(8)
    assert world.answers()[-1] == (1, 2, "failed-safe", "reset")
    world.gateway.order(1)
    assert world.answers()[-1][2:] == ("refused", "replayed") and not world.closed


def check_every_line_of_the_table_can_be_reached():
    from firmware import safety

    seen = set()
    after = safety.after

    def spy(state, happening):
        found = after(state, happening)
        if found:
            seen.add((state, happening))
        return found

    safety.after = spy
    for name in sorted(globals()):
        if name.startswith("check_") and "table" not in name and "thousand" not in name:
            globals()[name]()
    check_more_ways(safety)
    safety.after = after
    missing = [line[:2] for line in safety.TABLE if line[:2] not in seen]
    assert not missing, missing


def check_more_ways(safety=None):
    """Lines of the table that the stories above do not pass."""
    world = World()
    world.gateway.order(1, "discharge", limit_w=4_000)
    world.seconds(2, watts=-3_600)
    world.gateway.order(2, "discharge", energy_wh=2)
    world.seconds(5, watts=-3_600)
    world.gateway.order(3, "discharge")
    world.seconds(2, watts=-3_600)
    world.pins["gpio2"].level = 1
    world.seconds(1)
    world.pins["gpio2"].level = 0
    world.seconds(8)
    assert world.station.state == "idle"
    world.pins["gpio2"].level = 1
    world.seconds(1)
    assert world.station.state == "safe"
    world.stuck = True
    world.seconds(4)
    assert world.station.state == "fault"
    world.stuck = None
    world.pins["gpio2"].level = 0
    world.seconds(15)
    world.gateway.order(4, "idle", lease_until=world.station.clock.time_s() + 4)
    world.seconds(1)
    world.gateway.order(5, "idle", lease_until=world.station.clock.time_s() + 4)
    world.seconds(6)
    assert world.answers()[-1] == (5, 2, "done", "lease-ended")
    world.gateway.order(6, "idle")
    world.seconds(1)
    world.pins["gpio2"].level = 1
    world.seconds(1)
    world.pins["gpio2"].level = 0
    world.seconds(8)
    world.gateway.order(7, "idle")
    world.stuck = True
    world.seconds(4)
    assert world.station.state == "fault"


if __name__ == "__main__":
    run(globals())
