"""The pilot's registrar: enters the gateway and every device that enrols, and lets the company draw the lines.

Owns: signing entries with the registrar's key and assignments with the accounts'; bringing both to chain and gateway.
Refuses: devices that the site file does not name.
Invariant: what stands on the chain already is not sent again, so that every start may begin here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hardware.site.model import Participant
from ledger.client import ChainClient
from pilot.founding import Founded
from wire import envelope
from wire.chain import kinds
from wire.chain.rest import NodeDown
from wire.enrol import ALLIANCES, Assignment, Enrolment, Entry
from wire.errors import WireError
from wire.ids import id_text

PPM_PER_PERMILLE = 1_000
POLL_S = 0.2
RETRY_S = 1.0


@dataclass
class Registrar:
    """`main` is signed as the registrar, `schedule` as the company."""

    founded: Founded
    main: ChainClient
    schedule: ChainClient
    now_s: Callable[[], int]
    say: Callable[[str], None]

    async def run(self) -> dict[str, bytes]:
        """Until everybody is entered and every line drawn; the ids of the boards by name."""
        while True:
            try:
                return await self._once()
            except NodeDown as down:
                self.say(f"the registrar waits: {down}")
                await asyncio.sleep(RETRY_S)

    async def _once(self) -> dict[str, bytes]:
        await self._enter(self._gateway_entry(), self.founded.account("gateway"))
        site = self.founded.site
        ids: dict[str, bytes] = {}
        while len(ids) < len(site.boards):
            for board in site.boards:
                if board.name not in ids:
                    await self._look(board.name, ids)
            await asyncio.sleep(POLL_S)
        await self._on_schedule(ids)
        await self._draw_lines(ids)
        return ids

    async def _look(self, name: str, ids: dict[str, bytes]) -> None:
        """Enters a board whose enrolment the emulator has put down, as a flash tool would."""
        try:
            raw = bytes.fromhex((self.founded.folder / "run" / f"{name}.enrolment").read_text())
        except OSError:
            return
        device = Enrolment.decode(envelope.split(raw).payload).id
        entry = self._entry(device, raw, name, self._assignment(device, name))
        drop(self.founded.folder / "gateway" / "entries" / f"{name}.cose", entry)
        await self._enter(entry, device)
        self.say(f"{name} is {id_text(device)}")
        ids[name] = device

    def _participant(self, board: str) -> Participant | None:
        ledger = self.founded.site.ledger
        assert ledger is not None
        return next((one for one in ledger.participants if one.device == board), None)

    def _assignment(self, device: bytes, board: str) -> bytes | None:
        """For whom the board measures: its user; a station measures for the company."""
        one = self._participant(board)
        if one is None:
            return None
        owner = self.founded.keys["company" if one.role == "station" else one.name]
        word = Assignment(device=device, account=owner.kid, serial=1)
        return envelope.sign(owner, Assignment.DOMAIN, word.encode())

    def _gateway_entry(self) -> bytes:
        key = self.founded.keys["gateway"]
        enrolment = Enrolment(id=key.kid, public_key=key.public_key, role=2, board="gateway", firmware=bytes(32))
        raw = envelope.sign(key, Enrolment.DOMAIN, enrolment.encode())
        assert self.founded.site.gateway is not None
        return self._entry(key.kid, raw, self.founded.site.gateway.name, None)

    def _entry(self, device: bytes, enrolment: bytes, name: str, assignment: bytes | None) -> bytes:
        entry = Entry(
            serial=1,
            device=device,
            enrolment=enrolment,
            name=name,
            alliance=ALLIANCES.index("load"),
            gateway=self.founded.account("gateway"),
            limits={},
            status=0,
            from_time=self.founded.site.start_s,
            assignment=assignment,
        )
        return envelope.sign(self.founded.keys["registrar"], Entry.DOMAIN, entry.encode())

    async def _enter(self, entry: bytes, device: bytes) -> None:
        if id_text(device) in [row["id"] for row in await self.main.query("devices")]:
            return
        outcome = (await self.main.send(kinds.RegistryEntry(entry=entry)))[0]
        if outcome.reason:
            raise WireError(outcome.reason, outcome.detail)

    async def _on_schedule(self, ids: dict[str, bytes]) -> None:
        """Until the courier has brought every entry over."""
        wanted = {id_text(device) for device in ids.values()}
        while not wanted <= {row["id"] for row in await self.schedule.query("devices")}:
            await asyncio.sleep(POLL_S)

    async def _draw_lines(self, ids: dict[str, bytes]) -> None:
        ledger = self.founded.site.ledger
        assert ledger is not None
        stations = {one.name: ids[one.device] for one in ledger.participants if one.role == "station" and one.device}
        bodies = []
        for user in ledger.participants:
            for station, permille in user.loss_permille:
                loss_ppm = permille * PPM_PER_PERMILLE
                line = kinds.SetLine(user=self.founded.account(user.name), station=stations[station], loss_ppm=loss_ppm)
                bodies.append(line)
        if bodies and not await self.schedule.query("lines"):
            for outcome in await self.schedule.send(*bodies):
                if outcome.reason:
                    raise WireError(outcome.reason, outcome.detail)


def drop(path: Path, content: bytes) -> None:
    """A file appears whole or not at all."""
    if path.with_suffix(".taken").exists():
        return
    new = path.with_suffix(".new")
    new.write_bytes(content)
    new.replace(path)
