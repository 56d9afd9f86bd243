"""Parts on I2C whose registers the catalog lists.

Owns: the register pointer, widths, reset values, acknowledging. Refuses: registers the chip has not.
Invariants: a write that names a register and a read after it reach that register; a dead chip acknowledges nothing.
"""

from abc import abstractmethod

from hardware.catalog import Part
from hardware.catalog.part import Chip as Register

from .gauge import Failure, Gauge


class Chip:
    """An I2cPart. `pointer_bytes`: how long a register's address is on the bus."""

    pointer_bytes = 1

    def __init__(self, part: Part, gauge: Gauge, address: int) -> None:
        self.part = part
        self.gauge = gauge
        self.address = address
        self.failure = Failure.NONE
        self._by_address = {register.address: register for register in part.chip}
        self._pointer = 0
        self.kept: dict[str, int] = {}
        self.restart(0)

    def restart(self, now_us: int) -> None:
        """Power came (back): every register as the data sheet says."""
        self.kept = {register.name: register.default for register in self.part.chip}
        self._pointer = 0

    def fail(self, failure: Failure, now_us: int) -> None:
        self.failure = failure
        self.gauge.fail(failure, now_us)

    @abstractmethod
    def value(self, register: Register, now_us: int) -> int:
        """What stands in a register now."""

    def written(self, register: Register, value: int, now_us: int) -> None:
        """A register was written; the default keeps the value."""
        self.kept[register.name] = value

    def write(self, data: bytes, now_us: int) -> bool:
        if self.failure is Failure.DEAD:
            return False
        if len(data) < self.pointer_bytes:
            return True  # a probe
        self._pointer = int.from_bytes(data[: self.pointer_bytes], "big")
        value = data[self.pointer_bytes :]
        register = self._by_address.get(self._pointer)
        if value and register is not None and register.writable and len(value) == register.bits // 8:
            self.written(register, int.from_bytes(value, "big"), now_us)
        return True

    def read(self, count: int, now_us: int) -> bytes | None:
        if self.failure is Failure.DEAD:
            return None
        register = self._by_address.get(self._pointer)
        if self.failure is Failure.BABBLING or register is None:
            return b"\xff" * count  # nobody pulls the line down
        size = register.bits // 8
        number = self.value(register, now_us) & ((1 << register.bits) - 1)
        return (number.to_bytes(size, "big") + b"\xff" * count)[:count]
