"""Commands: from the bytes of one to taken or refused, and the order that is in force.

Owns: the checks that come before anything else is looked at, the order kept on flash, when it is over.
Refuses: by a reason of wire.command.REASONS: what is malformed, forged, foreign, replayed, early, late.
Invariants: pure but for the slot on flash; a command is the whole order and replaces the one before; its counter is on
flash before it is acted on, so it is taken once.
"""

from struct import pack, unpack

from wire import command, envelope
from wire.errors import WireError

EARLY_S = 30  # an order for so soon is taken and waits
_RECORD = ">16sQBIQQQQQQ"


class Refusal(Exception):
    def __init__(self, reason, order=None):
        super().__init__(reason)
        self.reason = reason
        self.order = order


def read(data, open_mac, kid, id):
    """The command in a message, once its MAC holds; the signature inside is for gateway and auditors."""
    try:
        signed = open_mac(data, command.MAC_DOMAIN, kid)
    except WireError as error:
        raise Refusal("bad-mac" if error.reason in ("bad-mac", "unknown-key") else "malformed") from None
    try:
        order = command.Command.decode(envelope.split(signed).payload)
    except WireError:
        raise Refusal("malformed") from None
    if order.station != id:
        raise Refusal("foreign", order)
    return order


def check(order, last_counter, time_s):
    """Raises Refusal for an order that must not be acted on now."""
    if order.counter <= last_counter:
        raise Refusal("replayed", order)
    if time_s >= order.lease_until or order.lease_until <= order.not_before:
        raise Refusal("late", order)
    if order.not_before > time_s + EARLY_S:
        raise Refusal("early", order)


class Order:
    """The order in force, with what its receipts need."""

    def __init__(self, id, counter, action, limit_w, energy_wh, not_before, lease_until, before, first_seq):
        self.id = id
        self.counter = counter
        self.action = action  # a name of wire.command.ACTIONS
        self.limit_w = limit_w
        self.energy_wh = energy_wh
        self.not_before = not_before
        self.lease_until = lease_until
        self.before = before  # registers
        self.first_seq = first_seq

    def moved_wh(self, registers):
        """What was delivered so far, in the direction that was ordered."""
        place = 1 if self.action == "discharge" else 0
        now = (registers.import_wh, registers.export_wh)
        return now[place] - self.before[place]

    def pack(self):
        action = command.ACTIONS.index(self.action)
        return pack(
            _RECORD, self.id, self.counter, action, self.limit_w, self.energy_wh, self.not_before, self.lease_until,
            self.before[0], self.before[1], self.first_seq,
        )  # fmt: skip


def unpack_order(record):
    values = unpack(_RECORD, record)
    id, counter, action, limit_w, energy_wh, not_before, lease_until, imported, exported, first_seq = values
    name = command.ACTIONS[action]
    return Order(id, counter, name, limit_w, energy_wh, not_before, lease_until, (imported, exported), first_seq)
