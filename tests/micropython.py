"""Runs a script of the checkout on an interpreter: MicroPython or CPython, answers line by line.

Owns: the search path (the checkout, then what the interpreter has built in).
Refuses: a script that fails: its words are the error.
"""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def run(interpreter: str, script: Path, *arguments: str, asked: str = "", heap: str = "") -> list[str]:
    """The lines that the script wrote, with `asked` as its standard input."""
    options = ["-X", f"heapsize={heap}"] if heap else []
    done = subprocess.run(
        [interpreter, *options, str(script), *arguments],
        input=asked,
        env={**os.environ, "MICROPYPATH": f"{ROOT}:.frozen", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, f"{interpreter} {script.name} {' '.join(arguments)}:\n{done.stdout}{done.stderr}"
    return done.stdout.splitlines()


CPYTHON = sys.executable
