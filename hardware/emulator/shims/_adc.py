"""machine.ADC of an ESP32."""

from struct import unpack

from _emulator import ask
from machine import Pin


class ADC:
    ATTN_0DB = 0
    ATTN_2_5DB = 1
    ATTN_6DB = 2
    ATTN_11DB = 3

    def __init__(self, pin, atten=0):
        self._n = pin._n if isinstance(pin, Pin) else pin
        self._a = atten

    def atten(self, a):
        self._a = a

    def read_uv(self):
        return unpack("<IH", ask(97, bytes((self._n, self._a))))[0]  # a

    def read_u16(self):
        return unpack("<IH", ask(97, bytes((self._n, self._a))))[1]
