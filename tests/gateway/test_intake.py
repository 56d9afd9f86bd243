"""Everything a device, or somebody in its place, may send: what is taken, what is refused and why, and who is told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway import intake
from gateway.intake import DEVICE_A_SECOND, MESSAGE_MAX, Intake, Opened
from gateway.reasons import REASONS, Refusal
from gateway.registry import Registry, attested_id
from gateway.sequence import Position, Track
from gateway.service_batch import Batches, ring
from gateway.store_read import Books
from tests.gateway.rig import KEY, REGISTRAR
from tests.gateway.test_store import batches, begun, message
from tests.softdevice import START_S, SoftDevice
from wire import envelope, topics
from wire.chain.keys import PrivateKey
from wire.command import Receipt
from wire.enrol import Enrolment, Entry
from wire.errors import WireError
from wire.hello import Hello
from wire.rows import DOMAIN, HEAD_START, SYNCED, encode, encode_row
from wire.state import State

OTHER = PrivateKey.derive("somebody else")


class NoMemory:
    def track(self, device: object) -> Track | None:
        return Track()

    def head_at(self, device: bytes, seq: int) -> bytes | None:
        return None

    def number(self, device: bytes) -> int:
        return 4

    def answered(self, device: bytes, receipt: bytes) -> bool:
        return False


def an_intake(*devices: SoftDevice, gateway: bytes = KEY.kid) -> Intake:
    registry = Registry(ring([REGISTRAR.public_key]))
    for device in devices:
        registry.take(device.entry(REGISTRAR, gateway))
    return Intake(KEY.kid, registry, NoMemory())


def decide(inbox: Intake, topic: str, raw: bytes, now_ms: int = 0) -> intake.Decision:
    """As a batch does it."""
    opened = inbox.open(topic, raw, now_ms)
    if not isinstance(opened, Opened):
        return opened
    try:
        inbox.registry.keys.verify(*opened.claim())
    except WireError as error:
        return intake.Refused(error.reason, error.detail, opened.device.id)
    return inbox.judge(opened)


def a_row(wh: int) -> bytes:
    return encode_row(60, wh, 0, 300, 230_000, 1_300)


def signed(device: SoftDevice, id: bytes | None = None, key: PrivateKey | None = None, domain: str = DOMAIN) -> bytes:
    payload = encode(id or device.id, 1, 0, HEAD_START, START_S, SYNCED, [a_row(5)])
    return envelope.sign(key or device.key, domain, payload)


ONE, TWO = SoftDevice("one"), SoftDevice("two")
REPORT = signed(ONE)

BAD: list[tuple[str, str, bytes]] = [
    ("forged", "bad-signature", REPORT[:-1] + bytes([REPORT[-1] ^ 1])),
    ("under another key", "wrong-id", signed(ONE, key=OTHER)),
    ("under another device's key", "wrong-id", signed(ONE, key=TWO.key)),
    ("of another device", "wrong-id", signed(ONE, id=TWO.id)),
    ("of another domain", "bad-signature", signed(ONE, domain=Hello.DOMAIN)),
    ("truncated", "truncated", REPORT[:-1]),
    ("with something behind it", "trailing", REPORT + b"\0"),
    ("empty", "truncated", b""),
    ("too long", "too-big", REPORT + bytes(MESSAGE_MAX)),
    ("no envelope", "not-signed", b"{" + REPORT[1:]),
    ("a payload that is no report", "bad-type", envelope.sign(ONE.key, DOMAIN, b"\x80")),
]


@pytest.mark.parametrize("reason, raw", [pytest.param(reason, raw, id=name) for name, reason, raw in BAD])
def test_bad_reports_have_a_reason(reason: str, raw: bytes) -> None:
    found = decide(an_intake(ONE, TWO), topics.up(ONE.id, "report"), raw)
    assert isinstance(found, intake.Refused) and found.reason == reason


@pytest.mark.parametrize(
    "topic, reason",
    [
        ("tallygrid/x/up/report", "bad-field"),
        ("", "bad-field"),
        ("other/things", "bad-field"),
        (topics.up(ONE.id, "report").replace("report", "rubbish"), "bad-field"),
        (topics.down(ONE.id, "command"), "forged"),
        (topics.up(TWO.id, "report"), "wrong-id"),
        (topics.up(ONE.id, "hello"), "bad-signature"),
        (topics.up(OTHER.kid, "report"), "unknown-device"),
    ],
)
def test_wrong_topics_have_a_reason(topic: str, reason: str) -> None:
    found = decide(an_intake(ONE, TWO), topic, REPORT)
    assert isinstance(found, intake.Refused) and found.reason == reason


@given(st.binary(max_size=400), st.sampled_from(topics.UP))
@settings(max_examples=200, deadline=None)
def test_rubbish_is_refused_whatever_it_is(raw: bytes, kind: str) -> None:
    found = decide(an_intake(ONE), topics.up(ONE.id, kind), raw)
    if kind == "gone":
        assert isinstance(found, intake.Ignored)
    else:
        assert isinstance(found, intake.Refused)


def test_every_single_bit_counts() -> None:
    inbox = an_intake(ONE)
    for place in range(len(REPORT)):
        bad = bytearray(REPORT)
        bad[place] ^= 1 << place % 8
        assert isinstance(decide(inbox, topics.up(ONE.id, "report"), bytes(bad), place * 1_000), intake.Refused)


def test_another_gateways_device_is_refused_and_told() -> None:
    found = decide(an_intake(ONE, gateway=OTHER.kid), topics.up(ONE.id, "report"), REPORT)
    assert isinstance(found, intake.Refused) and found.reason == "foreign-gateway"


def test_a_flood_costs_no_signature() -> None:
    inbox = an_intake(ONE, TWO)
    topic = topics.up(ONE.id, "report")
    opened = [inbox.open(topic, REPORT, 500) for _ in range(DEVICE_A_SECOND + 5)]
    late = [one for one in opened if isinstance(one, intake.Refused)]
    assert [one.reason for one in late] == ["flood"] * 5
    assert isinstance(inbox.open(topics.up(TWO.id, "report"), signed(TWO), 500), Opened)
    assert isinstance(inbox.open(topic, REPORT, 1_500), Opened)


@pytest.mark.parametrize("step_ms", [-365 * 86_400_000, 365 * 86_400_000])
def test_a_clock_that_steps_mutes_nobody(step_ms: int) -> None:
    inbox = an_intake(ONE)
    topic = topics.up(ONE.id, "report")
    for _ in range(DEVICE_A_SECOND + 1):
        inbox.open(topic, REPORT, 500)
    assert isinstance(inbox.open(topic, REPORT, 500 + step_ms), Opened)


# ---------------------------------------------------------------- what is stored, and what somebody must look at


def refusals(found: Batches) -> list[str]:
    return [row["reason"] for row in Books.open(found.store.path).refused(100)]


def test_a_clone_is_refused_kept_and_told(tmp_path: Path) -> None:
    async def story() -> None:
        device, clone = SoftDevice("one"), SoftDevice("one")
        found = await begun(tmp_path, device)
        await found.take([message(device, "report", device.report())])
        other = clone.report(wh_a_row=7)
        await found.take([message(clone, "report", other), message(clone, "report", clone.report())])
        assert refusals(found) == ["clone", "clone"]
        assert Books.open(found.store.path).refused(2)[1]["raw"] == other
        assert found.alarms.standing["clone", _text(device)].count == 2
        assert found.durable(device.id).next_seq == 10  # type: ignore[union-attr]

    asyncio.run(story())


def test_a_replay_is_no_alarm_and_no_second_reading(tmp_path: Path) -> None:
    async def story() -> None:
        device = SoftDevice("one")
        found = await begun(tmp_path, device)
        reports = [message(device, "report", device.report()) for _ in range(3)]
        await found.take(reports)
        assert await found.take(reports[::-1]) == [device.id]
        assert (found.totals["duplicate"], found.totals["stored"]) == (3, 4)
        assert not found.alarms.standing

    asyncio.run(story())


def test_a_retained_message_is_refused(tmp_path: Path) -> None:
    async def story() -> None:
        device = SoftDevice("one")
        found = await begun(tmp_path, device)
        await found.take([message(device, "report", device.report())._replace(retained=True)])
        assert refusals(found) == ["retained"]

    asyncio.run(story())


def test_a_gap_is_told_and_over_when_it_is_filled(tmp_path: Path) -> None:
    async def story() -> None:
        device = SoftDevice("one")
        found = await begun(tmp_path, device)
        first, second = device.report(), device.report()
        assert await found.take([message(device, "report", second)]) == [device.id]
        assert ("gap", _text(device)) in found.alarms.standing
        await found.take([message(device, "report", first)])
        assert not found.alarms.standing
        assert found.durable(device.id).next_seq == 20  # type: ignore[union-attr]

    asyncio.run(story())


def test_what_is_held_outlives_a_restart(tmp_path: Path) -> None:
    async def story() -> None:
        device = SoftDevice("one")
        found = await begun(tmp_path, device)
        first, second = device.report(), device.report()
        await found.take([message(device, "report", second)])
        found.store.close()
        again = batches(tmp_path)
        await again.take([message(device, "report", first)])
        assert again.durable(device.id).next_seq == 20  # type: ignore[union-attr]

    asyncio.run(story())


def test_refusals_are_counted_always_and_written_down_within_reason(tmp_path: Path) -> None:
    async def story() -> None:
        device = SoftDevice("one")
        found = await begun(tmp_path, device)
        await found.take([message(device, "report", b"rubbish")] * 100)
        assert len(refusals(found)) == 20
        assert Books.open(found.store.path).counts()["refused"] == 100

    asyncio.run(story())


def _text(device: SoftDevice) -> str:
    return topics.up(device.id, "report").split("/")[1]


def test_suspect_rows_are_stored_counted_and_told(tmp_path: Path) -> None:
    async def story() -> None:
        device = SoftDevice("one")
        found = await begun(tmp_path, device)
        await found.take([message(device, "report", device.report())])
        device.import_wh = 0
        await found.take([message(device, "report", device.report())])
        assert found.totals["suspect:register-fell"] == 1
        assert found.durable(device.id).next_seq == 20  # type: ignore[union-attr]
        assert found.alarms.standing["suspect", _text(device)].detail == "register-fell"

    asyncio.run(story())


# ---------------------------------------------------------------- words of stations


def state(device: SoftDevice, number: int) -> bytes:
    word = State(
        id=device.id, number=number, seq=0, stored_wh=100, capacity_wh=1_000, soc_milli=100, temperature_dc=250,
        supply_ok=1, acquire_ok=1, time_s=START_S, quality=SYNCED,
    )  # fmt: skip
    return envelope.sign(device.key, State.DOMAIN, word.encode())


def receipt(device: SoftDevice, part: int) -> bytes:
    word = Receipt(
        station=device.id, command=bytes(16), counter=1, part=part, outcome=0, reason=0, before=[0, 0], after=[0, 0],
        first_seq=0, last_seq=0, time_s=START_S,
    )  # fmt: skip
    return envelope.sign(device.key, Receipt.DOMAIN, word.encode())


def test_states_rise_and_receipts_come_once(tmp_path: Path) -> None:
    async def story() -> None:
        station = SoftDevice("one", role=1)
        found = await begun(tmp_path, station)
        words = [message(station, "state", state(station, number)) for number in (3, 3, 2, 4)]
        words += [message(station, "receipt", receipt(station, part)) for part in (1, 1, 2)]
        await found.take(words)
        await found.take(words)
        assert refusals(found) == ["old-number"] * 6
        assert found.totals["stored"] == 1 + 2 + 2

    asyncio.run(story())


# ---------------------------------------------------------------- keys


def rotation(device: SoftDevice, new: PrivateKey, old: PrivateKey) -> bytes:
    word = Enrolment(id=device.id, public_key=new.public_key, role=0, board="test", firmware=bytes(32))
    return envelope.sign(old, Enrolment.ROTATION_DOMAIN, envelope.sign(new, Enrolment.DOMAIN, word.encode()))


def entry(who: SoftDevice, serial: int, **changed: object) -> bytes:
    word = Entry.decode(envelope.split(who.entry(REGISTRAR, KEY.kid, serial)).payload)
    for name, value in changed.items():
        setattr(word, name, value)
    return envelope.sign(REGISTRAR, Entry.DOMAIN, word.encode())


NEW = PrivateKey.derive("the next key")


def test_a_rotated_key_is_good_until_the_new_one_has_spoken(tmp_path: Path) -> None:
    async def story() -> None:
        device = SoftDevice("one")
        found = await begun(tmp_path, device)
        old = device.key
        first, second = device.report(), device.report()
        await found.enter(entry(device, 2, status=1, enrolment=rotation(device, NEW, old)))
        await found.take([message(device, "report", first)])
        device.key = NEW
        third = device.report()
        await found.take([message(device, "report", third), message(device, "report", second)])
        assert found.durable(device.id).next_seq == 30  # type: ignore[union-attr]
        device.key = old
        late = device.report()
        await found.take([message(device, "report", late), message(device, "hello", device.hello())])
        assert refusals(found) == ["old-key", "old-key"]
        again = batches(tmp_path)
        await again.take([message(device, "report", late)])
        assert again.totals["refused:old-key"] == 3, "the switch outlives a restart"

    asyncio.run(story())


ROTATIONS: list[tuple[str, Callable[[SoftDevice], bytes], str]] = [
    ("by a stranger", lambda device: rotation(device, NEW, OTHER), "unknown-key"),
    ("by nobody", lambda device: envelope.split(rotation(device, NEW, OTHER)).payload, "unknown-key"),
    ("for somebody else", lambda device: TWO.enrolment(), "wrong-id"),
]


@pytest.mark.parametrize("enrolment, reason", [pytest.param(make, why, id=name) for name, make, why in ROTATIONS])
def test_a_new_key_needs_the_old_ones_word(enrolment: Callable[[SoftDevice], bytes], reason: str) -> None:
    inbox = an_intake(ONE)
    with pytest.raises(WireError) as found:
        inbox.registry.take(entry(ONE, 2, status=1, enrolment=enrolment(ONE)))
    assert found.value.reason == reason


def test_a_revoked_device_is_over(tmp_path: Path) -> None:
    async def story() -> None:
        device = SoftDevice("one")
        found = await begun(tmp_path, device)
        await found.take([message(device, "report", device.report())])
        await found.enter(entry(device, 2, status=2))
        await found.take([message(device, "report", device.report())])
        assert refusals(found) == ["revoked"]
        assert found.durable(device.id).next_seq == 10  # type: ignore[union-attr]

    asyncio.run(story())


def test_a_device_that_cannot_sign_is_named_by_its_gateway() -> None:
    word = Enrolment(id=KEY.kid, public_key=KEY.public_key, role=0, board="", firmware=bytes(32))
    raw = envelope.sign(KEY, Enrolment.DOMAIN, word.encode())
    id = attested_id(KEY.kid, "hall meter")
    registry = Registry(ring([REGISTRAR.public_key]))
    device = registry.take(entry(ONE, 1, device=id, name="hall meter", enrolment=raw))
    assert (device.id, device.kids) == (id, ())
    with pytest.raises(WireError, match="wrong-id"):
        registry.take(entry(ONE, 2, device=id, name="another meter", enrolment=raw))


# ---------------------------------------------------------------- where a device's rows go on


def test_the_main_chain_says_where_a_device_goes_on(tmp_path: Path) -> None:
    async def story() -> None:
        device = SoftDevice("one")
        found, asked = batches(tmp_path), list[bytes]()
        found.ask = asked.append
        await found.enter(device.entry(REGISTRAR, KEY.kid))
        device.report()
        head, seq = device.head, device.seq
        here = device.report()
        await found.take([message(device, "hello", device.hello())])
        assert asked == [device.id]
        await found.take([message(device, "report", here)])
        assert refusals(found) == ["no-position"]
        assert found.beats.due(10**15, SYNCED) == []
        await found.place(device.id, Position(seq, head))
        (beat,) = found.beats.due(10**15, SYNCED)
        assert (beat.next_seq, beat.head) == (seq, head)
        await found.take([message(device, "report", here)])
        assert found.durable(device.id).next_seq == 20  # type: ignore[union-attr]

    asyncio.run(story())


def test_a_device_that_comes_back_is_asked_for_again(tmp_path: Path) -> None:
    async def story() -> None:
        device = SoftDevice("one")
        found = await begun(tmp_path, device)
        asked = list[bytes]()
        found.ask = asked.append
        await found.take([message(device, "report", device.report())])
        await found.enter(entry(device, 2, gateway=OTHER.kid))
        away = device.report()
        await found.take([message(device, "report", away)])
        assert refusals(found) == ["foreign-gateway"]
        await found.enter(entry(device, 3))
        await found.take([message(device, "hello", device.hello())])
        assert asked == [device.id]
        await found.place(device.id, Position(device.seq, device.head))
        await found.take([message(device, "report", away), message(device, "report", device.report())])
        assert found.durable(device.id).next_seq == 30  # type: ignore[union-attr]
        assert found.totals["duplicate"] == 1

    asyncio.run(story())


# ---------------------------------------------------------------- enrolment


def test_enrolments_wait_for_the_operator_while_pairing_is_open(tmp_path: Path) -> None:
    async def story() -> None:
        found = batches(tmp_path)
        await found.take([message(ONE, "enrolment", ONE.enrolment())])
        assert [id for id, _, _ in Books.open(found.store.path).enrolments()] == [ONE.id]
        found.pairing = lambda: False
        await found.take([message(TWO, "enrolment", TWO.enrolment()), message(TWO, "enrolment", ONE.enrolment())])
        assert refusals(found) == ["wrong-id", "pairing-closed"]
        await found.enter(ONE.entry(REGISTRAR, KEY.kid))
        assert Books.open(found.store.path).enrolments() == []

    asyncio.run(story())


def test_reasons_are_closed() -> None:
    for reason in REASONS:
        assert Refusal(reason).reason == reason
    with pytest.raises(AssertionError):
        Refusal("something else")
