"""Raspberry Pi Pico W.

Owns: pins and buses. Wiring, parts and warnings: docs/hardware.md.
Refuses: GPIO 23, 24, 25, 29 (radio).
"""

from firmware.boards import Board


class Here(Board):
    NAME = "rp2040-w"
    ARCH = "armv6m"
    FIRMWARE = "RPI_PICO_W"
    UARTS = ((0, 0, 1), (1, 4, 5))
    I2CS = ((0, 9, 8), (1, 11, 10))
    GPIOS = (12, 13, 14, 15, 18, 19, 20, 21)
    POWER_GOOD = 22
    FLASH_BYTES = 848 << 10
