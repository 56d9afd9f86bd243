"""Relays: plain, latching, with a contact to read back, at a zero crossing; each against its emulated part."""

from dataclasses import dataclass

import pytest

from hardware.emulator.parts.relay import LatchingRelay, Relay
from tests.firmware.bench_drivers import Bench, Runtime, World

COIL, COIL_OPEN, CONTACT, CROSSING = 1, 2, 3, 4
WITH_CONTACT = "lambda: 1 - pin(3)()"


@dataclass
class Circuit:
    """The port `Switch`."""

    closed: bool = False

    def set(self, closed: bool, now_us: int) -> None:
        self.closed = closed


def wired(world: World, relay: Relay) -> None:
    """The relay's coils and contact on the board's pins."""
    sinks = {COIL: relay}
    if isinstance(relay, LatchingRelay):
        sinks = {COIL: relay.set_coil, COIL_OPEN: relay.reset_coil}  # type: ignore[dict-item]
    plain = world._pin

    def pin(number: int, level: int | None) -> int:
        if level is not None and number in sinks:
            sinks[number].drive(level, world.now_us())
        return plain(number, level)

    world._pin = pin  # type: ignore[method-assign]
    world.inputs[CONTACT] = lambda: relay.contact.level(world.now_us())


def settle(bench: Bench, ms: int = 200) -> None:
    for _ in range(ms // 5):
        bench.world.advance()
        assert bench.poll() is None


def plain(runtime: Runtime, contact: bool = True, on: int = 1) -> tuple[Bench, Circuit, Relay]:
    world, circuit = World(), Circuit()
    relay = Relay(circuit, on)
    wired(world, relay)
    make = f"Relay(pin(1), {WITH_CONTACT if contact else None}, on={on})"
    return Bench(runtime, world, "relay", make), circuit, relay


@pytest.mark.parametrize("on", [0, 1])
def test_plain(runtime: Runtime, on: int) -> None:
    bench, circuit, _ = plain(runtime, on=on)
    assert not circuit.closed and bench.world.outputs[COIL] == 1 - on
    bench.call("d.set(-500)")
    assert circuit.closed, "an order is carried out at once"
    assert bench.call("d.closed") is None, "nobody looked yet"
    settle(bench)
    assert bench.call("d.closed") is True and bench.call("d.read_back()") is None
    bench.call("d.set(0)")
    settle(bench)
    assert not circuit.closed and bench.call("d.closed") is False and bench.call("d.read_back()") == 0


def test_the_contact_is_not_believed_while_it_bounces(runtime: Runtime) -> None:
    bench, _, relay = plain(runtime)
    bench.call("d.close()")
    seen = set()
    for _ in range(40):
        bench.world.advance(1)
        bench.poll()
        seen.add(bench.call("d.closed"))
    assert seen == {None, True}
    assert relay.contact.next_edge_us(bench.world.now_us()) is None


def test_without_a_contact_nothing_is_claimed(runtime: Runtime) -> None:
    bench, _, _ = plain(runtime, contact=False)
    bench.call("d.close()")
    settle(bench)
    assert bench.call("(d.closed, d.read_back())") == (None, None)


@pytest.mark.parametrize("welded", [True, False])
def test_a_stuck_relay_is_told_by_its_contact(runtime: Runtime, welded: bool) -> None:
    bench, circuit, relay = plain(runtime)
    if welded:
        bench.call("d.close()")
        settle(bench)
    relay.stuck = True
    bench.call("d.open()" if welded else "d.close()")
    settle(bench)
    assert circuit.closed is welded
    assert bench.call("d.closed") is welded


def test_a_worn_relay_chatters_for_long(runtime: Runtime) -> None:
    bench, _, relay = plain(runtime)
    relay.contact.bouncing = True
    bench.call("d.close()")
    seen = []
    for _ in range(90):
        bench.world.advance()
        bench.poll()
        seen.append(bench.call("d.closed"))
    assert {True, False} <= set(seen) and seen[-1] is True


def latching(runtime: Runtime, pulse_ms: int = 60) -> tuple[Bench, Circuit, LatchingRelay]:
    world, circuit = World(), Circuit()
    relay = LatchingRelay(circuit)
    wired(world, relay)
    make = f"LatchingRelay(pin(1), pin(2), {WITH_CONTACT}, pulse_ms={pulse_ms})"
    return Bench(runtime, world, "relay", make), circuit, relay


def test_latching(runtime: Runtime) -> None:
    bench, circuit, _ = latching(runtime)
    assert bench.world.outputs == {COIL: 0, COIL_OPEN: 0}, "a new driver moves nothing by itself"
    for order, state in (("close", True), ("open", False), ("close", True)):
        bench.call(f"d.{order}()")
        settle(bench)
        assert circuit.closed is state and bench.call("d.closed") is state
        assert bench.world.outputs == {COIL: 0, COIL_OPEN: 0}
    pulses = [(pin, level) for _, pin, level in bench.world.drives if level]
    assert pulses == [(COIL, 1), (COIL_OPEN, 1), (COIL, 1)]


def test_latching_pulse_has_its_length(runtime: Runtime) -> None:
    bench, _, _ = latching(runtime)
    bench.call("d.close()")
    began_ms = bench.world.now_ms
    settle(bench)
    ended_ms = next(ms for ms, pin, level in bench.world.drives if pin == COIL and not level and ms > began_ms)
    assert 60 <= ended_ms - began_ms <= 75


def test_latching_pulse_too_short_moves_nothing(runtime: Runtime) -> None:
    bench, circuit, _ = latching(runtime, pulse_ms=20)
    bench.call("d.close()")
    settle(bench)
    assert not circuit.closed and bench.call("d.closed") is False


def test_an_order_is_given_once(runtime: Runtime) -> None:
    bench, _, _ = latching(runtime)
    for _ in range(3):
        bench.call("d.close()")
        settle(bench)
    assert len([level for _, pin, level in bench.world.drives if level]) == 1


def crossing(runtime: Runtime) -> tuple[Bench, Circuit]:
    world, circuit = World(), Circuit()
    wired(world, Relay(circuit))
    make = f"Relay(pin(1), {WITH_CONTACT}, crossing=ZeroCrossing(pin(4), timer, operate_ms=8, release_ms=5))"
    return Bench(runtime, world, "relay", make), circuit


def test_at_a_zero_crossing(runtime: Runtime) -> None:
    """8 ms to close, half waves of 10 ms: the coil is driven 2 ms after a crossing, and the contact meets the next."""
    bench, circuit = crossing(runtime)
    bench.call("d.close()")
    settle(bench, 30)
    assert not circuit.closed, "it waits for the crossing"
    bench.call("edge(4)")
    assert not circuit.closed and bench.call("timer.waiting[0]") == 2
    bench.world.advance(2)
    bench.call("ring()")
    assert circuit.closed
    settle(bench)
    assert bench.call("d.closed") is True


def test_without_mains_nobody_waits_for_a_crossing(runtime: Runtime) -> None:
    bench, circuit = crossing(runtime)
    bench.call("d.close()")
    settle(bench, 150)
    assert circuit.closed
    settle(bench, 50)
    assert bench.call("d.closed") is True
