"""What a message's map may hold: one table a message, read by encoder, decoder, `inspect` and docs/spec.md's test.

Owns: the kinds of fields and `Message`, the base of every message that is a map with integer keys.
Refuses: a key that the table lacks, a key that is missing, a value of the wrong type or outside its range.
Invariant: a decoded message encodes to the bytes it came from.

Words for people are made when they are asked for: devices hold every kind in memory.
"""

from wire import cbor
from wire.errors import WireError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Self


class Uint:
    def __init__(self, bits: int = 64) -> None:
        self.bits = bits
        self.high = (1 << bits) - 1

    @property
    def words(self) -> str:
        return "uint%d" % self.bits

    def check(self, value: "Any") -> bool:
        return type(value) is int and 0 <= value <= self.high


class Int:
    def __init__(self, low: int, high: int) -> None:
        self.low = low
        self.high = high

    @property
    def words(self) -> str:
        return "int %d…%d" % (self.low, self.high)

    def check(self, value: "Any") -> bool:
        return type(value) is int and self.low <= value <= self.high


class Name:
    """One of a list of names, by its place in the list."""

    def __init__(self, *names: str) -> None:
        self.names = names

    @property
    def words(self) -> str:
        return ", ".join(["%d %s" % pair for pair in enumerate(self.names)])

    def check(self, value: "Any") -> bool:
        return type(value) is int and 0 <= value < len(self.names)

    def __getitem__(self, value: int) -> str:
        return self.names[value]

    def index(self, name: str) -> int:
        return self.names.index(name)


class Bytes:
    def __init__(self, low: int, high: int = 0) -> None:
        self.low = low
        self.high = high or low

    @property
    def words(self) -> str:
        return "%d bytes" % self.low if self.high == self.low else "%d…%d bytes" % (self.low, self.high)

    def check(self, value: "Any") -> bool:
        return isinstance(value, bytes) and self.low <= len(value) <= self.high


class Text:
    """Words for people, or a chain's name; at most `high` bytes of UTF-8."""

    def __init__(self, high: int) -> None:
        self.high = high

    @property
    def words(self) -> str:
        return "text, at most %d bytes" % self.high

    def check(self, value: "Any") -> bool:
        return isinstance(value, str) and len(value.encode()) <= self.high


class List:
    def __init__(self, kind: "Any", high: int) -> None:
        self.kind = kind
        self.high = high

    @property
    def words(self) -> str:
        return "array of at most %d: %s" % (self.high, self.kind.words)

    def check(self, value: "Any") -> bool:
        return isinstance(value, list) and len(value) <= self.high and all(self.kind.check(v) for v in value)


class Row:
    """An array of fixed length, each place with a kind of its own."""

    def __init__(self, *kinds: "Any") -> None:
        self.kinds = kinds

    @property
    def words(self) -> str:
        return "[" + ", ".join([kind.words for kind in self.kinds]) + "]"

    def check(self, value: "Any") -> bool:
        if not isinstance(value, list) or len(value) != len(self.kinds):
            return False
        return all(kind.check(v) for kind, v in zip(self.kinds, value))


class Map:
    """A map from small integers to values of one kind each; every key may be missing."""

    words = "map"

    def __init__(self, kinds: "dict[int, Any]") -> None:
        self.kinds = kinds

    def check(self, value: "Any") -> bool:
        return isinstance(value, dict) and all(k in self.kinds and self.kinds[k].check(v) for k, v in value.items())


class OrNull:
    def __init__(self, kind: "Any") -> None:
        self.kind = kind

    @property
    def words(self) -> str:
        return str(self.kind.words) + ", or null"

    def check(self, value: "Any") -> bool:
        return value is None or bool(self.kind.check(value))


ID = Bytes(8)
PUBLIC_KEY = Bytes(65)  # 0x04 ‖ X ‖ Y
HASH = Bytes(32)
TIME = Uint(40)  # seconds since 1970 (with clock quality none: since the boot)
SEQ = Uint(53)
ENERGY = Uint(53)  # a register or an amount, in Wh
REGISTERS = Row(ENERGY, ENERGY)  # import, export


class Message:
    """A map with integer keys. A subclass gives DOMAIN and FIELDS: (key, name, kind), keys rising."""

    DOMAIN = ""
    FIELDS: "tuple[tuple[int, str, Any], ...]" = ()

    def __init__(self, *checked: "Any", **values: "Any") -> None:
        """By name; `checked` is for `of`, which has looked at every value already (MicroPython has no __new__)."""
        if checked:
            for (_, name, _), value in zip(self.FIELDS, checked):
                setattr(self, name, value)
            return
        for _, name, kind in self.FIELDS:
            value = values.pop(name)
            assert kind.check(value), "%s.%s: %r" % (type(self).__name__, name, value)
            setattr(self, name, value)
        assert not values, "no such fields: %r" % (values,)

    def to_map(self) -> "dict[int, Any]":
        return {key: getattr(self, name) for key, name, _ in self.FIELDS}

    def encode(self) -> bytes:
        return cbor.encode(self.to_map())

    @classmethod
    def decode(cls, payload: bytes) -> "Self":
        return cls.of(cbor.decode(payload))

    @classmethod
    def of(cls, value: "Any") -> "Self":
        """The message that an already decoded map is."""
        if not isinstance(value, dict):
            raise WireError("bad-type", "%s is a map" % cls.__name__)
        found = []
        for key, name, kind in cls.FIELDS:
            if key not in value:
                raise WireError("missing-field", "%d %s" % (key, name))
            if not kind.check(value[key]):
                raise WireError("bad-field", "%d %s is %s" % (key, name, kind.words))
            found.append(value[key])
        if len(value) != len(cls.FIELDS):
            known = [key for key, _, _ in cls.FIELDS]
            raise WireError("unknown-field", "%s" % next(key for key in value if key not in known))
        return cls(*found)

    def fields(self) -> "list[tuple[str, Any]]":
        return [(name, getattr(self, name)) for _, name, _ in self.FIELDS]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Message) and self.FIELDS is other.FIELDS and self.fields() == other.fields()

    def __hash__(self) -> int:
        return hash(self.encode())

    def __repr__(self) -> str:
        return "%s(%s)" % (type(self).__name__, ", ".join(["%s=%r" % pair for pair in self.fields()]))
