"""ESP32-C6-DevKitC-1 and boards with the same module.

Owns: pins and buses. Wiring, parts and warnings: docs/hardware.md.
Refuses: GPIO 4, 5, 8, 9, 15 (strapping), 12 and 13 (USB), 16 and 17 (console), 24 to 30 (flash).
"""

from firmware.boards import Board


class Here(Board):
    NAME = "esp32-c6"
    ARCH = "rv32imc"
    FIRMWARE = "ESP32_GENERIC_C6"
    UARTS = ((1, 19, 18),)
    I2CS = ((0, 7, 6),)
    GPIOS = (0, 1, 2, 3, 10, 11)
    POWER_GOOD = 20
