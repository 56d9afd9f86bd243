"""The flash chip of a board: NOR cells in a file, torn operations, wear, and the image that a flash tool writes.

Owns: the image file of one board, the count of operations, erase counts per block.
Refuses: knowing littlefs (beyond making an image) and deciding when power fails (faults.py, board.py).
Invariants: a program only clears bits, an erase only sets them; whatever happens, the file holds what the cells hold.
"""

import mmap
import random
from collections.abc import Mapping
from pathlib import Path

from littlefs import LittleFS

BLOCK = 4096
PAGE = 256
ERASE_US = 45_000  # typical NOR flash of an ESP32 module (data sheets of W25Q32 and GD25Q32: 45 ms a sector)
PROGRAM_US = 700  # a page of 256 bytes
EIO = 5
ENOSPC = 28


def make_image(files: Mapping[str, bytes], blocks: int = 512) -> bytes:
    """A littlefs image as a flash tool writes it; file names may hold folders."""
    fs = LittleFS(block_size=BLOCK, block_count=blocks, read_size=32, prog_size=32, lookahead_size=32, name_max=255)
    for name, content in sorted(files.items()):
        parent = str(Path(name).parent)
        if parent != ".":
            fs.makedirs(parent, exist_ok=True)
        with fs.open(name, "wb") as file:
            file.write(content)
    return bytes(fs.context.buffer)


def read_image(image: bytes) -> dict[str, bytes]:
    """Every file of a littlefs image, by path without the leading slash."""
    fs = LittleFS(block_size=BLOCK, block_count=len(image) // BLOCK, mount=False)
    fs.context.buffer[:] = image
    fs.mount()
    found: dict[str, bytes] = {}
    for folder, _, names in fs.walk("/"):
        for name in names:
            path = f"{folder.rstrip('/')}/{name}".lstrip("/")
            with fs.open(path, "rb") as file:
                found[path] = file.read()
    return found


class PowerFailed(Exception):
    """The operation was torn; the board is without power from here on."""


class Flash:
    """One chip. `ops` counts programs and erases since the image was opened; `wear` counts erases per block.
    `cut_at` is the number of the operation in whose middle power fails (the first is 1)."""

    def __init__(self, path: Path, seed: int = 0) -> None:
        self.path = path
        with path.open("r+b") as file:
            self._cells = mmap.mmap(file.fileno(), 0)
        self.blocks = len(self._cells) // BLOCK
        self.wear = [0] * self.blocks
        self.ops = 0
        self.cut_at: int | None = None
        self.full = False
        self.random = random.Random(seed)
        self._before = (0, b"")

    @classmethod
    def create(cls, path: Path, image: bytes, seed: int = 0) -> "Flash":
        path.write_bytes(image)
        return cls(path, seed)

    def image(self) -> bytes:
        return self._cells[:]

    def erase(self, block: int) -> int:
        """Set every bit of the block: 0, or -errno."""
        if block >= self.blocks:
            return -EIO
        if self.full:
            return -ENOSPC
        self.wear[block] += 1
        return self._change(block * BLOCK, b"\xff" * BLOCK)

    def program(self, block: int, offset: int, data: bytes) -> int:
        """Clear the bits that are 0 in `data`: 0, or -errno."""
        if block >= self.blocks or offset + len(data) > BLOCK:
            return -EIO
        at = block * BLOCK + offset
        cells = int.from_bytes(self._cells[at : at + len(data)], "big") & int.from_bytes(data, "big")
        return self._change(at, cells.to_bytes(len(data), "big"))

    def _change(self, at: int, after: bytes) -> int:
        self._before = at, self._cells[at : at + len(after)]
        self._cells[at : at + len(after)] = after
        self.ops += 1
        if self.cut_at is not None and self.ops >= self.cut_at:
            self.cut_at = None
            self.tear()
            raise PowerFailed
        return 0

    def tear(self) -> None:
        """Power failed during the last operation: part of it happened. Either it stopped somewhere, or (an erase
        only) every cell is on its way and reads as anything between old and new."""
        at, before = self._before
        after = self._cells[at : at + len(before)]
        if after == b"\xff" * BLOCK and self.random.random() < 0.5:
            noise = self.random.randbytes(len(before))
            torn = bytes(b | n for b, n in zip(before, noise, strict=True))
        else:
            done = self.random.randrange(len(before) + 1)
            torn = after[:done] + before[done:]
            if 0 < done < len(before):
                changing = before[done] ^ after[done]
                half = before[done] ^ (changing & self.random.randrange(256))
                torn = torn[:done] + bytes((half,)) + torn[done + 1 :]
        self._cells[at : at + len(torn)] = torn

    def flip_bit(self, block: int | None = None) -> tuple[int, int]:
        """Flip one bit, in a block that holds something unless one is named; says which byte and bit."""
        if block is None:
            used = [b for b in range(self.blocks) if self._cells[b * BLOCK : (b + 1) * BLOCK] != b"\xff" * BLOCK]
            block = self.random.choice(used or range(self.blocks))
        at = block * BLOCK + self.random.randrange(BLOCK)
        bit = self.random.randrange(8)
        self._cells[at] ^= 1 << bit
        return at, bit

    def close(self) -> None:
        self._cells.close()
