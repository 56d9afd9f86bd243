"""Where a wallet's key lies: one encrypted PEM and one small file of settings a wallet.

Owns: names and modes of the files, the signed word by which an account asks to be opened or gets a new key.
Refuses: a key file that others can read, a name that leaves the folder, an empty password.
Invariant: no key is ever on the disk unencrypted, and none is written over.
"""

from __future__ import annotations

import json
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wire import envelope
from wire.chain.keys import PrivateKey
from wire.chain.kinds import ROLES, AccountEnrolment
from wire.errors import WireError


@dataclass(frozen=True)
class Place:
    folder: Path
    name: str

    def __post_init__(self) -> None:
        if not self.name.replace("-", "").replace("_", "").isalnum() or len(self.name) > 32:
            raise WireError("bad-field", f"{self.name!r}: a wallet's name has letters, digits, - and _")

    @property
    def key(self) -> Path:
        return self.folder / f"{self.name}.pem"

    @property
    def next_key(self) -> Path:
        """Of a recovery that waits."""
        return self.folder / f"{self.name}.next.pem"

    @property
    def settings(self) -> Path:
        return self.folder / f"{self.name}.json"

    def enrolment(self, sort: str) -> Path:
        return self.folder / f"{self.name}.{sort}.enrolment"

    def read(self) -> dict[str, Any]:
        words = json.loads(self.settings.read_text())
        if not isinstance(words, dict) or not {"node", "account", "name"} <= set(words):
            raise WireError("missing-field", f"{self.settings} is no wallet's settings")
        return words

    def others_can_read(self) -> bool:
        return bool(stat.S_IMODE(self.key.stat().st_mode) & 0o077)


def word(key: PrivateKey, chain: str, name: str, account: bytes | None = None, role: str = "user") -> bytes:
    """What a key says of itself: to open an account, or with `account` to be that one's next key."""
    body = AccountEnrolment(
        chain=chain, id=account or key.kid, public_key=key.public_key, name=name, role=ROLES.index(role)
    )
    return envelope.sign(key, AccountEnrolment.DOMAIN, body.encode())
