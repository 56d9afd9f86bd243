"""The genesis document of a chain: what its members agree on before its first block.

Owns: its bytes (docs/spec.md), and the trust that a light client draws from it.
Refuses: another shape, no validators, the same validator twice.
Invariant: the salt is the members' secret (wire/chain/proof.py says why), so strangers are given `public()` only.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Any, NamedTuple

from ledger import light
from wire import cbor
from wire.chain.header import Validator, Validators, in_order
from wire.errors import WireError

DEPTH = 16
MAX_SIZE = 64 << 20


class Genesis(NamedTuple):
    chain_id: str
    time_ns: int
    validators: Validators
    salt: bytes = b""
    sections: dict[str, Any] = {}  # noqa: RUF012  a tuple's default is never written to

    def encode(self) -> bytes:
        sections = [[name, self.sections[name]] for name in sorted(self.sections)]
        return cbor.encode({**self._open(), 4: self.salt, 5: sections})

    def hash(self) -> bytes:
        """By which members compare theirs without showing it."""
        return sha256(self.encode()).digest()

    def _open(self) -> dict[int, Any]:
        return {1: self.chain_id, 2: self.time_ns, 3: [list(v) for v in self.validators]}

    def public(self, app_hash: bytes) -> bytes:
        """What a light client begins with: no salt and no sections, but the `app_hash` they lead to."""
        return cbor.encode({**self._open(), 6: app_hash})


def decode(raw: bytes) -> Genesis:
    fields = _fields(raw, {1, 2, 3, 4, 5})
    sections = fields[5]
    if not isinstance(fields[4], bytes) or not isinstance(sections, list):
        raise WireError("bad-field", "4 is the salt, 5 an array of sections")
    if not all(isinstance(s, list) and len(s) == 2 and isinstance(s[0], str) for s in sections):
        raise WireError("bad-field", "a section is [name, value]")
    names = [name for name, _ in sections]
    if names != sorted(set(names)):
        raise WireError("key-order", "sections rise by name")
    return Genesis(fields[1], fields[2], _validators(fields[3]), fields[4], dict(sections))


def trusted(public: bytes) -> tuple[str, light.Trusted]:
    """The chain id and the first trusted header of a public genesis."""
    fields = _fields(public, {1, 2, 3, 6})
    if not isinstance(fields[6], bytes):
        raise WireError("bad-field", "6 is the app_hash")
    return fields[1], light.genesis(fields[1], fields[2], _validators(fields[3]), fields[6])


def _fields(raw: bytes, wanted: set[int]) -> dict[int, Any]:
    fields = cbor.decode(raw, DEPTH, MAX_SIZE)
    if not isinstance(fields, dict) or set(fields) != wanted:
        raise WireError("bad-type", f"a genesis is a map of {sorted(wanted)}")
    if not isinstance(fields[1], str) or not 0 < len(fields[1].encode()) <= 32:
        raise WireError("bad-field", "1 is the chain id, of 1 to 32 bytes")
    if not isinstance(fields[2], int) or not 0 <= fields[2] < 1 << 63:
        raise WireError("bad-field", "2 is the time in ns")
    return fields


def _validators(rows: Any) -> Validators:
    if not isinstance(rows, list) or not rows:
        raise WireError("bad-validators", "a chain has at least one")
    for row in rows:
        if not (isinstance(row, list) and len(row) == 2 and isinstance(row[0], bytes) and len(row[0]) == 32):
            raise WireError("bad-validators", "a validator is [Ed25519 key, power]")
        if not isinstance(row[1], int) or row[1] <= 0:
            raise WireError("bad-validators", "power is above 0")
    found = tuple(Validator(key, power) for key, power in rows)
    if found != in_order(found) or len({v.key for v in found}) != len(found):
        raise WireError("bad-validators", "they stand once each, the most powerful first, then by address")
    return found
