"""Runs in an environment of its own with pycose (which decodes nothing with cbor2 6): reads ours, signs for us.

python cose_peer.py read  < JSON list of [raw, domain, x, y] (hex, text)   prints JSON list of [holds, payload hex]
python cose_peer.py sign  < JSON [payload hex, domain, kid hex, secret hex, x, y]     prints the envelope in hex
"""

import json
import sys

from pycose.algorithms import Es256
from pycose.headers import KID, Algorithm
from pycose.keys import EC2Key
from pycose.keys.curves import P256
from pycose.messages import CoseMessage, Sign1Message

of = bytes.fromhex


def read(raw, domain, x, y):
    message = CoseMessage.decode(of(raw))
    message.external_aad = domain.encode()
    message.key = EC2Key(crv=P256, x=of(x), y=of(y))
    return [bool(message.verify_signature()), message.payload.hex()]


def sign(payload, domain, kid, secret, x, y):
    message = Sign1Message(phdr={Algorithm: Es256, KID: of(kid)}, payload=of(payload), external_aad=domain.encode())
    message.key = EC2Key(crv=P256, x=of(x), y=of(y), d=of(secret))
    return message.encode().hex()


if __name__ == "__main__":
    wish = json.load(sys.stdin)
    print(json.dumps([read(*one) for one in wish] if sys.argv[1] == "read" else sign(*wish)))
