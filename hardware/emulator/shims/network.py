"""WLAN station as on an ESP32. What comes of connecting is the emulator's to say."""

from struct import pack, unpack_from

import _emulator as _e

STA_IF = 0
AP_IF = 1
STAT_IDLE = 1000
STAT_CONNECTING = 1001
STAT_GOT_IP = 1010
STAT_NO_AP_FOUND = 201
STAT_WRONG_PASSWORD = 202
STAT_BEACON_TIMEOUT = 200
STAT_ASSOC_FAIL = 203
STAT_HANDSHAKE_TIMEOUT = 204


class WLAN:
    IF_STA = 0
    IF_AP = 1
    PM_NONE = 0
    PM_PERFORMANCE = 1
    PM_POWERSAVE = 2
    _active = False
    _status = STAT_IDLE
    _ip = "0.0.0.0"
    _rssi = 0

    def __init__(self, id=STA_IF):
        if id != STA_IF:
            raise OSError(95)

    def active(self, on=None):
        if on is None:
            return WLAN._active
        WLAN._active = bool(on)
        if not on:
            WLAN._status = STAT_IDLE
        _e.tell(110 - 32, pack("<B", bool(on)))  # N
        return WLAN._active

    def connect(self, ssid=None, key=None, *, bssid=None):
        if not WLAN._active:
            raise OSError("Wifi Internal State Error")
        WLAN._status = STAT_CONNECTING
        ssid = (ssid or "").encode()
        _e.tell(75, pack("<B", len(ssid)) + ssid + (key or "").encode())  # K

    def disconnect(self):
        WLAN._status = STAT_IDLE
        _e.tell(107)  # k

    def isconnected(self):
        _e.turn()
        return WLAN._status == STAT_GOT_IP

    def status(self, param=None):
        _e.turn()
        if param == "rssi":
            return WLAN._rssi
        return WLAN._status

    def ifconfig(self, config=None):
        return WLAN._ip, "255.255.255.0", "10.0.0.1", "10.0.0.1"

    def ipconfig(self, param=None, **kw):
        if param == "addr4":
            return WLAN._ip, "255.255.255.0"

    def config(self, param=None, **kw):
        if param == "mac":
            import machine

            return machine.unique_id()

    def scan(self):
        return []


def _status(buf, i, n):
    WLAN._status, WLAN._rssi = unpack_from("<hb", buf, i)
    WLAN._ip = bytes(memoryview(buf)[i + 3 : i + n]).decode()


_e.on[76] = _status  # L


def hostname(name=None):
    return name or "mpy-board"


def country(code=None):
    return code or "XX"
