"""What is on a board besides the processor: pins, ADC, UARTs, I2C, RTC, watchdog, flash, as the messages ask for it.

Owns: the handlers of peripheral messages and the state of the peripherals. Refuses: buses' pace (bus.py), parts.
Invariants: a reset returns every peripheral to its state at power-on; outputs fall back to level 0.
"""

import struct

from .board import Board, Cause
from .bus import I2cBus, UartLine
from .flash import ERASE_US, PAGE, PROGRAM_US
from .port import PinSink, UartPort, Wiring
from .timeline import Event, cancel

OUT, OPEN_DRAIN = 3, 7
PULL_UP = 2
RISING, FALLING = 1, 2
ADC_RANGE_UV = (950_000, 1_250_000, 1_750_000, 3_100_000)  # by attenuation, ESP32 data sheet


class Devices:
    """Everything of one board that the wiring reaches."""

    def __init__(self, board: Board, wiring: Wiring, seed: int = 0, real_pace: bool = True) -> None:
        self.board, self.wiring = board, wiring
        self.real_pace = real_pace  # flash operations and I2C take their time
        self.lines: dict[int, UartLine] = {}
        for number, port in wiring.uart.items():
            self._line(number, port, seed + number)
        self.i2c = {n: I2cBus(board, parts) for n, parts in wiring.i2c.items()}
        self.levels: dict[int, int] = {}
        self._modes: dict[int, tuple[int, int]] = {}
        self._triggers: dict[int, int] = {}
        self._seen: dict[int, int] = {}
        self._edges: dict[int, Event] = {}
        self._watchdog_us = 0
        self._fed_us = 0
        self._watchdog: Event | None = None
        board.at_reset.append(self.forget)
        for letter, handler in {
            "U": self._uart_setup, "u": self._uart_write, "t": self._uart_sent,
            "M": self._pin_mode, "p": self._pin_set, "r": self._pin_get, "I": self._pin_interrupt, "a": self._adc,
            "C": self._i2c_setup, "i": self._i2c_transfer,
            "c": self._rtc_set, "n": self._memory_set, "m": self._memory_get,
            "w": self._watchdog_arm, "f": self._watchdog_feed,
            "e": self._flash_erase, "b": self._flash_program, "T": self._network_time,
        }.items():  # fmt: skip
            board.handlers[ord(letter)] = handler

    def forget(self) -> None:
        """A reset."""
        for line in self.lines.values():
            line.forget()
        for event in (*self._edges.values(), self._watchdog):
            cancel(event)
        self._edges.clear()
        self._triggers.clear()
        self._modes.clear()
        self._watchdog = None
        for pin, level in self.levels.items():
            if level and pin in self.wiring.sinks:
                self.wiring.sinks[pin].drive(0, self.board.now_us())
        self.levels.clear()

    # ---- UART

    def _line(self, number: int, port: UartPort, seed: int) -> UartLine:
        head = bytes((number,))

        def deliver(at_us: int, data: bytes) -> None:
            self.board.receive(at_us, head + data)

        self.lines[number] = UartLine(self.board, port, deliver, seed)
        return self.lines[number]

    def _uart_setup(self, payload: bytes) -> None:
        number, *settings = struct.unpack("<BIbbBbB", payload)
        line = self.lines.get(number) or self._line(number, UartPort(), number)
        line.configure(*settings)

    def _uart_write(self, payload: bytes) -> None:
        self.lines[payload[0]].write(payload[1:])

    def _uart_sent(self, payload: bytes) -> bytes:
        return bytes((self.lines[payload[0]].sent(),))

    # ---- pins

    def _pin_mode(self, payload: bytes) -> None:
        pin, mode, pull, level = struct.unpack("<BBbB", payload)
        self._modes[pin] = mode, pull
        if mode in (OUT, OPEN_DRAIN):
            self._drive(pin, level)

    def _pin_set(self, payload: bytes) -> None:
        self._drive(payload[0], payload[1])

    def _drive(self, pin: int, level: int) -> None:
        self.levels[pin] = level
        sink = self.wiring.sinks.get(pin)
        if sink is not None:
            self.board.soon(lambda: self._driven(sink, level))

    def _driven(self, sink: PinSink, level: int) -> None:
        sink.drive(level, self.board.now_us())
        self.changed()  # what is read back of it begins to move

    def _level(self, pin: int) -> int:
        source = self.wiring.sources.get(pin)
        if source is not None:
            return source.level(self.board.now_us())
        return int(self._modes.get(pin, (0, -1))[1] == PULL_UP)

    def _pin_get(self, payload: bytes) -> None:
        self.board.ask_parts(lambda: bytes((self._level(payload[0]),)))

    def _pin_interrupt(self, payload: bytes) -> None:
        pin, trigger = payload

        def arm() -> None:
            self._triggers[pin] = trigger
            self._seen[pin] = self._level(pin)
            self._watch(pin)

        self.board.soon(arm)

    def _watch(self, pin: int) -> None:
        cancel(self._edges.pop(pin, None))
        source = self.wiring.sources.get(pin)
        if source is None or not self._triggers.get(pin):
            return
        due_us = source.next_edge_us(self.board.now_us())
        if due_us is not None:
            self._edges[pin] = self.board.at(due_us, lambda: self._edge(pin))

    def _edge(self, pin: int) -> None:
        level = self._level(pin)
        if level != self._seen[pin]:
            self._seen[pin] = level
            if self._triggers[pin] & (RISING if level else FALLING):
                self.board.tell("E", bytes((pin,)), wakes=True)
        self._watch(pin)

    def changed(self) -> None:
        """The grid changed: edges may come at other times, and some may be due now."""
        for pin, trigger in self._triggers.items():
            if trigger and pin in self.wiring.sources:
                self._edge(pin)

    def _adc(self, payload: bytes) -> None:
        self.board.ask_parts(lambda: self._converted(*payload))

    def _converted(self, pin: int, attenuation: int) -> bytes:
        source = self.wiring.analog.get(pin)
        top_uv = ADC_RANGE_UV[attenuation & 3]
        volts = source.voltage_v(self.board.now_us()) if source else 0.0
        uv = min(max(int(volts * 1e6), 0), top_uv)
        return struct.pack("<IH", uv, uv * 65535 // top_uv)

    # ---- I2C

    def _i2c_setup(self, payload: bytes) -> None:
        number, _, _, hz = struct.unpack("<BbbI", payload)
        self.i2c.setdefault(number, I2cBus(self.board, ())).hz = hz

    def _i2c_transfer(self, payload: bytes) -> None:
        number, address, count, _ = struct.unpack_from("<BBHB", payload)
        data = payload[5:]
        bus = self.i2c[number]

        def transfer() -> bytes:
            errno, read = bus.transfer(address, data, count)
            return bytes((errno,)) + read

        self.board.ask_parts(transfer, bus.takes_us(len(data), count) if self.real_pace else 0)

    # ---- RTC, watchdog, time from the network

    def _rtc_set(self, payload: bytes) -> None:
        (seconds,) = struct.unpack("<q", payload)
        self.board.rtc_offset_us = (seconds + self.board.spec.epoch_s) * 1_000_000 - self.board.now_us()

    def set_clock(self, seconds_since_1970: int) -> None:
        """A fault: the RTC jumps."""
        self._rtc_set(struct.pack("<q", seconds_since_1970 - self.board.spec.epoch_s))
        self.board.tell_rtc()

    def _memory_set(self, payload: bytes) -> None:
        self.board.rtc_memory = payload

    def _memory_get(self, payload: bytes) -> bytes:
        (offset,) = struct.unpack("<H", payload)
        return self.board.rtc_memory[offset : offset + 500]

    def _network_time(self, payload: bytes) -> bytes:
        return struct.pack("<q", self.board.now_us() // 1_000_000 - self.board.spec.epoch_s)

    def _watchdog_arm(self, payload: bytes) -> None:
        self._watchdog_us = struct.unpack("<I", payload)[0] * 1000
        self._watchdog_feed(payload)
        cancel(self._watchdog)
        self._watchdog = self.board.timeline.at(self._fed_us + self._watchdog_us, self._bite)

    def _watchdog_feed(self, payload: bytes) -> None:
        self._fed_us = self.board.now_us()

    def _bite(self) -> None:
        due_us = self._fed_us + self._watchdog_us
        if self.board.timeline.now_us() >= due_us:
            self.board.reset(Cause.WATCHDOG, "watchdog")
        else:
            self._watchdog = self.board.timeline.at(due_us, self._bite)

    # ---- flash

    def _flash_erase(self, payload: bytes) -> None:
        (block,) = struct.unpack("<I", payload)
        self._flash_done(self.board.flash.erase(block), ERASE_US)

    def _flash_program(self, payload: bytes) -> None:
        block, offset = struct.unpack_from("<II", payload)
        data = payload[8:]
        self._flash_done(self.board.flash.program(block, offset, data), -(-len(data) // PAGE) * PROGRAM_US)

    def _flash_done(self, result: int, busy_us: int) -> None:
        due_us = self.board.now_us() + (busy_us if self.real_pace else 0)
        self.flash_busy_until_us = due_us
        self.board.answer_at(due_us, struct.pack("<h", result))

    flash_busy_until_us = 0
