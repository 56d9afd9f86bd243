"""The CRC of Modbus RTU without native code.

Owns: the remainder over bytes. Refuses: lengths; the caller knows how much it read.
Invariant: the same as crc_native.py.
"""


def remainder(data, count):
    """The CRC of the first `count` bytes; 0 over a frame that carries its own."""
    crc = 0xFFFF
    for i in range(count):
        crc ^= data[i]
        for _ in range(8):
            crc = crc >> 1 ^ 0xA001 if crc & 1 else crc >> 1
    return crc
