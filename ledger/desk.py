"""The dispatch desk: turns the schedule chain's commands into what stations obey.

Owns: signing a command with the chain's dispatch key and putting the station's MAC around it; the list gateways fetch.
Refuses: deciding anything. What is not in the chain's state is not signed.
Invariant: the list can always be made anew from the chain; a station sees one command a counter.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from wire import envelope
from wire.chain.keys import PrivateKey, SharedKey
from wire.command import MAC_DOMAIN, Command

KEPT = 10_000


@dataclass
class Desk:
    """`station_key(station)` is the public key that the chain's registry names."""

    key: PrivateKey
    station_key: Callable[[bytes], bytes | None]
    orders: list[list[Any]] = field(default_factory=list)  # [number, station, signed and MACed]
    numbers: int = 0
    _macs: dict[bytes, SharedKey] = field(default_factory=dict)

    def take(self, fields: dict[str, Any]) -> bool:
        """An event `command` of the chain. False where the station's key is not known."""
        station = fields["station"]
        public_key = self.station_key(station)
        if public_key is None:
            return False
        command = Command(
            station=station,
            id=fields["id"],
            counter=fields["counter"],
            grants=list(fields["grants"]),
            action=fields["action"],
            limit_w=fields["limit_w"],
            energy_wh=fields["energy_wh"],
            not_before=fields["not_before"],
            lease_until=fields["lease_until"],
        )
        signed = envelope.sign(self.key, Command.DOMAIN, command.encode())
        if public_key not in self._macs:
            self._macs[public_key] = SharedKey(self.key.kid, self.key.mac_key(public_key))
        self.numbers += 1
        self.orders.append([self.numbers, station, envelope.mac(self._macs[public_key], MAC_DOMAIN, signed)])
        del self.orders[:-KEPT]
        return True

    def after(self, number: int) -> list[list[Any]]:
        """What came after that number, oldest first. A number from another life of this desk starts anew."""
        if number > self.numbers:
            number = 0
        return [order for order in self.orders if order[0] > number]
