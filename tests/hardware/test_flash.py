"""Flash of emulated boards: images, power cuts in the middle of any operation, wear, a full chip, flipped bits."""

import random
from dataclasses import replace
from pathlib import Path

import pytest

from hardware.emulator.board import Cause
from hardware.emulator.flash import BLOCK, Flash, PowerFailed, make_image, read_image
from hardware.emulator.runner import Emulator
from tests.hardware.rigs import lines, plan, play, until


def test_an_image_holds_what_was_put_in() -> None:
    files = {"main.py": b"pass\n", "firmware/boards/esp32.mpy": bytes(range(256)) * 40, "config.json": b"{}"}
    assert read_image(make_image(files, 64)) == files


def test_cells_are_nor(tmp_path: Path) -> None:
    flash = Flash.create(tmp_path / "f", b"\xff" * BLOCK * 4)
    assert flash.program(1, 8, b"\x0f\xf0") == 0
    assert flash.program(1, 8, b"\xfa\xff") == 0
    assert flash.image()[BLOCK + 8 : BLOCK + 10] == b"\x0a\xf0"
    assert flash.erase(1) == 0
    assert flash.image() == b"\xff" * BLOCK * 4
    assert (flash.ops, flash.wear) == (3, [0, 1, 0, 0])
    assert flash.erase(4) < 0 and flash.program(1, BLOCK - 1, b"ab") < 0
    flash.close()


@pytest.mark.parametrize("seed", range(20))
def test_a_torn_operation_is_between_before_and_after(tmp_path: Path, seed: int) -> None:
    flash = Flash.create(tmp_path / "f", b"\xff" * BLOCK * 2, seed)
    old = random.Random(seed).randbytes(64)
    flash.program(0, 0, old)
    flash.cut_at = flash.ops + 1
    with pytest.raises(PowerFailed):
        flash.program(0, 0, b"\x00" * 64)
    torn = flash.image()[:64]
    assert all(t & ~o == 0 for t, o in zip(torn, old, strict=True))  # only cleared bits
    flash.cut_at = flash.ops + 1
    with pytest.raises(PowerFailed):
        flash.erase(0)
    assert all(a & b == b for a, b in zip(flash.image()[:64], torn, strict=True))  # only set bits
    flash.close()


WRITER = """
    import os
    def read(name):
        try:
            with open(name) as f:
                return f.read()
        except OSError:
            return ""
    log = read("log").split()
    print("found", len(log), log == [str(n) for n in range(len(log))], read("state") or "-")
    for n in range(len(log), len(log) + 12):
        with open("log", "a") as f:
            f.write("%d\\n" % n)
        with open("state.new", "w") as f:
            f.write("<%d>" % n * 300)
        os.rename("state.new", "state")
        print("wrote", n)
    print("done")
"""


def test_power_may_fail_in_any_flash_operation(micropython: str, tmp_path: Path) -> None:
    """Cut at a seeded sample of operations: the file system mounts again, every line that was closed is there, and the
    replaced file is one whole generation."""
    chosen = random.Random(7).sample(range(1, 120), 12)

    async def act(emulator: Emulator) -> list[tuple[int, str]]:
        rig = emulator.rigs["one"]
        log = rig.board.log
        await lines(emulator, "done")
        seen = []
        for n in chosen:
            log.clear()
            emulator.faults.strike("power-cut", "one", amount=n)
            rig.board.reset(Cause.HARD, "test")
            await until(lambda: not rig.board.powered or "done" in log)
            written = [int(line.split()[1]) for line in log if line.startswith("wrote")]
            log.clear()
            rig.board.power_off()
            emulator.faults.repair("power-cut", "one")
            await lines(emulator, "done")
            seen.append((max(written, default=-1), log[0]))
        return seen

    for written, found in play(tmp_path, [plan(micropython, WRITER)], act):
        _, count, in_order, state = found.split(" ", 3)
        assert int(count) > written and in_order == "True", found
        assert state == state[: state.index(">") + 1] * 300, found


def test_a_cut_leaves_the_image_as_the_operation_left_it(micropython: str, tmp_path: Path) -> None:
    main = """
        with open("log", "w") as f:
            f.write("x" * 3000)
        print("done")
    """

    async def act(emulator: Emulator) -> tuple[bool, int, bytes]:
        rig = emulator.rigs["one"]
        await until(lambda: not rig.board.powered)
        image = rig.flash.image()
        rig.board.power_on()
        await lines(emulator, "done")
        return rig.board.powered, rig.board.tally.boots, image

    first = plan(micropython, main)

    async def armed(emulator: Emulator) -> tuple[bool, int, bytes]:
        emulator.faults.strike("power-cut", "one", amount=3)
        return await act(emulator)

    powered, boots, image = play(tmp_path, [first], armed)
    assert powered and boots == 2
    assert image != make_image(first.files, first.flash_blocks)


def test_flash_stays_between_two_runs_only_if_it_is_kept(micropython: str, tmp_path: Path) -> None:
    main = """
        import os
        print("again" if "log" in os.listdir() else "new")
        open("log", "w").close()
        print("done")
    """

    async def act(emulator: Emulator) -> str:
        return (await lines(emulator, "done"))[0]

    board = plan(micropython, main)
    seen = [play(tmp_path, [board], act, keep=keep) for keep in (True, True, False)]
    assert seen == ["new", "again", "new"]


def test_a_full_flash_is_an_error_that_the_firmware_sees(micropython: str, tmp_path: Path) -> None:
    main = """
        import time
        for n in range(150):
            try:
                with open("log", "w") as f:
                    f.write("x" * 9000)
                with open("log") as f:
                    print("stored", len(f.read()))
            except OSError as e:
                print("error", e.errno)
            time.sleep(1)
    """

    async def act(emulator: Emulator) -> list[str]:
        await lines(emulator, "stored")
        emulator.faults.strike("flash-full", "one", for_s=60)
        await lines(emulator, "error")
        return await lines(emulator, "stored", after=60)

    printed = play(tmp_path, [plan(micropython, main)], act, speed=200)
    assert "error 28" in printed and "stored 9000" in printed[-3:]


def test_seeded_boards_draw_the_same_random_bytes(micropython: str, tmp_path: Path) -> None:
    main = """
        import os, random
        print("drew", os.urandom(16), random.getrandbits(30))
    """

    async def act(emulator: Emulator) -> str:
        return (await lines(emulator, "drew"))[0]

    drawn = [play(tmp_path, [plan(micropython, main, seed=seed)], act) for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]
    unseeded = replace(plan(micropython, main).spec, seed=None)
    free = [play(tmp_path, [replace(plan(micropython, main), spec=unseeded)], act) for _ in range(2)]
    assert free[0] != free[1]
