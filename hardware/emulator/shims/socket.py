"""Sockets of the board. TCP streams go to the emulator, which is the air, the access point and the way to the broker.

Refuses: datagrams (ntptime has its own way). A name resolves to an address of the host that only this board can use.
"""

from struct import pack

import usocket
from _emulator import ask
from usocket import AF_INET, AF_INET6, SO_KEEPALIVE, SO_REUSEADDR, SOCK_DGRAM, SOCK_STREAM, SOL_SOCKET

IPPROTO_TCP = 6
IPPROTO_UDP = 17
IPPROTO_IP = 0
TCP_NODELAY = 1


def getaddrinfo(host, port, af=0, type=0, proto=0, flags=0):
    r = ask(113, pack("<H", port) + host.encode())  # q
    if r[0]:
        raise OSError(-202)  # as lwIP's resolver says it
    return [(1, SOCK_STREAM, 0, host, b"\x01\x00" + r[1:])]


def socket(af=AF_INET, type=SOCK_STREAM, proto=0):
    if type != SOCK_STREAM:
        raise OSError(93)
    return usocket.socket(1, SOCK_STREAM, 0)
