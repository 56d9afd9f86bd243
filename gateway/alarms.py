"""What somebody must look at: raised, counted, and cleared when it is over.

Owns: the words for every alarm, whether one stands, since when and how often. Pure.
Refuses: a word that is not in the table.
Invariant: an alarm that is raised again is the same one, counted; what cannot end by itself stays until it is cleared.
"""

from __future__ import annotations

from dataclasses import dataclass, field

# word: what it means. docs/operate.md tells what to do.
WORDS = {
    "clone": "two histories under one device's key",
    "foreign-gateway": "a device that belongs to another gateway sends here",
    "flood": "a device sends more than it may",
    "silent": "a device that is enrolled and was heard sends nothing any more",
    "gap": "rows are missing before rows that came",
    "suspect": "a device says what cannot be true",
    "bus": "a Modbus device or its bus does not answer",
    "disk": "the disk takes nothing; nothing is acknowledged until it does",
    "broker": "no connection to the broker",
    "broker-lies": "the broker acknowledges or repeats what cannot be",
    "main": "no main node takes our blocks",
    "schedule": "no node of the schedule chain answers",
    "fork": "the main chain holds another block at one of our heights: a second box has our key; sealing has stopped",
    "restoring": "after a restore: blocks behind the backup are fetched; nothing is sealed until they are here",
    "clock-step": "the clock jumped; beats say that it is not to be trusted",
    "certificate": "a certificate is about to expire, or has",
    "entry": "a registry entry in our own store cannot be read",
    "order": "a Modbus inverter does not do what it was told",
}  # fmt: skip


@dataclass(slots=True)
class Alarm:
    word: str
    about: str  # a device's id as text, a bus, or nothing
    detail: str
    first_ms: int
    last_ms: int
    count: int = 1


@dataclass
class Alarms:
    """`changed` collects what the store has not heard of yet; None stands for one that is over."""

    standing: dict[tuple[str, str], Alarm] = field(default_factory=dict)
    changed: dict[tuple[str, str], Alarm | None] = field(default_factory=dict)

    def up(self, word: str, about: str, detail: str, now_ms: int) -> bool:
        """True when it did not stand before."""
        assert word in WORDS, word
        alarm = self.standing.get((word, about))
        new = alarm is None
        if alarm is None:
            alarm = self.standing[word, about] = Alarm(word, about, detail, now_ms, now_ms)
        else:
            alarm.detail, alarm.last_ms, alarm.count = detail, now_ms, alarm.count + 1
        self.changed[word, about] = alarm
        return new

    def down(self, word: str, about: str = "") -> bool:
        """True when it stood."""
        if self.standing.pop((word, about), None) is None:
            return False
        self.changed[word, about] = None
        return True
