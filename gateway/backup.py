"""A dead cabinet: everything of a gateway in one encrypted file, and a new box that goes on with it.

Owns: the file's format: magic, salt, then pieces under AES-256-GCM with a key that scrypt makes from a passphrase.
Refuses: a wrong passphrase, a damaged, cut or lengthened file; writing over a gateway that is there.
Invariants: the database is a consistent copy, taken while the gateway runs; a piece cannot be moved, dropped or added
unnoticed. What is restored seals nothing before the main node was asked what came after (gateway/restore.py).
"""

from __future__ import annotations

import io
import os
import sqlite3
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

MAGIC = b"TALLYGRID-BACKUP-1\n"
SALT, PIECE, TAG = 16, 1 << 20, 16
DATABASE, KEY = "gateway.db", "gateway.key"
MEMBERS = (DATABASE, KEY, "gateway.toml")


class BackupError(Exception):
    """The backup cannot be made or read; the text says why."""


def write(target: Path, data: Path, config: Path, passphrase: str) -> int:
    """Makes the file, whole or not at all; its size."""
    with tempfile.TemporaryDirectory(dir=data) as folder:
        plain = Path(folder) / "plain"
        copy = Path(folder) / DATABASE
        _copy_database(data / DATABASE, copy)
        with tarfile.open(plain, "w") as archive:
            archive.add(copy, DATABASE)
            archive.add(data / KEY, KEY)
            archive.add(config, "gateway.toml")
        new = target.with_name(target.name + ".new")
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with plain.open("rb") as source, os.fdopen(descriptor, "wb") as sink:
            _encrypt(source, sink, passphrase)
            sink.flush()
            os.fsync(sink.fileno())
        new.replace(target)
    return target.stat().st_size


def _copy_database(source: Path, target: Path) -> None:
    try:
        with sqlite3.connect(f"file:{source}?mode=ro", uri=True) as db, sqlite3.connect(target) as copy:
            db.backup(copy)
        copy.close()
    except sqlite3.Error as error:
        raise BackupError(f"{source} cannot be copied: {error}") from None


def read(source: Path, data: Path, passphrase: str) -> Path:
    """Unpacks into a folder that holds no gateway yet, marked as restored; the configuration's path there."""
    if (data / DATABASE).exists() or (data / KEY).exists():
        raise BackupError(f"{data} holds a gateway already: restore into an empty folder")
    data.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=data) as folder:
        unpacked = Path(folder)
        with source.open("rb") as stream:
            plain = io.BytesIO(b"".join(_decrypt(stream, passphrase)))
        with tarfile.open(fileobj=plain) as archive:
            for name in MEMBERS:
                member = archive.extractfile(name)
                if member is None:
                    raise BackupError(f"{source} has no {name}")
                (unpacked / name).write_bytes(member.read())
        with sqlite3.connect(unpacked / DATABASE) as db:
            db.execute("insert or replace into meta values ('restoring', x'01')")
        db.close()
        (unpacked / KEY).chmod(0o600)
        for name in MEMBERS:
            (unpacked / name).replace(data / name)
    return data / "gateway.toml"


def _key(passphrase: str, salt: bytes) -> AESGCM:
    return AESGCM(Scrypt(salt=salt, length=32, n=1 << 15, r=8, p=1).derive(passphrase.encode()))


def _encrypt(source: IO[bytes], sink: IO[bytes], passphrase: str) -> None:
    salt = os.urandom(SALT)
    key = _key(passphrase, salt)
    sink.write(MAGIC + salt)
    piece, number = source.read(PIECE), 0
    while True:
        following = source.read(PIECE)
        sink.write(key.encrypt(_nonce(number), piece, _last(not following)))
        if not following:
            return
        piece, number = following, number + 1


def _decrypt(source: IO[bytes], passphrase: str) -> Iterator[bytes]:
    if source.read(len(MAGIC)) != MAGIC:
        raise BackupError("this is no backup of a gateway")
    key = _key(passphrase, source.read(SALT))
    piece, number = source.read(PIECE + TAG), 0
    while True:
        following = source.read(PIECE + TAG)
        try:
            yield key.decrypt(_nonce(number), piece, _last(not following))
        except (InvalidTag, ValueError):
            where = "the passphrase is wrong, or the file is damaged" if number == 0 else f"piece {number} is damaged"
            raise BackupError(where) from None
        if not following:
            return
        piece, number = following, number + 1


def _nonce(number: int) -> bytes:
    return number.to_bytes(12, "big")


def _last(last: bool) -> bytes:
    """Said with each piece, so that a file that was cut short does not pass."""
    return b"last" if last else b"more"
