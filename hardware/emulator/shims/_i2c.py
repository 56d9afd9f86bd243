"""machine.I2C: one question to the emulator a transfer."""

from struct import pack

from _emulator import ask, tell


class I2C:
    def __init__(self, id=0, scl=None, sda=None, freq=400000, timeout=50000):
        self._n = id
        tell(
            67, pack("<BbbI", id, scl._n if scl else -1, sda._n if sda else -1, freq)
        )  # C

    def _do(self, addr, data, n, stop=True):
        r = ask(105, pack("<BBHB", self._n, addr, n, stop) + data)  # i
        if r[0]:
            raise OSError(r[0])
        return r[1:]

    def scan(self):
        return list(self._do(0xFF, b"", 0))

    def writeto(self, addr, buf, stop=True):
        self._do(addr, bytes(buf), 0, stop)
        return len(buf)

    def writevto(self, addr, bufs, stop=True):
        return self.writeto(addr, b"".join(bufs), stop)

    def readfrom(self, addr, n, stop=True):
        return self._do(addr, b"", n, stop)

    def readfrom_into(self, addr, buf, stop=True):
        buf[:] = self._do(addr, b"", len(buf), stop)

    def readfrom_mem(self, addr, reg, n, *, addrsize=8):
        return self._do(addr, _register(reg, addrsize), n)

    def readfrom_mem_into(self, addr, reg, buf, *, addrsize=8):
        buf[:] = self.readfrom_mem(addr, reg, len(buf), addrsize=addrsize)

    def writeto_mem(self, addr, reg, buf, *, addrsize=8):
        self._do(addr, _register(reg, addrsize) + bytes(buf), 0)


def _register(reg, addrsize):
    return reg.to_bytes(addrsize // 8, "big")


def SoftI2C(scl, sda, *, freq=400000, timeout=50000):
    return I2C(-1 & 0xFF, scl, sda, freq)
