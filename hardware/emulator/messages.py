"""What a board and the emulator say to each other: packets over an AF_UNIX stream pair, little-endian.

Owns: the message letters, their payloads, packing. Refuses: meaning (board.py, devices.py, shims/_emulator.py).
Invariants: a packet holds whole messages, to a board at most 550 bytes; every question gets exactly one `Y`.

A packet from a board is [size u16][ms u32][us u16][messages], one to a board [size u16][ms u32][us u16][until ms u32]
[messages], size being that of the messages. A message is [letter u8][size u16][payload]. ms counts modulo 2^30 as a
board's ticks do. In real time nobody looks at the times. In lock-step a board says what it has to say, then `W` or a
question; every packet to it lets it go on, at the time in its head, and move its own time up to `until` without asking.

| from the board | payload | answer |
| --- | --- | --- |
| B booted | | |
| W wait | ms i32 (-1: for ever), wants u8 (1: bytes on a UART end it, 2: bytes on a socket do) | any packet |
| A a socket ended my wait | | any packet |
| U UART set-up, u UART bytes | id u8, baud u32, tx i8, rx i8, bits u8, parity i8, stop u8; id u8, bytes | |
| t UART all sent? | id u8 | 0 or 1 |
| M pin mode, p pin level | pin u8, mode u8, pull i8, level u8; pin u8, level u8 | |
| I pin interrupt | pin u8, trigger u8 (1 rising, 2 falling) | |
| r pin? | pin u8 | level u8 |
| a ADC? | pin u8, attenuation u8 | microvolts u32, u16 |
| C I2C set-up | id u8, scl i8, sda i8, hz u32 | |
| i I2C transfer | id u8, address u8 (255: scan), read u16, stop u8, bytes to write | errno u8, bytes |
| R reset | cause u8, after ms u32 | |
| c RTC set | seconds i64 of the chip's epoch | |
| n RTC memory | bytes | |
| m RTC memory? | offset u16 | at most 500 bytes |
| w watchdog armed, f fed | ms u32; | |
| e flash erase | block u32 | i16: 0 or -errno |
| b flash program | block u32, offset u32, bytes | i16: 0 or -errno |
| N WLAN active | on u8 | |
| K WLAN connect, k disconnect | length u8, SSID, key; | |
| q where is? | port u16, host | 0 and an abstract socket address, or 1 |
| T network time? | host | seconds i64, or nothing |

| to the board | payload |
| --- | --- |
| H who you are (the first) | lock-step u8, cause u8, flash blocks u32, RTC seconds i64, epoch i64, id 6 bytes, seed |
| Y reply | as above |
| D UART bytes | id u8, bytes |
| F UART bytes to come | ms u32, id u8, bytes |
| E edge on a pin | pin u8 |
| L WLAN | status i16, RSSI i8, address |
| S RTC | seconds i64, ms u16: when it jumps, and before ticks that count on from the last one overflow |
"""

import struct
from collections.abc import Iterator

WRAP = 0x3FFFFFFF
PACKET_MAX = 550

_packet = struct.Struct("<HIH")
_to_board = struct.Struct("<HIHI")
_message = struct.Struct("<BH")
_wait = struct.Struct("<iB")
JUST_WAIT = 16  # bytes of a packet that says nothing but W


def pack(letter: str, payload: bytes = b"") -> bytes:
    return _message.pack(ord(letter), len(payload)) + payload


def packets(messages: list[bytes], now_us: int, until_us: int) -> bytes:
    """Messages for a board, in order, in packets that its buffer can take."""
    ms, us = divmod(now_us, 1000)
    until_ms = until_us // 1000 & WRAP
    joined, stream = b"", b""
    for message in messages:
        if joined and len(joined) + len(message) > PACKET_MAX:
            stream += _to_board.pack(len(joined), ms & WRAP, us, until_ms) + joined
            joined = b""
        joined += message
    return stream + _to_board.pack(len(joined), ms & WRAP, us, until_ms) + joined


def wait(payload: bytes) -> tuple[int, int]:
    ms, wants = _wait.unpack(payload)
    return ms, wants


class Reader:
    """Cuts what a board sends into packets."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[tuple[int, int, list[tuple[int, bytes]]]]:
        """Whole packets as (ms, us, messages); a message is (letter code, payload)."""
        data = self._rest + data if self._rest else data
        at = 0
        while len(data) - at >= 8:
            size, ms, us = _packet.unpack_from(data, at)
            end = at + 8 + size
            if len(data) < end:
                break
            at += 8
            found = []
            while at < end:
                letter, length = _message.unpack_from(data, at)
                at += 3 + length
                found.append((letter, data[at - length : at]))
            yield ms, us, found
        self._rest = data[at:]
