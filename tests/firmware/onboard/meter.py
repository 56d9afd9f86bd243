"""A meter by hand: rows, sequence, beats, outages, takeover, clock, flash that is damaged or full."""

from rig import TIME_S, Flash, Gateway, Rig, remove, reports, run
from wire import units, rows


def booted(**settings):
    rig = Rig(Flash(), settings)
    rig.boot()
    gateway = Gateway(rig)
    rig.seconds(3)
    gateway.connect()
    gateway.beat()
    return rig, gateway


def check_rows_arrive_whole():
    rig, gateway = booted()
    rig.seconds(60)
    gateway.settle()
    assert gateway.next_seq == rig.device.journal.next_seq >= 25
    assert gateway.events()[0] == ("start", 0)
    step = [value for name, value in gateway.events() if name == "clock step"]
    assert len(step) == 1 and abs(step[0] - TIME_S) <= 1
    plain = [row for row in gateway.rows if not row[6] & rows.EVENT]
    assert all([row[0] <= 2 for row in plain]), plain
    for before, after in zip(gateway.rows, gateway.rows[1:]):
        assert after[1] >= before[1]
    energy = gateway.rows[-1][1] - gateway.rows[0][1]
    assert energy == sum([row[0] for row in gateway.rows[1:]]), "a watt hour a second"


def check_nothing_before_the_first_beat():
    rig = Rig(Flash())
    rig.boot()
    gateway = Gateway(rig)
    rig.seconds(40)
    assert rig.device.next_message() is None
    gateway.connect()
    rig.seconds(10)
    assert rig.device.next_message() is None
    gateway.beat()
    assert rig.device.next_message() is not None


def check_an_outage_loses_nothing():
    rig, gateway = booted()
    rig.seconds(10)
    gateway.settle()
    gateway.disconnect()
    rig.seconds(400)
    longest = max([len(found.rows) for found in reports(rig.device.journal)])
    assert longest == 60, "fewer signatures while the link is down"
    gateway.connect()
    gateway.settle()
    rig.seconds(25)
    gateway.settle()
    assert not gateway.coarse and gateway.next_seq == rig.device.journal.next_seq
    assert gateway.rows[-1][1] - gateway.rows[0][1] == sum([row[0] for row in gateway.rows[1:]])


def check_two_beats_make_it_send_again():
    rig, gateway = booted()
    rig.seconds(40)
    gateway.hear()
    known = gateway.next_seq
    gateway.next_seq, gateway.head, gateway.rows = 0, rows.HEAD_START, []  # the broker lost it all
    gateway.beat()
    gateway.hear()
    assert gateway.next_seq == 0, "what is merely in flight is not sent again"
    gateway.beat()
    gateway.hear()
    assert gateway.next_seq == known


def check_a_lost_journal_is_taken_over():
    rig, gateway = booted()
    rig.seconds(60)
    gateway.settle()
    known, registers = gateway.next_seq, gateway.rows[-1][1]
    import os

    for name in os.listdir("/flash/journal"):
        remove("journal/" + name)
    rig.boot()
    rig.seconds(30)
    gateway.connect()
    assert gateway.hello.next_seq < known
    gateway.settle()
    rig.seconds(30)
    gateway.settle()
    assert gateway.next_seq == rig.device.journal.next_seq > known
    assert ("takeover", 0) in gateway.events() and not gateway.coarse
    assert gateway.rows[known][6] & rows.EVENT and gateway.rows[known][7][0][0] == rows.EVENTS.index("takeover")
    assert gateway.rows[known][1] >= registers, "the registers were saved on their own"
    rig.boot()
    rig.seconds(5)
    gateway.connect()
    gateway.settle()
    assert gateway.next_seq == rig.device.journal.next_seq


def check_a_journal_rolled_back_is_taken_over():
    """The last segment is gone, and the boot has used its numbers for other rows."""
    rig, gateway = booted(seal_rows=2)
    rig.seconds(30)
    gateway.settle()
    known = gateway.next_seq
    journal = rig.device.journal
    from firmware.records import name_of

    data = rig.device.files.read(name_of(journal.firsts[-1]))
    rig.device.files.write(name_of(journal.firsts[-1]), data[: len(data) // 2])
    rig.boot()
    assert rig.device.journal.next_seq < known
    rig.seconds(130)
    assert rig.device.journal.next_seq > known
    gateway.connect()
    gateway.settle()
    rig.seconds(10)
    gateway.settle()
    assert gateway.next_seq == rig.device.journal.next_seq and ("takeover", 0) in gateway.events()


def check_a_position_behind_what_is_held_gets_a_coarse_report():
    rig, gateway = booted(journal_kb=32, seal_rows=1)
    for _ in range(60):
        rig.seconds(10)
        gateway.settle(1)
    assert rig.device.journal.oldest_seq > 20
    gateway.next_seq, gateway.head = 10, b"\x07" * 32
    gateway.rows = []
    gateway.connect()
    gateway.beat()
    gateway.hear()
    assert [(found.seq, found.next_seq, found.first, found.merged) for found in gateway.coarse] == [
        (10, rig.device.journal.oldest_seq, None, 0)
    ]
    assert gateway.next_seq == rig.device.journal.next_seq


def check_a_full_journal_coarsens_and_says_so():
    rig, gateway = booted(journal_kb=32, seal_rows=1)
    gateway.settle()
    gateway.disconnect()
    for _ in range(700):
        rig.seconds(4)
        rig.device.seal()
    assert rig.device.journal.used <= 32 * 1024
    gateway.connect()
    gateway.settle(5)
    assert gateway.coarse and gateway.next_seq == rig.device.journal.next_seq
    merged = sum([value for name, value in gateway.events() if name == "coarsened"])
    assert merged > 100
    last = None
    for found in gateway.coarse:
        assert last is None or found.seq >= last.next_seq
        last = found
    assert gateway.coarse[-1].last[0] <= gateway.rows[-1][1]


def check_a_damaged_record_costs_its_rows_only():
    rig, gateway = booted(seal_rows=2)
    rig.seconds(60)
    from firmware import records
    from firmware.records import name_of

    journal = rig.device.journal
    name = name_of(journal.firsts[0])
    found = list(records.walk(rig.device.files, name))
    data = bytearray(rig.device.files.read(name))
    data[found[3].end + 70] ^= 1
    rig.device.files.write(name, bytes(data))
    rig.boot()
    rig.seconds(3)
    gateway.connect()
    gateway.settle(4)
    assert [(coarse.seq, coarse.next_seq) for coarse in gateway.coarse] == [(found[4].seq, found[4].next_seq)]
    assert gateway.next_seq == rig.device.journal.next_seq


def check_absurd_times_are_not_taken():
    rig, gateway = booted()
    rig.seconds(20)
    clock = rig.device.clock
    known = clock.time_s()
    for absurd in (0, 1, 1_000_000_000, 5_000_000_000, (1 << 40) - 1):
        gateway.beat(time_s=absurd)
        gateway.beat(time_s=absurd)
        gateway.beat(time_s=absurd)
    assert clock.time_s() == known
    gateway.beat(time_s=known + 86_400)
    assert clock.time_s() == known, "a leap is believed when it is told twice"
    gateway.beat(time_s=known + 86_400)
    assert clock.time_s() == known + 86_400
    rig.seconds(10)
    gateway.beat(time_s=known)
    gateway.beat(time_s=known)
    rig.seconds(10)
    gateway.settle()
    steps = [value for name, value in gateway.events() if name == "clock step"]
    assert steps[1] == 86_400 and -86_411 <= steps[2] <= -86_409
    assert all([row[0] <= 4 for row in gateway.rows]), "no interval is doubled or negative"


def check_a_silent_sensor_makes_rows_that_say_so():
    rig, gateway = booted()
    rig.seconds(20)
    before = rig.device.registers.import_wh
    rig.seconds(20, measured=False)
    rig.seconds(20)
    gateway.settle()
    rig.seconds(20)
    gateway.settle()
    names = [name for name, _ in gateway.events()]
    lost, back = names.index("sensor lost"), names.index("sensor back")
    assert lost < back
    dark = [row for row in gateway.rows if row[6] & rows.NO_SENSOR]
    assert len(dark) >= 8 and all([row[3:6] == [0, 0, 0] for row in dark])
    code = rows.EVENTS.index("sensor back")
    again = [row for row in gateway.rows if row[6] & rows.EVENT and row[7][0][0] == code]
    assert again[0][0] == 0 and again[0][1] >= before + 20, "what the part counted alone comes in on the event"
    assert rig.device.registers.import_wh == rig.part_wh - 101


def check_a_part_that_was_exchanged_adds_nothing():
    rig, gateway = booted()
    rig.seconds(20)
    known = rig.device.registers.import_wh
    rig.part_wh = 5_000_000
    rig.seconds(10)
    rig.part_wh = 3
    rig.seconds(10)
    gained = rig.device.registers.import_wh - known
    assert 10 <= gained <= 20, gained
    gateway.settle()
    assert [name for name, _ in gateway.events()].count("tamper") == 2


def check_one_wrong_reading_changes_nothing():
    rig, _ = booted()
    rig.seconds(5)
    known = rig.device.registers.import_wh
    right = rig.part_wh
    rig.part_wh = 9_000_000
    rig.second()
    rig.part_wh = right + 1
    rig.second()
    assert rig.device.registers.import_wh == known + 2


def check_energy_that_contradicts_power_is_marked():
    rig, gateway = booted(row_s=10, seal_rows=1)
    rig.seconds(20)
    rig.part_wh += 20
    rig.seconds(30)
    gateway.settle()
    assert ("tamper", 10) in gateway.events()
    for before, after in zip(gateway.rows, gateway.rows[1:]):
        assert not units.suspect_values(after) and not units.suspect_step((before[1], before[2]), after)


if __name__ == "__main__":
    run(globals())
