"""The bundle: evidence in one file, a CBOR sequence (RFC 8742), that anyone can check with public keys alone.

Owns: the kinds of records and their order rules; reading and writing the sequence as a stream.
Refuses: a record of unknown kind or shape, a sequence that does not begin with the one header record.
Invariant: nothing in a bundle is a fact by itself; `tallygrid verify` checks each record against keys it was given.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO

from wire import cbor
from wire.errors import WireError

VERSION = 1

# A record is [kind, value …]; the values' shapes are docs/spec.md section 7.
KINDS = (
    "bundle",  # version, what for (text)
    "key",  # public key, name: a claim, to be compared with the keys the reader trusts
    "entry",  # signed registry entry
    "report",  # signed report, attested or coarse (any signed message of a device)
    "slave",  # a whole slave block
    "slave-header",  # signed slave header
    "inclusion",  # leaf's place: index, size, hashes; belongs to the record before it
    "genesis",  # chain id, sort of chain, its genesis document
    "header",  # chain id, light block
    "tx",  # chain id, height, signed transaction, result code
    "state",  # chain id, height, key, value or null, proof
)


def write(stream: BinaryIO, records: Iterable[tuple[str, list[Any]]], purpose: str) -> int:
    """Writes the header record and all others; returns how many records."""
    stream.write(cbor.encode([0, VERSION, purpose]))
    count = 1
    for kind, values in records:
        stream.write(cbor.encode([KINDS.index(kind), *values]))
        count += 1
    return count


def read(data: bytes) -> Iterator[tuple[str, list[Any]]]:
    """(kind, values) of each record, in order; the header record first."""
    pos = 0
    first = True
    while pos < len(data):
        value, pos = cbor.item(data, pos, size=max(len(data), 1))
        if not isinstance(value, list) or not value or not isinstance(value[0], int) or not 0 <= value[0] < len(KINDS):
            raise WireError("bad-type", "a record is [kind, …]", pos)
        kind = KINDS[value[0]]
        if first != (kind == "bundle"):
            raise WireError("bad-type", "a bundle begins with its one header record", pos)
        if first and value[1:2] != [VERSION]:
            raise WireError("bad-field", f"version {value[1:2]} of the bundle, {VERSION} wanted", pos)
        first = False
        yield kind, value[1:]
    if first:
        raise WireError("truncated", "an empty file is no bundle")
