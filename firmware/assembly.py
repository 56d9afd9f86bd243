"""What happens once, at the start: key, journal, numbers, registers and parts of a device, put together and repaired.

Owns: the order of it, and what is done about a journal that a power cut or a bad flash left odd.
Refuses: giving up: whatever is damaged is told in `problems`, and the device runs on what is left.
Invariant: this is also the recovery; there is no other way to start.
"""

from firmware import parts, records
from firmware.journal import SPARE, Journal, blocks
from firmware.memory import once
from firmware.numbers import Numbers
from firmware.records import COARSE, FOLDER, REPORT, name_of
from firmware.registers import Registers
from firmware.store import Slots
from firmware.watched import Watched
from wire import report

SPARE_BYTES = 65_536  # of flash, that the journal leaves to everything else


def assemble(base):
    """Fills in what board, settings and files make possible."""
    config, files = base.config, base.files
    once("firmware.keyring", "load", base)
    base.journal = journal = Journal(files)
    last = _find(journal)
    journal.capacity = min(config.journal_kb * 1024, files.free_bytes() + journal.used - SPARE_BYTES)
    last = report.decode(last.payload()) if last is not None else None
    base.numbers = Numbers(files)
    base.numbers.keep("boot", max(base.numbers.boot, last.boot if last else 0) + 1)
    base.saved_registers = Slots(files, "registers")
    base.registers = Registers(config.rating_w, base.saved_registers.load())
    if last is not None:
        base.registers.floor(*last.rows[-1][1:3])
    _make_parts(base)
    # Now, though nobody may ask for it: later there is no room to load what makes it.
    base.enrolment = once("firmware.keyring wire.enrol wire.settings", "enrolment", base)


def _make_parts(base):
    config = base.config
    maker = parts.Maker(base.board)
    base.mains = [Watched(driver, entry["phase"]) for entry, driver in maker.make(parts.SENSORS, config.sensors)]
    base.actors = [(entry["part"], driver) for entry, driver in maker.make(parts.ACTORS, config.actors)]
    for entry in config.sensors:
        if entry["part"] in parts.RESTARTING:
            base.registers.forget_parts()
    base.problems = config.problems + maker.problems
    config.sensors = config.actors = ()


# ---------------------------------------------------------------- the journal on flash


def _find(journal):
    """Fills in what stands on flash; gives the newest report, None where there is none."""
    found = []
    for name, size in journal.files.sizes(FOLDER):
        first = _first(name)
        if first is None:
            journal.files.remove(FOLDER + "/" + name)  # a spare that was never finished, or not ours
        else:
            found.append((first, size))
    found.sort()
    journal.firsts = [first for first, _ in found]
    journal.sizes = [size for _, size in found]
    journal.used = sum([blocks(size) for size in journal.sizes])
    last = None
    while journal.firsts:
        whole, last = _find_end(journal)
        if whole:
            break
        # Nothing whole is in it. What it held is asked for by the gateway's position, if anybody ever saw it.
        journal.drop(len(journal.firsts) - 1)
    _finish_coarsening(journal)
    return last


def _first(name):
    try:
        return int(name, 16) if len(name) == 14 else None
    except ValueError:
        return None


def _find_end(journal):
    end = last = None
    for record in records.walk(journal.files, name_of(journal.firsts[-1])):
        end = record
        if record.kind == REPORT:
            last = record
    if end is None:
        return False, None
    journal.next_seq, journal.head = end.next_seq, end.head
    if end.end != journal.sizes[-1]:
        _cut_off(journal, end.end)
    if last is None and len(journal.firsts) > 1:
        for record in records.walk(journal.files, name_of(journal.firsts[-2])):
            if record.kind == REPORT:
                last = record
    return True, last


def _cut_off(journal, size):
    """What is torn or foreign behind the last whole record goes, or the next one would stand behind it."""
    name = name_of(journal.firsts[-1])
    journal.files.write(SPARE, journal.files.read(name, 0, size))
    journal.files.replace(SPARE, name)
    journal.used += blocks(size) - blocks(journal.sizes[-1])
    journal.sizes[-1] = size


def _finish_coarsening(journal):
    """A cut between writing a coarse report and removing what it stands for leaves both."""
    end = 0
    for record in records.walk(journal.files, name_of(journal.firsts[0])) if journal.firsts else ():
        if record.kind == REPORT:
            break
        if record.kind == COARSE:
            end = record.next_seq
    while len(journal.firsts) > 1 and journal.firsts[1] < end:
        journal.drop(1)
