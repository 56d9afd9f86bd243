"""ESP32-C3-DevKitM-1 and boards with the same module.

Owns: pins and buses. Wiring, parts and warnings: docs/hardware.md.
Refuses: GPIO 2, 8, 9 (strapping), 18 and 19 (USB), 11 to 17 (flash), 20 and 21 (console).
"""

from firmware.boards import Board


class Here(Board):
    NAME = "esp32-c3"
    ARCH = "rv32imc"
    FIRMWARE = "ESP32_GENERIC_C3"
    UARTS = ((1, 7, 6),)
    I2CS = ((0, 5, 4),)
    GPIOS = (0, 1, 3, 10)
    POWER_GOOD = None
