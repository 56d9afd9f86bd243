"""ECDSA (ES256) and ECDH on P-256, on MicroPython and CPython.

Owns: keys, deterministic signatures (RFC 6979), verification, shared secrets, and every check of points and ranges.
Refuses: a private key outside 1 .. n-1; a public key that is not 65 bytes 0x04 X Y of a point on the curve; r or s
outside 1 .. n-1. A secret function raises ValueError, `verify` says False.
Invariants: with a secret, the same operations run in the same order whatever its value; the nonce is inverted blinded.
That stands against timing over a network, not against someone who measures the board's current: see `atecc608.py`.
"""

from hashlib import sha256
from os import urandom

from firmware.crypto import points
from firmware.crypto.hmac import hmac_sha256
from firmware.crypto.points import N, P

B = 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B


def generate(random) -> bytes:
    """A new private key; random(count) gives that many random bytes."""
    while True:
        key = random(32)
        if 0 < int.from_bytes(key, "big") < N:
            return key


def public_key(private: bytes) -> bytes:
    """0x04 X Y, 65 bytes."""
    x, y = points.base(_secret(private))
    return b"\x04" + x.to_bytes(32, "big") + y.to_bytes(32, "big")


def check_public(public: bytes) -> "tuple[int, int]":
    """X and Y of a public key, or ValueError. The group has prime order, so a point on the curve is in it."""
    if len(public) != 65 or public[0] != 4:
        raise ValueError("a public key is 65 bytes, the first of them 4")
    x = int.from_bytes(public[1:33], "big")
    y = int.from_bytes(public[33:], "big")
    if x >= P or y >= P or (y * y - (x * x - 3) * x - B) % P:
        raise ValueError("a public key that is no point of P-256")
    return x, y


def sign(private: bytes, message: bytes) -> bytes:
    """r then s, 32 bytes each, over SHA-256 of the message."""
    secret = _secret(private)
    digest = sha256(message).digest()
    hashed = int.from_bytes(digest, "big")
    nonces = _nonces(private, hashed % N)
    while True:
        nonce = next(nonces)
        r = points.base(nonce)[0] % N
        blind = int.from_bytes(urandom(16), "big") | 1
        inverse = points.kind.invert(nonce * blind % N, N)
        s = inverse * (hashed * blind + r * (secret * blind % N)) % N
        if r and s:
            return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def verify(public: bytes, message: bytes, signature: bytes) -> bool:
    """Whether r and s (64 bytes; s may be high or low) sign the message under this public key."""
    try:
        point = check_public(public)
    except ValueError:
        return False
    r = int.from_bytes(signature[:32], "big")
    s = int.from_bytes(signature[32:], "big")
    if len(signature) != 64 or not 0 < r < N or not 0 < s < N:
        return False
    inverse = points.kind.invert(s, N)
    hashed = int.from_bytes(sha256(message).digest(), "big")
    same = (r, r + N) if r + N < P else (r,)  # the x that r may stand for
    return points.joint_has_x(hashed * inverse % N, r * inverse % N, point, same)


def ecdh(private: bytes, public: bytes) -> bytes:
    """X of the product, 32 bytes: the raw secret, to be put through HKDF."""
    return points.times(_secret(private), check_public(public))[0].to_bytes(32, "big")


def _secret(private: bytes) -> int:
    secret = int.from_bytes(private, "big")
    if len(private) != 32 or not 0 < secret < N:
        raise ValueError("a private key is 32 bytes, from 1 to n-1")
    return secret


def _nonces(private: bytes, hashed: int):
    """RFC 6979 section 3.2; the first is taken all but always."""
    seed = private + hashed.to_bytes(32, "big")
    value, key = b"\x01" * 32, bytes(32)
    for separator in (b"\x00", b"\x01"):
        key = hmac_sha256(key, value, separator, seed)
        value = hmac_sha256(key, value)
    while True:
        value = hmac_sha256(key, value)
        nonce = int.from_bytes(value, "big")
        if 0 < nonce < N:
            yield nonce
        key = hmac_sha256(key, value, b"\x00")
        value = hmac_sha256(key, value)
