"""P-256 on the device: keys, ES256 signatures, shared secrets, HMAC and HKDF; in flash or in an ATECC608.

Owns: `p256` (the arithmetic's front), `hmac`, `signer` (what the rest of the firmware holds), `atecc608` (its driver).
Refuses: a point off the curve, a number out of its range, a key that leaves the secure element.
Invariant: with a secret, the sequence of operations does not depend on its value.
`generate.py` is not flashed; `field.py` and the two `comb_*.py` are its output.
"""
