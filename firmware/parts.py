"""From the names in config.json to drivers on the board's buses.

Owns: which driver serves which part, what it needs, lines shared by several parts.
Refuses: a part that nobody knows, a bus the board has not: by name, so that the rest of the device runs on.
Invariant: a driver's module is loaded only where the part is configured.
"""

from firmware.drivers import modbus

# part -> (module, class, how it is built)
SENSORS = {
    "pzem004t-v3": ("pzem004t", "PZEM004T", "pzem"),
    "pzem004t-v4": ("pzem004t", "PZEM004T", "pzem"),
    "sdm120": ("sdm120", "SDM120", "modbus"),
    "sdm630": ("sdm630", "SDM630", "modbus"),
    "ade7953": ("ade7953", "ADE7953", "ade7953"),
    "ina226": ("ina226", "INA226", "ina226"),
    "s0-pulse": ("s0", "S0", "s0"),
}
ACTORS = {
    "relay": ("relay", "Relay", "relay"),
    "relay-latching": ("relay", "LatchingRelay", "latching"),
    "sunspec-inverter": ("sunspec_inverter", "SunSpecInverter", "modbus"),
    "sunspec-battery": ("sunspec_battery", "SunSpecBattery", "modbus"),
}
RESTARTING = ("ade7953", "s0-pulse")  # their registers count from the start of the driver
BAUD = 9_600  # where the driver names none


class Maker:
    """Builds drivers; remembers the lines, so that parts on one bus take turns."""

    def __init__(self, board):
        self._board = board
        self._lines = {}
        self.problems = []

    def make(self, table, wanted):
        """[(entry, driver)] for those that can be built."""
        made = []
        for entry in wanted:
            name = entry["part"]
            try:
                if name not in table:
                    raise ValueError("no such part")
                module, kind, way = table[name]
                found = __import__("firmware.drivers." + module, None, None, (kind,))
                made.append((entry, getattr(self, "_" + way)(found, getattr(found, kind), entry)))
            except (ValueError, OSError) as error:
                self.problems.append("%s on %s: %s" % (name, entry["bus"], error))
        return made

    def _line(self, module, entry):
        bus = entry["bus"]
        if bus not in self._lines:
            baud = entry["baud"] or getattr(module, "BAUD", BAUD)
            self._lines[bus] = modbus.Line(self._board.uart(bus, baud), baud)
        return self._lines[bus]

    def _pzem(self, module, kind, entry):
        return kind(self._line(module, entry), entry["address"], bool(entry["export"]))

    def _modbus(self, module, kind, entry):
        return kind(self._line(module, entry), entry["address"])

    def _ade7953(self, module, kind, entry):
        return kind(self._board.i2c(entry["bus"]), entry["full_mv"], entry["full_ma"], invert=bool(entry["export"]))

    def _ina226(self, module, kind, entry):
        return kind(self._board.i2c(entry["bus"]), entry["shunt_uohm"], entry["address"])

    def _s0(self, module, kind, entry):
        pin = self._board.pin(entry["bus"])
        return kind(pin, entry["pulses_per_kwh"], self._board.ticks_ms, bool(entry["export"]))

    def _relay(self, module, kind, entry):
        return kind(self._board.pin(entry["bus"], 0), self._contact(entry))

    def _latching(self, module, kind, entry):
        return kind(self._board.pin(entry["bus"], 0), self._board.pin(entry["open_bus"], 0), self._contact(entry))

    def _contact(self, entry):
        """The contact pulls down when closed, as a wire that breaks must not look closed."""
        if not entry["contact"]:
            return None
        pin = self._board.pin(entry["contact"])
        return lambda: 1 - pin.value()
