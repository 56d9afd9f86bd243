"""Where messages travel on MQTT.

Owns: the topics. A device's user name at the broker is its id, so that one pattern in the ACL file serves all devices.
Refuses: a topic that is not one of ours.
Invariant: nothing that goes down is ever retained.
"""

from wire.errors import WireError
from wire.ids import id_bytes, id_text

ROOT = "tallygrid"
UP = ("report", "coarse", "state", "hello", "receipt", "enrolment", "gone")  # `gone` is the broker's will message
DOWN = ("beat", "configuration", "command")

ALL_UP = ROOT + "/+/up/+"  # what a gateway subscribes to


def up(id: bytes, kind: str) -> str:
    assert kind in UP
    return "%s/%s/up/%s" % (ROOT, id_text(id), kind)


def down(id: bytes, kind: str) -> str:
    assert kind in DOWN
    return "%s/%s/down/%s" % (ROOT, id_text(id), kind)


def all_down(id: bytes) -> str:
    """What a device subscribes to."""
    return "%s/%s/down/+" % (ROOT, id_text(id))


def split(topic: str) -> "tuple[bytes, str]":
    """(id, kind) of a topic of ours, whichever way it goes."""
    parts = topic.split("/")
    if len(parts) != 4 or parts[0] != ROOT:
        raise WireError("bad-field", "not a topic of ours: %s" % topic)
    kinds = UP if parts[2] == "up" else DOWN if parts[2] == "down" else ()
    if parts[3] not in kinds:
        raise WireError("bad-field", "not a topic of ours: %s" % topic)
    return id_bytes(parts[1]), parts[3]
