"""What config.json may say, and what holds when it says something wrong.

Owns: the table of keys, defaults, the last good copy, settings that came in a configuration message.
Refuses: unknown keys by name and values outside their range; the whole file is then put aside for the last good one.
Invariants: `load` always returns a configuration the device can run on; `problems` says what was wrong with the file.
A new config.json (over USB) drops what messages had changed before.
"""

import json
from binascii import crc32, unhexlify
from struct import pack, unpack_from

from firmware.settings import Settings
from firmware.store import Slots
from wire import cbor
from wire.errors import WireError
from wire.fields import ENERGY, PUBLIC_KEY, Int, Text
from wire.settings import GUARDED, SETTINGS

PATH = "config.json"
GOOD = "config.good"
KEYS = ("registrar_key", "gateway_key", "dispatch_key")  # hex in the file, bytes in here
ROLES = ("meter", "station")

# Keys of the file besides wire.settings: name, kind (a check), default.
OWN = (
    ("role", ROLES, "meter"),
    ("board", Text(32), ""),
    ("name", Text(64), ""),
    ("rating_w", Int(1, 1_000_000), 75_000),
    ("capacity_wh", ENERGY, 0),
    ("unit_wh", Int(1, 1_000_000), 1_000),  # the chain's: a store that moved by so much says so
    ("journal_kb", Int(32, 16_384), 1_024),
    ("sensors", list, ()),
    ("actors", list, ()),
    ("door", Text(16), ""),  # the bus name of an emergency input, closed when all is well
    ("element", dict, None),  # an ATECC608 that keeps the key
    ("broker", dict, None),
    ("wifi", dict, None),
)
# What the maps and lists of it may hold: name, kind, default (... where it must be given).
PARTS = (
    ("part", Text(32), ...),
    ("bus", Text(16), ...),
    ("address", Int(0, 255), 1),
    ("baud", Int(0, 1_000_000), 0),
    ("phase", Int(0, 3), 0),
    ("export", Int(0, 1), 0),
    ("contact", Text(16), ""),
    ("open_bus", Text(16), ""),
    ("pulses_per_kwh", Int(500, 100_000), 1_000),  # fewer would be more than the check on energy and power allows
    ("shunt_uohm", Int(1, 1_000_000), 1_000),
    ("full_mv", Int(1, 1_000_000), 400_000),
    ("full_ma", Int(1, 1_000_000), 50_000),
)
BROKER = (
    ("host", Text(64), ...),
    ("port", Int(1, 65_535), 8883),
    ("tls", Int(0, 1), 1),
    ("ca", Text(64), "ca.der"),
    ("certificate", Text(64), "device.der"),
    ("private_key", Text(64), "device.key.der"),
)
ELEMENT = (("bus", Text(16), ...), ("address", Int(8, 119), 0x60))
WIFI = (("ssid", Text(32), ...), ("password", Text(64), ""))

TABLES = {"broker": BROKER, "wifi": WIFI, "element": ELEMENT}

DEFAULTS = {
    "row_s": 60,
    "sample_ms": 1_000,
    "seal_rows": 10,
    "seal_s": 600,
    "save_s": 60,
    "ntp_host": "",
    "soc_min_milli": 100,
    "soc_max_milli": 950,
    "charge_w_max": 0,
    "discharge_w_max": 0,
    "voltage_mv_min": 195_500,
    "voltage_mv_max": 264_500,
    "current_ma_max": 16_000,
    "temperature_dc_min": 0,
    "temperature_dc_max": 450,
    "relay_on_s_min": 10,
    "relay_off_s_min": 10,
    "ramp_w_per_s": 0,
    "frozen_samples": 300,
}


def _settings(values):
    found = Settings()
    for name, _, default in OWN:
        setattr(found, name, values.get(name, default))
    for _, name, _ in SETTINGS + GUARDED:
        if name != "name":
            setattr(found, name, values.get(name, DEFAULTS.get(name)))
    return found


def change(settings, changes):
    """Puts new values in force; `changes` by number."""
    names = {key: name for key, name, _ in SETTINGS + GUARDED}
    for key, value in changes.items():
        setattr(settings, names[key], value)
        settings.changed[key] = value


def load(files):
    """The configuration in force."""
    data = files.read(PATH)
    values, problems = check(data)
    if problems:
        good = files.read(GOOD)
        if good is not None and not check(good)[1]:
            values = check(good)[0]
    elif data != files.read(GOOD):
        files.write(GOOD, data)
    settings = _settings(values)
    settings.problems = problems
    settings.crc = crc32(data or b"")
    _overlay(files, settings)
    return settings


def _overlay(files, settings):
    record = Slots(files, "settings").load()
    if record is None or unpack_from(">I", record)[0] != settings.crc:
        return
    try:
        change(settings, cbor.decode(record[4:]))
    except (WireError, KeyError):
        settings.problems.append("the settings from messages are damaged and were left out")


def save_changes(files, settings):
    slots = Slots(files, "settings")
    slots.load()
    slots.save(pack(">I", settings.crc) + cbor.encode(settings.changed))


def check(data):
    """(what can be used, what is wrong) of a config.json."""
    if data is None:
        return {}, ["there is no %s" % PATH]
    try:
        read = json.loads(data)
    except (ValueError, UnicodeError):
        return {}, ["%s is no JSON" % PATH]
    if not isinstance(read, dict):
        return {}, ["%s is no object" % PATH]
    problems = []
    values = {}
    kinds = [(name, kind) for name, kind, _ in OWN] + [(name, kind) for _, name, kind in SETTINGS + GUARDED]
    kinds = dict(kinds)
    for name, value in read.items():
        if name not in kinds:
            problems.append("unknown key %s" % name)
            continue
        try:
            values[name] = _value(name, kinds[name], value)
        except ValueError as error:
            problems.append("%s: %s" % (name, error))
    return values, problems


def _value(name, kind, value):
    if name in KEYS:
        try:
            value = unhexlify(value)
        except (ValueError, TypeError):
            raise ValueError("not hex") from None
        if not PUBLIC_KEY.check(value) or value[0] != 4:
            raise ValueError("not a public key of 65 bytes")
        return value
    if kind is list:
        if not isinstance(value, list):
            raise ValueError("not a list")
        return [_table(PARTS, part) for part in value]
    if kind is dict:
        return None if value is None else _table(TABLES[name], value)
    if isinstance(kind, tuple):
        if value not in kind:
            raise ValueError("not one of %s" % ", ".join(kind))
    elif not kind.check(value):
        raise ValueError("out of range")
    return value


def _table(table, given):
    if not isinstance(given, dict):
        raise ValueError("not an object")
    found = {}
    for name, kind, default in table:
        value = given.get(name, default)
        if value is ...:
            raise ValueError("%s is missing" % name)
        if not kind.check(value):
            raise ValueError("%s is out of range" % name)
        found[name] = value
    for name in given:
        if name not in found:
            raise ValueError("unknown key %s" % name)
    return found
