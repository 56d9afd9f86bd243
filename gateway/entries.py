"""Registry entries on their way in: files that are put into `<data>/entries`.

Owns: the folder: NAME.cose is taken within a second and becomes NAME.taken, or NAME.refused with a line that says why.
Refuses: an entry that no registrar of ours signed, already when it is dropped.
Invariant: a file is renamed only after the entry is on disk, and taking one twice changes nothing.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from gateway.registry import Device
from wire import envelope
from wire.chain.keys import KeyRing
from wire.enrol import Entry
from wire.errors import WireError
from wire.ids import id_text


@dataclass
class Folder:
    """`enter` makes an entry durable and puts it in force."""

    path: Path
    enter: Callable[[bytes], Awaitable[Device]]
    say: Callable[[str], None]

    async def look(self) -> None:
        for path in sorted(self.path.glob("*.cose")):
            try:
                device = await self.enter(path.read_bytes())
            except WireError as error:
                self.say(f"entry {path.name} refused: {error}")
                path.replace(path.with_suffix(".refused"))
            else:
                self.say(f"entry {path.name}: {device.name} {id_text(device.id)} is in force here")
                path.replace(path.with_suffix(".taken"))


def drop(folder: Path, raw: bytes, registrars: list[bytes]) -> str:
    """Puts an entry into the folder, whole or not at all; its file's name."""
    ring = KeyRing()
    for key in registrars:
        ring.add(key)
    entry = Entry.decode(envelope.open_signed(raw, ring, Entry.DOMAIN))
    name = f"{id_text(entry.device)}-{entry.serial}.cose"
    folder.mkdir(parents=True, exist_ok=True)
    new = folder / f"{name}.new"
    new.write_bytes(raw)
    new.replace(folder / name)
    return name
