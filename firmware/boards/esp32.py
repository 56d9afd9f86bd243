"""ESP32-DevKitC (ESP32-WROOM-32).

Owns: pins and buses. Wiring, parts and warnings: docs/hardware.md.
Refuses: GPIO 6 to 11 (flash), 0, 2, 5, 12, 15 (strapping), 1 and 3 (console). 34 is an input only.
"""

from firmware.boards import Board


class Here(Board):
    NAME = "esp32"
    ARCH = "xtensawin"
    FIRMWARE = "ESP32_GENERIC"
    UARTS = ((2, 17, 16), (1, 32, 33))
    I2CS = ((0, 22, 21),)
    GPIOS = (13, 14, 18, 19, 23, 25, 26, 27)
    POWER_GOOD = 34
