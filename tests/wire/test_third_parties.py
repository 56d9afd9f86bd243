"""Readers that nobody here wrote agree: pycose both ways, and plain cbor2 with cryptography."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import cbor2
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from tests.softdevice import SoftDevice
from wire import envelope, rows
from wire.chain import slave
from wire.chain.keys import KeyRing, PrivateKey
from wire.command import Command

GATEWAY = PrivateKey.derive("third parties", "gateway")
DISPATCH = PrivateKey.derive("third parties", "dispatch")
DEVICE = SoftDevice("third parties")
REPORT = DEVICE.report()
BLOCK = slave.seal(
    GATEWAY, [REPORT], alliance=3, gateway=GATEWAY.kid, height=1, previous=slave.START, urgency=0, time_s=1_750_000_000
)
COMMAND = envelope.sign(
    DISPATCH,
    Command.DOMAIN,
    Command(
        station=DEVICE.id,
        id=bytes(16),
        counter=1,
        grants=[1],
        action=1,
        limit_w=5,
        energy_wh=9,
        not_before=0,
        lease_until=9,
    ).encode(),
)
OURS = (
    (REPORT, rows.DOMAIN, DEVICE.key),
    (COMMAND, Command.DOMAIN, DISPATCH),
    (BLOCK.signed, slave.SlaveHeader.DOMAIN, GATEWAY),
)


def peer(python: str, action: str, wish: object) -> object:
    script = Path(__file__).with_name("cose_peer.py")
    run = [python, script, action]
    return json.loads(subprocess.run(run, input=json.dumps(wish), capture_output=True, text=True, check=True).stdout)


def test_pycose_reads_ours(pycose_python: str) -> None:
    wish = [[raw.hex(), domain, key.public_key[1:33].hex(), key.public_key[33:].hex()] for raw, domain, key in OURS]
    payloads = [envelope.split(raw).payload.hex() for raw, _, _ in OURS]
    assert peer(pycose_python, "read", wish) == [[True, payload] for payload in payloads]
    wrong = [[raw, domain + "x", x, y] for raw, domain, x, y in wish]
    assert [holds for holds, _ in peer(pycose_python, "read", wrong)] == [False] * 3  # type: ignore[attr-defined]


def test_we_take_what_pycose_signs(pycose_python: str) -> None:
    payload = envelope.split(REPORT).payload
    x, y = DEVICE.key.public_key[1:33].hex(), DEVICE.key.public_key[33:].hex()
    wish = [payload.hex(), rows.DOMAIN, DEVICE.id.hex(), DEVICE.key.secret().hex(), x, y]
    raw = bytes.fromhex(str(peer(pycose_python, "sign", wish)))
    ring = KeyRing()
    ring.add(DEVICE.key.public_key)
    assert envelope.open_signed(raw, ring, rows.DOMAIN) == payload


@pytest.mark.parametrize(("raw", "domain", "key"), OURS)
def test_cbor2_and_cryptography_read_ours(raw: bytes, domain: str, key: PrivateKey) -> None:
    tag = cbor2.loads(raw)
    protected, unprotected, payload, signature = tag.value
    assert (tag.tag, unprotected) == (18, {})
    assert cbor2.loads(protected) == {1: -7, 4: key.kid}
    cbor2.loads(payload)
    message = cbor2.dumps(["Signature1", protected, domain.encode(), payload])
    r, s = (int.from_bytes(half, "big") for half in (signature[:32], signature[32:]))
    public = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), key.public_key)
    public.verify(encode_dss_signature(r, s), message, ec.ECDSA(hashes.SHA256()))
