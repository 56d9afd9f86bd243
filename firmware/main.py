"""What runs on the board: finds out what it is, starts it, and starts it again if it fails.

Owns: role, board, the console lines that tools read, the last resort.
Refuses: staying dead: what nobody foresaw is written to the console and ends in a reset.
"""

import asyncio
import gc
import sys

from firmware import boards
from firmware import keys as _deepest  # noqa: F401  the longest chain of imports, from where the stack is shortest
from firmware.memory import once
from firmware.settings import Base
from firmware.store import Files
from wire.ids import id_text
from wire.rows import RESET_CAUSES


def make():
    """The device, ready to run."""
    files = Files()
    settings = once("firmware.config wire.settings", "load", files)
    board = boards.load(settings.board)
    # Before the rest is loaded: the heap is never again as empty as now.
    base = Base(board, settings, files)
    once("firmware.assembly firmware.parts wire.report wire.state", "assemble", base)
    if settings.role == "station":
        from firmware.station import Station as Role
    else:
        from firmware.meter import Meter as Role
    device = Role(base)
    print("TALLYGRID %s %s boot %d %s" % (
        settings.role, id_text(device.id), device.numbers.boot, RESET_CAUSES[board.reset_cause()]
    ))  # fmt: skip
    for problem in device.problems:
        print("FAULT %s" % problem)
    if device.identity.new:
        print("ENROLMENT %s" % device.enrolment.hex())
    return device


def run():
    try:
        device = make()
        gc.collect()
        asyncio.run(device.run())
    except Exception as error:  # the top of the process
        print("FAULT %s: %s" % (type(error).__name__, error))
        if hasattr(sys, "print_exception"):
            sys.print_exception(error)
        boards.restart()
