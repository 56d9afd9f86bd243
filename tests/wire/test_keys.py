"""Signatures on hosts: RFC 6979's vectors, and everything a signature or key can be that it must not be."""

from __future__ import annotations

import os

import pytest

from wire import envelope
from wire.chain.keys import ORDER, KeyRing, PrivateKey, SharedKey, point, verify
from wire.errors import WireError
from wire.hello import Beat
from wire.ids import id_bytes, id_text, kid_of
from wire.rows import HEAD_START

# RFC 6979 A.2.5, typed in.
KEY = PrivateKey.from_secret(bytes.fromhex("C9AFA9D845BA75166B5C215767B1D6934E50C3DB36E89B127B8A622B120F6721"))
PUBLIC = (
    "04"
    "60FED4BA255A9D31C961EB74C6356D68C049B8923B61FA6CE669622E60F29FB6"
    "7903FE1008B8BC99A41AE9E95628BC64F2F1B20C2D7E9F5177A3C294D4462299"
)
VECTORS = (
    (
        b"sample",
        (
            "EFD48B2AACB6A8FD1140DD9CD45E81D69D2C877B56AAF991C34D0EA84EAF3716"
            "F7CB1C942D657C41D436C7A1B6E29F65F3E900DBB9AFF4064DC4AB2F843ACDA8"
        ),
    ),
    (
        b"test",
        (
            "F1ABB023518351CD71D881567B1EA663ED3EFCF6C5132B354F28D3B0B7D38367"
            "019F4113742A2B14BD25926B49C649155F267E60D3814B4C0CC84250E46F0083"
        ),
    ),
)


def reason(signature: bytes, message: bytes = b"sample") -> str:
    with pytest.raises(WireError) as refusal:
        verify(point(KEY.public_key), message, signature)
    return refusal.value.reason


@pytest.mark.parametrize(("message", "signature"), VECTORS)
def test_rfc_6979(message: bytes, signature: str) -> None:
    assert KEY.public_key == bytes.fromhex(PUBLIC)
    assert KEY.sign(message) == bytes.fromhex(signature)
    verify(point(KEY.public_key), message, bytes.fromhex(signature))


def test_high_and_low_s_are_both_valid_and_one_message() -> None:
    payload = Beat(
        id=KEY.kid, nonce=bytes(16), count=1, time_s=0, quality=0, next_seq=0, head=HEAD_START, period_s=10
    ).encode()
    raw = envelope.sign(KEY, Beat.DOMAIN, payload)
    s = int.from_bytes(raw[-32:], "big")
    other = raw[:-32] + (ORDER - s).to_bytes(32, "big")
    ring = KeyRing()
    ring.add(KEY.public_key)
    assert raw != other
    one, two = (Beat.decode(envelope.open_signed(each, ring, Beat.DOMAIN)) for each in (raw, other))
    assert one == two
    assert hash(one) == hash(two)


def test_bad_signatures_have_their_reasons() -> None:
    r, s = (bytes.fromhex(VECTORS[0][1][i : i + 64]) for i in (0, 64))
    order, zero = ORDER.to_bytes(32, "big"), bytes(32)
    assert reason(r + s[:-1]) == "bad-signature-length"
    assert reason(r + s + b"\0") == "bad-signature-length"
    assert reason(b"") == "bad-signature-length"
    for signature in (zero + s, r + zero, order + s, r + order, r + b"\xff" * 32, b"\xff" * 32 + s):
        assert reason(signature) == "signature-range"
    assert reason(s + r) == "bad-signature"
    assert reason(r + s, b"another message") == "bad-signature"


def test_bad_points_have_their_reasons() -> None:
    x, y = KEY.public_key[1:33], KEY.public_key[33:]
    cases = (
        (b"\x04" + x + x, "not-on-curve"),
        (b"\x04" + bytes(64), "not-on-curve"),
        (b"\x04" + b"\xff" * 64, "not-on-curve"),
        (b"\x00", "bad-key-length"),
        (b"\x02" + x, "bad-key-length"),
        (b"\x06" + x + y, "bad-key-length"),
        (b"", "bad-key-length"),
    )
    for raw, wanted in cases:
        with pytest.raises(WireError) as refusal:
            KeyRing().add(raw)
        assert refusal.value.reason == wanted, raw.hex()
    for secret in (bytes(32), ORDER.to_bytes(32, "big"), b"\1" * 31):
        with pytest.raises(WireError):
            PrivateKey.from_secret(secret)


def test_a_second_key_with_a_known_kid_is_refused() -> None:
    ring = KeyRing()
    ring.add(KEY.public_key)
    ring.add(KEY.public_key)
    ring._points[KEY.kid] = PrivateKey.generate().public_key  # as if another key had the same kid
    with pytest.raises(WireError) as refusal:
        ring.add(KEY.public_key)
    assert refusal.value.reason == "known-kid"


def test_domains_keep_signatures_apart() -> None:
    ring = KeyRing()
    ring.add(KEY.public_key)
    raw = envelope.sign(KEY, "tallygrid/report/1", b"\xa0")
    assert envelope.open_signed(raw, ring, "tallygrid/report/1") == b"\xa0"
    for domain in ("tallygrid/command/1", "tallygrid/report/2", ""):
        with pytest.raises(WireError) as refusal:
            envelope.open_signed(raw, ring, domain)
        assert refusal.value.reason == "bad-signature"


def test_an_unknown_key_is_refused() -> None:
    with pytest.raises(WireError) as refusal:
        envelope.open_signed(envelope.sign(KEY, "d", b"\xa0"), KeyRing(), "d")
    assert refusal.value.reason == "unknown-key"


def test_a_mac_holds_for_both_ends_and_nobody_else() -> None:
    gateway, device, third = (PrivateKey.derive("mac", name) for name in ("gateway", "device", "third"))
    raw = envelope.mac(SharedKey(gateway.kid, gateway.mac_key(device.public_key)), "d", b"\xa0")
    assert envelope.open_mac(raw, SharedKey(gateway.kid, device.mac_key(gateway.public_key)), "d") == b"\xa0"
    other = SharedKey(gateway.kid, third.mac_key(gateway.public_key))
    for macer, domain, wanted in (
        (other, "d", "bad-mac"),
        (SharedKey(gateway.kid, device.mac_key(gateway.public_key)), "e", "bad-mac"),
        (SharedKey(third.kid, device.mac_key(gateway.public_key)), "d", "unknown-key"),
    ):
        with pytest.raises(WireError) as refusal:
            envelope.open_mac(raw, macer, domain)
        assert refusal.value.reason == wanted


def test_pem_with_and_without_a_password() -> None:
    assert PrivateKey.from_pem(KEY.to_pem()).public_key == KEY.public_key
    locked = KEY.to_pem(b"secret")
    assert PrivateKey.from_pem(locked, b"secret").secret() == KEY.secret()
    with pytest.raises((ValueError, TypeError)):
        PrivateKey.from_pem(locked, b"wrong")


def test_the_key_ring_forgets_objects_and_not_keys() -> None:
    ring = KeyRing(objects_max=2)
    keys = [PrivateKey.derive("ring", str(i)) for i in range(4)]
    for key in keys:
        ring.add(key.public_key)
    for key in keys + keys:
        ring.verify(key.kid, b"m", key.sign(b"m"))
    assert len(ring) == 4
    ring.remove(keys[0].kid)
    with pytest.raises(WireError):
        ring.verify(keys[0].kid, b"m", keys[0].sign(b"m"))


def test_ids_as_text() -> None:
    for raw in (bytes(8), b"\xff" * 8, *[os.urandom(8) for _ in range(50)]):
        text = id_text(raw)
        assert len(text) == 13
        assert id_bytes(text) == raw
    assert len(kid_of(KEY.public_key)) == 8
