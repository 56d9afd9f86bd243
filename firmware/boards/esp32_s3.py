"""ESP32-S3-DevKitC-1 and boards with the same module.

Owns: pins and buses. Wiring, parts and warnings: docs/hardware.md.
Refuses: GPIO 0, 3, 45, 46 (strapping), 19 and 20 (USB), 26 to 37 (flash, PSRAM).
"""

from firmware.boards import Board


class Here(Board):
    NAME = "esp32-s3"
    ARCH = "xtensawin"
    FIRMWARE = "ESP32_GENERIC_S3"
    UARTS = ((1, 17, 18), (2, 15, 16))
    I2CS = ((0, 9, 8),)
    GPIOS = (4, 5, 6, 7, 10, 11, 12, 13)
    POWER_GOOD = 14
