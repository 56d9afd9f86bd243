"""The builtin os, with random bytes that a seed repeats. Only imported where the site gives one."""

from uhashlib import sha256
from uos import *

_key = b""
_count = 0


def _seed(key):
    global _key
    import random

    _key = bytes(key)
    random.seed(int.from_bytes(_key[:4], "big"))


def urandom(n):
    global _count
    r = b""
    while len(r) < n:
        r += sha256(_key + _count.to_bytes(4, "big")).digest()
        _count += 1
    return r[:n]
