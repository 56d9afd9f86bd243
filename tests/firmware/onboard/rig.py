"""What the checks that run on MicroPython share: flash that can lose its power, a board without hardware, a gateway.

Owns: `Flash` (a chip under littlefs; a cut leaves half a write or half an erasure), `Rig` (a meter or station driven by
hand, second by second), `Gateway` (keys, beats, the chain of rows as the gateway keeps it).
Refuses: asyncio and sockets: those are tested against a real broker.
"""

import json
import os
import vfs

from firmware import assembly, config
from firmware.crypto import p256
from firmware.crypto.hmac import hkdf_sha256, hmac_sha256
from firmware.drivers import Sample
from firmware.records import REPORT
from firmware.settings import Base
from firmware.store import Files
from wire import command, envelope, hello, report, state, rows
from wire.ids import kid_of

BLOCK = 4096
TIME_S = 1_790_000_000
GATEWAY, DISPATCH, REGISTRAR = [bytes((n,)) * 32 for n in (1, 2, 3)]
PUBLIC = {private: p256.public_key(private) for private in (GATEWAY, DISPATCH, REGISTRAR)}


class Cut(BaseException):
    """The power is gone. Nothing of the firmware may catch it."""


_ERASED = b"\xff" * BLOCK


class Flash:
    """Outlives reboots. `cut_at`: the operation, counted from the start, in which power goes."""

    def __init__(self, blocks=96):
        self.data = bytearray(b"\xff" * (blocks * BLOCK))
        self.blocks = blocks
        self.operations = 0
        self.cut_at = None

    def mount(self, fresh=False):
        port = Port(self)
        if fresh:
            vfs.VfsLfs2.mkfs(port)
        try:
            vfs.umount("/flash")
        except OSError:
            pass
        vfs.mount(vfs.VfsLfs2(port), "/flash")


class Port:
    """The chip as a block device, for one boot. From a cut on it writes to a copy that nobody looks at, so that what is
    still open then may be closed in peace, whenever the collector finds it."""

    def __init__(self, flash):
        self._flash = flash
        self._data = flash.data

    def _torn(self):
        """Counts an operation; True if the power goes in the middle of it."""
        flash = self._flash
        flash.operations += 1
        if flash.operations != flash.cut_at:
            return False
        self._data = bytearray(flash.data)
        return True

    def readblocks(self, block, buf, offset=0):
        start = block * BLOCK + offset
        if self._data is self._flash.data:
            buf[:] = memoryview(self._data)[start : start + len(buf)]
        else:
            _copy(self._data, start, buf, 0, len(buf))

    def writeblocks(self, block, buf, offset):
        start = block * BLOCK + offset
        if self._data is not self._flash.data:
            _copy(buf, 0, self._data, start, len(buf))
            return
        if self._torn():
            half = len(buf) // 2
            self._flash.data[start : start + half] = memoryview(buf)[:half]
            raise Cut
        self._data[start : start + len(buf)] = buf

    def ioctl(self, code, block):
        if code == 4:
            return self._flash.blocks
        if code == 5:
            return BLOCK
        if code == 6:
            start = block * BLOCK
            if self._data is not self._flash.data:
                _copy(_ERASED, 0, self._data, start, BLOCK)
            elif self._torn():
                self._flash.data[start : start + BLOCK // 2] = memoryview(_ERASED)[: BLOCK // 2]
                raise Cut
            else:
                self._data[start : start + BLOCK] = _ERASED
        return 0


def _copy(source, at, target, to, count):
    """Byte by byte: the collector closes files while nobody may take memory."""
    while count:
        target[to] = source[at]
        at += 1
        to += 1
        count -= 1


class Board:
    """Time is what the rig says; randomness is a counter, so that every run is the same."""

    def __init__(self, rig):
        self._rig = rig
        self.pins = {}

    def ticks_ms(self):
        return self._rig.now_ms

    def random(self, count):
        rig = self._rig
        rig.randoms += 1
        return (hmac_sha256(b"random", rig.randoms.to_bytes(4, "big")) * 2)[:count]

    def reset_cause(self):
        return 0

    def on_power_fail(self, handler):
        pass

    def uart(self, bus, baud, parity=None, stop=1):
        return Silent()

    def pin(self, bus, out=None, pull_up=True):
        if bus not in self.pins:
            self.pins[bus] = Pin(1 if out is None else out)
        return self.pins[bus]


class Silent:
    def any(self):
        return 0

    def read(self, count=-1):
        return None

    def write(self, data):
        return len(data)


class Pin:
    def __init__(self, value):
        self.level = value

    def value(self, value=None):
        if value is None:
            return self.level
        self.level = value

    __call__ = value


def sample(wh, watts=3_600, millivolts=230_000, **more):
    values = dict(
        voltage_mv=millivolts, current_ma=abs(watts) * 1000 // 230, power_w=watts, power_mw=watts * 1000,
        import_wh=wh, export_wh=None,
        frequency_mhz=None, power_factor_milli=None, soc_permille=None, temperature_dc=None, stored_wh=None, raw=None,
    )  # fmt: skip
    values.update(more)
    return Sample(**values)


class Rig:
    """A device that boots, measures and dies when told to. The part's own registers outlive cuts."""

    def __init__(self, flash=None, settings=None, **more):
        self.flash = flash
        self.now_ms = 0
        self.randoms = 0
        self.part_wh = 100
        self.part_export_wh = 0
        self.root = "/flash/"
        wanted = {"row_s": 2, "journal_kb": 64, "gateway_key": PUBLIC[GATEWAY].hex(), "sensors": [
            {"part": "pzem004t-v3", "bus": "uart0"}
        ], "dispatch_key": PUBLIC[DISPATCH].hex(), "registrar_key": PUBLIC[REGISTRAR].hex()}  # fmt: skip
        wanted.update(settings or {})
        wanted.update(more)
        flash.mount(True)
        with open("/flash/config.json", "w") as file:
            file.write(json.dumps(wanted))

    def boot(self):
        self.flash.mount()
        files = Files(self.root)
        settings = config.load(files)
        base = Base(Board(self), settings, files)
        assembly.assemble(base)
        if settings.role == "station":
            from firmware.station import Station as Role
        else:
            from firmware.meter import Meter as Role
        self.device = Role(base)
        return self.device

    def second(self, watts=3_600, measured=True, **more):
        """One round: the part has counted, the device hears of it (or not)."""
        self.now_ms = (self.now_ms + 1000) & 0x3FFFFFFF
        if watts >= 0:
            self.part_wh += watts // 3_600
        else:
            self.part_export_wh += -watts // 3_600
        if measured:
            found = sample(self.part_wh, watts, export_wh=self.part_export_wh, **more)
            self.device.sampled(found, self.now_ms)
        else:
            self.device.sampled(None, self.now_ms)
        if hasattr(self.device, "control"):
            self.device.control()

    def seconds(self, count, **more):
        for _ in range(count):
            self.second(**more)


class Gateway:
    """Knows the position, checks every report's signature and chain, and beats."""

    def __init__(self, rig, verify=True):
        self.rig = rig
        self.next_seq = 0
        self.head = rows.HEAD_START
        self.rows = []
        self.raw = {}  # seq -> the bytes of every row ever heard
        self.coarse = []
        self.receipts = []
        self.states = []
        self.others = []
        self.hello = None
        self.public_key = None
        self._count = 0
        self._verify = verify

    def connect(self):
        """Hears hello and enrolment."""
        device = self.rig.device
        device.link.up = True
        for kind, data in device.connected():
            signed = envelope.split(data)
            if kind == "hello":
                self.hello = hello.Hello.decode(signed.payload)
        self.public_key = device.identity.signer.public_key
        self._count = 0

    def disconnect(self):
        self.rig.device.link.up = False
        self.rig.device.disconnected()

    def mac(self, private, domain, payload):
        return envelope.mac(Macer(private, self.public_key), domain, payload)

    def beat(self, **changes):
        self._count += 1
        values = dict(
            id=self.hello.id, nonce=self.hello.nonce, count=self._count, time_s=TIME_S + self.rig.now_ms // 1000,
            quality=rows.SYNCED, next_seq=self.next_seq, head=self.head, period_s=10,
        )  # fmt: skip
        values.update(changes)
        self.arrive("beat", self.mac(GATEWAY, hello.Beat.DOMAIN, hello.Beat(**values).encode()))

    def arrive(self, kind, data, retained=False):
        self.rig.device.arrived(kind, data, retained)

    def order(self, counter, action="charge", private=DISPATCH, **changes):
        now_s = TIME_S + self.rig.now_ms // 1000
        values = dict(
            station=self.rig.device.id, id=counter.to_bytes(16, "big"), counter=counter, grants=[counter],
            action=command.ACTIONS.index(action), limit_w=4_000, energy_wh=1_000, not_before=now_s,
            lease_until=now_s + 60,
        )  # fmt: skip
        values.update(changes)
        signed = envelope.sign(Signer(private), command.Command.DOMAIN, command.Command(**values).encode())
        self.arrive("command", self.mac(private, command.MAC_DOMAIN, signed))

    def hear(self, most=1000):
        """Takes what the device has to say, as one connection would."""
        device = self.rig.device
        for _ in range(most):
            message = device.next_message()
            if message is None:
                return
            kind, data, what = message
            self._heard(kind, data)
            if what is not None:
                device.acknowledged(what)

    def _heard(self, kind, data):
        signed = envelope.split(data)
        if kind == "report":
            self._report(signed)
        elif kind == "coarse":
            found = report.Coarse.decode(signed.payload)
            self.coarse.append(found)
            assert found.seq != self.next_seq or found.head == self.head, "a coarse report that does not follow"
            if found.seq <= self.next_seq < found.next_seq:  # only what lies behind the position counts
                self.next_seq, self.head = found.next_seq, found.next_head
        elif kind == "receipt":
            self.receipts.append(command.Receipt.decode(signed.payload))
        elif kind == "state":
            self.states.append(state.State.decode(signed.payload))
        else:
            self.others.append((kind, data))

    def _report(self, signed):
        found = report.decode(signed.payload)
        if self._verify:
            message = envelope.to_sign(signed.kid, rows.DOMAIN, signed.payload)
            assert kid_of(self.public_key) == signed.kid and p256.verify(self.public_key, message, signed.signature)
        head = found.head
        for i, row in enumerate(found.row_bytes):
            seq = found.seq + i
            assert self.raw.setdefault(seq, row) == row, "two rows with seq %d" % seq
            if seq < self.next_seq:
                continue  # again
            assert seq == self.next_seq, "row %d where %d is due" % (seq, self.next_seq)
            if i == 0:
                assert head == self.head, "two chains at row %d" % seq
            self.head = rows.advance(self.head, row)
            self.next_seq += 1
            self.rows.append(found.rows[i])
        assert found.next_seq > self.next_seq or self.head == found.next_head or found.next_seq < self.next_seq

    def settle(self, beats=3):
        """Until the device has nothing more to say."""
        for _ in range(beats):
            self.beat()
            self.hear()
        self.beat()

    def events(self):
        return [(rows.EVENTS[row[7][0][0]], row[7][0][1]) for row in self.rows if row[6] & rows.EVENT]


class Signer:
    def __init__(self, private):
        self._private = private
        self.kid = kid_of(PUBLIC[private])

    def sign(self, message):
        return p256.sign(self._private, message)


class Macer:
    def __init__(self, private, peer):
        self.kid = kid_of(PUBLIC[private])
        self._key = hkdf_sha256(p256.ecdh(private, peer), b"", b"tallygrid/mac/1", 32)

    def mac(self, kid, message):
        return hmac_sha256(self._key, message)


def reports(journal):
    """Every report on flash, oldest first."""
    place = journal.seek(0)
    while place:
        record, place = journal.read(place)
        if record is None:
            return
        if record.kind == REPORT:
            yield report.decode(record.payload())


def remove(name):
    os.remove("/flash/" + name)


def run(names):
    """Runs every function of a module whose name begins with `check_`."""
    for name in sorted(names):
        if name.startswith("check_"):
            names[name]()
            print("ok", name[6:])
