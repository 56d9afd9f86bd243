"""Readers for the vectors of what only hosts read, as tests/wire/readers.py has them for the rest."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from typing import Any

from tests.wire import readers
from wire import cbor
from wire.chain import bundle, kinds, main, proof, slave, tx
from wire.fields import Message

Reader = Callable[[bytes], tuple[Any, bytes]]

MESSAGES: dict[str, type[Message]] = {
    "tx": tx.Tx,
    "account": kinds.AccountEnrolment,
    "slave-header": slave.SlaveHeader,
    "main-header": main.MainHeader,
}


def read_block(decode: Callable[[bytes], slave.SlaveBlock | main.MainBlock]) -> Reader:
    def read(raw: bytes) -> tuple[Any, bytes]:
        block = decode(raw)
        block.check_body()
        return [sha256(block.header.encode()).digest(), block.body], block.encode()

    return read


def read_bundle(raw: bytes) -> tuple[Any, bytes]:
    records = list(bundle.read(raw))
    again = b"".join(cbor.encode([bundle.KINDS.index(kind), *values]) for kind, values in records)
    return [[kind, values] for kind, values in records], again


def read_proof(raw: bytes) -> tuple[Any, bytes]:
    found = proof.decode(raw)
    beside = [b"" if each == proof.EMPTY else each for each in found.beside]
    return [beside, found.blind, found.other], found.encode()


READERS: dict[str, Reader] = {
    "slave": read_block(slave.decode),
    "main": read_block(main.decode),
    "bundle": read_bundle,
    "proof": read_proof,
}


def reader(kind: str) -> Reader:
    if kind in MESSAGES:
        return lambda raw: readers.read_message(MESSAGES[kind], raw)
    return READERS[kind] if kind in READERS else readers.reader(kind)
