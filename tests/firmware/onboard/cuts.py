"""Cuts the power at flash operations of a meter's and a station's life and looks at what is left.

`cuts.py LIFE SEED COUNT`: runs the life once whole to count its operations, then COUNT times (0: at every one) with a
cut in one of them, a reboot and a second half. Prints one JSON object. A cut that broke something is shown with the
command that repeats it: `cuts.py LIFE @OPERATION`.
"""

import gc
import json
import random
import sys

from rig import GATEWAY, REGISTRAR, Cut, Flash, Gateway, Rig, Signer
from firmware import keyring
from wire import envelope
from wire.settings import Configuration, Guarded

SAVE_S = 5


class Broken(Exception):
    pass


def must(holds, words):
    if not holds:
        raise Broken(words)


def configure(rig, gateway, version, guarded=True):
    inside = None
    if guarded:
        message = Guarded(id=rig.device.id, version=version, settings={42: 5_000, 43: 5_000})
        inside = envelope.sign(Signer(REGISTRAR), Guarded.DOMAIN, message.encode())
    message = Configuration(id=rig.device.id, version=version, settings={6: SAVE_S}, guarded=inside)
    gateway.arrive("configuration", gateway.mac(GATEWAY, Configuration.DOMAIN, message.encode()))


def meter_life(rig, gateway):
    """Seals, saves, frees, a full journal, a configuration, a rotation; yields where the outside may look."""
    rig.boot()
    rig.seconds(3)
    gateway.connect()
    gateway.beat()
    configure(rig, gateway, 1)
    for _ in range(4):
        rig.seconds(12)
        gateway.hear()
        gateway.beat()
    gateway.disconnect()
    for _ in range(190):
        rig.second()
        rig.device.seal()
    gateway.connect()
    gateway.settle()
    keyring.rotate(rig.device.identity)
    rig.seconds(5)
    gateway.hear()
    gateway.beat()
    gateway.public_key = rig.device.identity.next.public_key
    gateway.beat()
    rig.seconds(25)
    gateway.settle()


def station_life(rig, gateway):
    """Orders taken, replaced, ended by energy and by lease, and one cut off."""
    rig.boot()
    rig.seconds(2, watts=0)
    gateway.connect()
    gateway.beat()
    configure(rig, gateway, 1)
    rig.seconds(8, watts=0)
    gateway.beat()
    for counter, energy_wh in ((1, 4), (2, 1_000), (3, 3), (4, 1_000)):
        gateway.order(counter, energy_wh=energy_wh)
        for _ in range(6):
            rig.second(3_600 if rig.device.is_closed() else 0)
        gateway.beat()
        gateway.hear()
    rig.seconds(4, watts=0)
    gateway.settle()


LIVES = {
    "meter": (meter_life, {"journal_kb": 32, "seal_rows": 3, "save_s": SAVE_S}),
    "station": (
        station_life,
        {"role": "station", "actors": [{"part": "relay", "bus": "gpio0"}], "save_s": SAVE_S, "relay_on_s_min": 0,
         "relay_off_s_min": 0, "current_ma_max": 40_000},
    ),
}  # fmt: skip


def live(name, cut_at):
    """One life with a cut (None: without). Gives (operations, what the second half found)."""
    life, settings = LIVES[name]
    flash = Flash(64)
    rig = Rig(flash, settings)
    rig.device = None
    gateway = Gateway(rig, verify=False)
    start = flash.operations
    flash.cut_at = None if cut_at is None else start + cut_at
    try:
        life(rig, gateway)
    except Cut:
        pass
    operations = flash.operations - start
    if cut_at is not None:
        after_the_cut(rig, gateway)
    return operations


def after_the_cut(rig, gateway):
    before = rig.device
    rig.flash.cut_at = None
    device = rig.boot()
    journal = device.journal
    must(journal.next_seq >= gateway.next_seq, "acknowledged rows are gone")
    must(journal.head_at(gateway.next_seq) in (None, gateway.head), "another chain at the position")
    if before is not None:
        must(device.id == before.id, "another id")
        must(device.numbers.boot > before.numbers.boot, "a boot count again")
        must(device.numbers.command >= before.numbers.command, "a command counter again")
        must(device.numbers.state >= before.numbers.state, "a state's number again")
        versions = [value for name, value in gateway.events() if name == "configuration"]
        must(device.numbers.configuration >= max(versions + [0]), "a configuration again")
        must(journal.next_seq >= before.journal.next_seq, "journalled rows are gone")
        lost_wh = before.registers.import_wh - device.registers.import_wh
        must(lost_wh <= 1 + SAVE_S, "%d Wh of the registers are gone" % lost_wh)
    if gateway.rows:
        must(device.registers.import_wh >= gateway.rows[-1][1], "the registers fell")
    known = len(gateway.receipts)
    rig.seconds(8, watts=0)
    gateway.connect()
    gateway.settle()
    rig.seconds(12, watts=0)
    rig.device.seal()
    gateway.settle()
    must(gateway.next_seq == device.journal.next_seq, "rows that never arrive")
    covered = [range(coarse.seq, coarse.next_seq) for coarse in gateway.coarse]
    missing = [seq for seq in range(gateway.next_seq) if seq not in gateway.raw]
    must(all([any([seq in each for each in covered]) for seq in missing]), "rows without a trace")
    if device.numbers.command:
        check_receipts(device, gateway, known)


def check_receipts(device, gateway, known):
    """Every order that was taken is answered once by each part, whatever came between."""
    for counter in range(1, device.numbers.command + 1):
        parts = [(found.part, found.outcome, found.after) for found in gateway.receipts if found.counter == counter]
        if not parts:
            must(counter == device.numbers.command, "an order without an answer")
            continue
        must(len({str(part) for part in parts}) == 2, "not exactly one answer of each part to one order")


def main(name, *wanted):
    operations = live(name, None)
    if wanted[0].startswith("@"):
        points = [int(wanted[0][1:])]
    else:
        points = list(range(1, operations + 1))
        if int(wanted[1]):
            random.seed(int(wanted[0]))
            points = [points[random.randrange(len(points))] for _ in range(int(wanted[1]))]
    broken = []
    for point in points:
        try:
            live(name, point)
        except (Broken, AssertionError) as error:
            broken.append("cuts.py %s @%d: %s" % (name, point, error))
        gc.collect()
    print(json.dumps({"life": name, "operations": operations, "cuts": len(points), "broken": broken}))


if __name__ == "__main__":
    main(*sys.argv[1:])
