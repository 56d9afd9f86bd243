"""Devices: entered by a registrar on main, taken over by proof on the schedule chain; slave blocks, once each."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

import pytest

from ledger.contracts.devices import DEVICES
from pilot.experiments.devices import SoftDevice
from tests.ledger.sisters import START_S, Chain, World, device, key, kid
from wire import cbor, envelope, report
from wire.chain import kinds, slave
from wire.chain.keys import PrivateKey
from wire.enrol import ALLIANCES, ROLES, STATUS, Assignment, Enrolment, Entry
from wire.report import Coarse


class Estate:
    """A main chain with a registrar, a schedule chain that follows it, and one gateway entered."""

    def __init__(self) -> None:
        self.world = World(
            {"EC": 0}, {"EC": 1_000, "ann": 1_000}, roles={"EC": "company", "ann": "user", "relay": "relay"}
        )
        self.main: Chain = self.world.with_main(registrar="registrar", rival="registrar", relay="relay")
        self.schedule = self.world.schedule
        assert not self.enter("gate", "gateway").reason

    def enrolment(self, name: str, role: str, signer: PrivateKey | None = None, id: bytes | None = None) -> bytes:
        own = key(name)
        word = Enrolment(
            id=id or own.kid, public_key=own.public_key, role=ROLES.index(role), board="soft", firmware=bytes(32)
        )
        return envelope.sign(signer or own, Enrolment.DOMAIN, word.encode())

    def enter(self, who: str, role: str, serial: int = 1, by: str = "registrar", **changes: Any) -> Any:
        fields: dict[str, Any] = {
            "serial": serial,
            "device": kid(who),
            "enrolment": self.enrolment(who, role),
            "name": who,
            "alliance": ALLIANCES.index("load"),
            "gateway": kid("gate"),
            "limits": {},
            "status": STATUS.index("active"),
            "from_time": START_S,
            "assignment": None,
            **changes,
        }
        raw = envelope.sign(key(by), Entry.DOMAIN, Entry(**fields).encode())
        return self.main.send("relay", kinds.RegistryEntry(entry=raw))

    def rotation(self, old: str, new: str, role: str = "meter") -> bytes:
        inner = self.enrolment(new, role, id=kid(old))
        return envelope.sign(key(old), Enrolment.ROTATION_DOMAIN, inner)

    def assignment(self, name: str, account: str, serial: int = 1, signer: str | None = None) -> bytes:
        word = Assignment(device=kid(name), account=kid(account), serial=serial)
        return envelope.sign(key(signer or account), Assignment.DOMAIN, word.encode())

    def take(self, name: str) -> str:
        self.main.make()
        height = self.world.show_header(self.main, self.schedule)
        body = kinds.TakeEntry(device=kid(name), proof=self.main.proof(DEVICES.key(kid(name)), height))
        return self.schedule.send("relay", body).reason

    def device_on(self, chain: Chain, name: str) -> dict[str, Any]:
        return dict(next(row for row in chain.app.query("devices") if row["name"] == name))


@pytest.fixture
def estate() -> Estate:
    return Estate()


# ---- entries on the main chain --------------------------------------------------------------------------------------


def test_only_a_registrar_enters_and_a_device_stays_with_its_own(estate: Estate) -> None:
    assert estate.enter("meter", "meter", by="relay").reason == "not-allowed"
    assert estate.enter("meter", "meter", by="stranger").reason == "unknown-key"
    assert not estate.enter("meter", "meter").reason
    assert estate.enter("meter", "meter", 2, by="rival").reason == "not-allowed"
    assert estate.enter("meter", "meter", 1).reason == "old-number"
    assert not estate.enter("meter", "meter", 2, name="kitchen").reason
    assert estate.device_on(estate.main, "kitchen")["serial"] == 2


def test_the_device_itself_signed(estate: Estate) -> None:
    forged = estate.enrolment("meter", "meter", signer=key("thief"))
    assert estate.enter("meter", "meter", enrolment=forged).reason == "unknown-key"
    assert estate.enter("meter", "meter", enrolment=estate.enrolment("other", "meter")).reason == "wrong-id"
    posing = estate.enrolment("thief", "meter", id=kid("meter"))
    assert estate.enter("meter", "meter", enrolment=posing).reason == "wrong-id"


def test_rotation(estate: Estate) -> None:
    assert estate.enter("meter", "meter", enrolment=estate.rotation("meter", "meter 2")).reason == "unknown-key"
    assert not estate.enter("meter", "meter").reason
    bare = estate.enrolment("meter 2", "meter", id=kid("meter"))
    assert estate.enter("meter", "meter", 2, enrolment=bare).reason == "unknown-key"
    stolen = envelope.sign(key("thief"), Enrolment.ROTATION_DOMAIN, bare)
    assert estate.enter("meter", "meter", 2, enrolment=stolen).reason == "unknown-key"
    turned = estate.rotation("meter", "meter 2")
    assert not estate.enter("meter", "meter", 2, enrolment=turned, status=STATUS.index("rotated")).reason
    wanted = [key(name).public_key.hex() for name in ("meter", "meter 2")]
    assert estate.device_on(estate.main, "meter")["keys"] == wanted


def test_a_device_without_a_key_is_its_gateways(estate: Estate) -> None:
    id = sha256(kid("gate") + b"inverter").digest()[:8]
    gate = estate.enrolment("gate", "gateway")
    assert estate.enter("inverter", "meter", device=bytes(8), enrolment=gate).reason == "wrong-id"
    assert not estate.enter("inverter", "meter", device=id, enrolment=gate).reason
    assert estate.device_on(estate.main, "inverter")["keys"] == []


def test_a_gateway_gets_an_account_and_its_next_key(estate: Estate) -> None:
    row = estate.main.app.query("accounts", kid("gate"))[0]
    assert row["role"] == "gateway" and row["key"] == key("gate").public_key.hex()
    turned = estate.rotation("gate", "gate 2", "gateway")
    assert not estate.enter("gate", "gateway", 2, enrolment=turned).reason
    assert estate.main.app.query("accounts", kid("gate"))[0]["key"] == key("gate 2").public_key.hex()


# ---- the schedule chain takes them over ------------------------------------------------------------------------------


def test_an_entry_is_taken_by_proof_once(estate: Estate) -> None:
    assert not estate.enter("north", "station", assignment=estate.assignment("north", "EC")).reason
    assert estate.take("north") == ""
    assert estate.take("north") == "old-number"
    assert estate.device_on(estate.schedule, "north")["account"] == kid("EC").hex()
    assert estate.schedule.app.query("accounts", kid("north"))[0]["role"] == "station"
    state = device(estate.world, "north").state(10_000, 50_000)
    estate.schedule.ok("relay", kinds.StationState(state=state))


def test_an_entry_that_is_not_there_is_not_taken(estate: Estate) -> None:
    assert not estate.enter("meter", "meter").reason
    estate.main.make()
    height = estate.world.show_header(estate.main, estate.schedule)
    proof = estate.main.proof(DEVICES.key(kid("meter")), height)
    assert estate.schedule.no("relay", kinds.TakeEntry(device=kid("other"), proof=proof)) == "bad-proof"
    other = DEVICES.get(estate.main.app.state, kid("meter"))
    assert other is not None
    false = [height, cbor.encode(list(other._replace(account=kid("ann")))), proof[2]]
    assert estate.schedule.no("relay", kinds.TakeEntry(device=kid("meter"), proof=false)) == "bad-proof"


def test_the_account_has_its_say(estate: Estate) -> None:
    """The registrar alone cannot give a household's meter to another household."""
    forged = estate.assignment("meter", "ann", signer="EC")
    assert not estate.enter("meter", "meter", assignment=forged).reason
    assert estate.take("meter") == "unknown-key"
    another = estate.assignment("heater", "ann")
    assert not estate.enter("meter", "meter", 2, assignment=another).reason
    assert estate.take("meter") == "wrong-id"
    later = estate.assignment("meter", "ann", serial=9)
    assert not estate.enter("meter", "meter", 3, assignment=later).reason
    assert estate.take("meter") == "old-number"
    good = estate.assignment("meter", "ann", serial=4)
    assert not estate.enter("meter", "meter", 4, assignment=good).reason
    assert estate.take("meter") == ""
    replayed = estate.assignment("meter", "EC", serial=3)
    assert not estate.enter("meter", "meter", 5, assignment=replayed).reason
    assert estate.take("meter") == "old-number"
    assert not estate.enter("meter", "meter", 6, assignment=good).reason
    assert estate.take("meter") == ""
    assert estate.device_on(estate.schedule, "meter")["account"] == kid("ann").hex()


def test_a_rotated_key_goes_on_until_the_new_one_has_spoken_and_a_revoked_one_stops(estate: Estate) -> None:
    assert not estate.enter("meter", "meter", assignment=estate.assignment("meter", "ann")).reason
    assert estate.take("meter") == ""
    old = device(estate.world, "meter")
    estate.schedule.ok("ann", kinds.Readings(reports=[old.report()]))
    turned = estate.rotation("meter", "meter 2")
    assert not estate.enter("meter", "meter", 2, enrolment=turned, assignment=estate.assignment("meter", "ann")).reason
    assert estate.take("meter") == ""
    estate.schedule.ok("ann", kinds.Readings(reports=[old.report()]))
    new = under(old, key("meter 2"))
    estate.schedule.ok("ann", kinds.Readings(reports=[new.report()]))
    old.seq, old.head = new.seq, new.head
    assert estate.schedule.no("ann", kinds.Readings(reports=[old.report()])) == "unknown-key"
    gone: dict[str, Any] = {
        "enrolment": turned,
        "status": STATUS.index("revoked"),
        "assignment": estate.assignment("meter", "ann"),
    }
    assert not estate.enter("meter", "meter", 3, **gone).reason
    assert estate.take("meter") == ""
    assert estate.schedule.no("ann", kinds.Readings(reports=[new.report()])) == "revoked"


def under(one: SoftDevice, next_key: PrivateKey) -> SoftDevice:
    """The same device with its next key."""
    other = SoftDevice(next_key, one._now_s)
    other.id, other.seq, other.head, other.time_s = one.id, one.seq, one.head, one.time_s
    return other


def test_a_revoked_station_takes_nobody(estate: Estate) -> None:
    assigned = estate.assignment("north", "EC")
    assert not estate.enter("north", "station", assignment=assigned).reason
    assert estate.take("north") == ""
    estate.schedule.ok("relay", kinds.StationState(state=device(estate.world, "north").state(10_000, 50_000)))
    assert estate.schedule.app.query("stations")[0]["supply"]
    assert not estate.enter("north", "station", 2, status=STATUS.index("revoked"), assignment=assigned).reason
    assert estate.take("north") == ""
    assert not estate.schedule.app.query("stations")[0]["supply"]


# ---- slave blocks ----------------------------------------------------------------------------------------------------


class Gateway:
    def __init__(self, estate: Estate, name: str = "gate") -> None:
        self.estate = estate
        self.key = key(name)
        self.id = kid("gate")
        self.height = 0
        self.previous = slave.START

    def block(self, *messages: bytes, **changes: Any) -> slave.SlaveBlock:
        fields: dict[str, Any] = {
            "alliance": 3,
            "gateway": self.id,
            "height": self.height + 1,
            "previous": self.previous,
            "urgency": 0,
            "time_s": START_S,
            **changes,
        }
        return slave.seal(self.key, list(messages), **fields)

    def send(self, block: slave.SlaveBlock) -> Any:
        result = self.estate.main.send("relay", kinds.SlaveBlock(block=block.encode()))
        if not result.reason:
            self.height, self.previous = block.header.height, block.header.hash()
        return result


def test_a_block_is_taken_once_and_in_order(estate: Estate) -> None:
    gateway = Gateway(estate)
    first = gateway.block(b"one")
    assert not gateway.send(first).reason
    assert gateway.send(first).reason == "already"
    assert gateway.send(gateway.block(b"other", height=1, previous=slave.START)).reason == "fork"
    assert gateway.send(gateway.block(height=3)).reason == "bad-link"
    assert gateway.send(gateway.block(previous=bytes(32))).reason == "bad-link"
    assert not gateway.send(gateway.block()).reason
    assert gateway.send(first).reason == "already"
    assert estate.main.app.query("gateways")[0]["height"] == 2


def test_a_block_is_its_gateways(estate: Estate) -> None:
    gateway = Gateway(estate)
    assert gateway.send(gateway.block(gateway=kid("stranger"))).reason == "unknown-device"
    thief = Gateway(estate, "thief")
    assert thief.send(thief.block()).reason == "unknown-key"
    whole = gateway.block(b"one", b"two")
    for body, reason in ([b"one"], "bad-size"), ([b"two", b"one"], "bad-root"):
        false = slave.SlaveBlock(whole.signed, body)
        assert gateway.send(false).reason == reason
    assert not estate.enter("gate", "gateway", 2, status=STATUS.index("revoked")).reason
    assert gateway.send(whole).reason == "revoked"


def test_positions_follow_what_was_sealed(estate: Estate) -> None:
    gateway = Gateway(estate)
    for name in "meter", "other":
        assert not estate.enter(name, "meter", gateway=kid("gate") if name == "meter" else bytes(8)).reason
    meter, other = device(estate.world, "meter"), device(estate.world, "other")
    forged = envelope.sign(key("thief"), "tallygrid/report/1", envelope.split(meter.report()[1]).payload)
    meter.seq, meter.head = 0, bytes(32)
    rows = [meter.report()[1] for _ in range(3)]
    messages = [rows[0], b"rubbish", forged, other.report()[1], rows[1]]
    events = gateway.send(gateway.block(*messages)).events
    assert (events[0].fields["messages"], events[0].fields["reports"]) == (5, 2)
    assert estate.main.app.query("position", kid("meter")) == [2, meter_head(rows[:2]), kid("gate")]
    assert estate.main.app.query("position", kid("other")) is None
    assert not gateway.send(gateway.block(rows[0], rows[2])).reason
    assert estate.main.app.query("position", kid("meter"))[0] == 3


def test_a_coarse_report_moves_the_position_too(estate: Estate) -> None:
    gateway = Gateway(estate)
    assert not estate.enter("meter", "meter").reason
    meter = device(estate.world, "meter")
    assert not gateway.send(gateway.block(meter.report()[1])).reason
    head = meter.head
    for _ in range(4):
        meter.report()
    word = Coarse(
        id=meter.id,
        boot=1,
        seq=1,
        head=head,
        next_seq=5,
        next_head=meter.head,
        merged=4,
        first=None,
        last=[0, 0],
        time_s=START_S,
        quality=2,
    )
    assert not gateway.send(gateway.block(envelope.sign(meter.key, Coarse.DOMAIN, word.encode()))).reason
    assert estate.main.app.query("position", kid("meter")) == [5, meter.head, kid("gate")]


def meter_head(reports: list[bytes]) -> bytes:
    head = bytes(32)
    for raw in reports:
        head = report.decode(envelope.split(raw).payload).next_head
    return head
