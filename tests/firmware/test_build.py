"""What is flashed: reproducible, complete for every board, and small; folding changes nothing that runs."""

import ast
import json
import subprocess
from pathlib import Path

import pytest

from hardware import build, fold


def test_the_same_sources_give_the_same_bytes(tmp_path: Path) -> None:
    first = build.build(tmp_path / "a", "esp32-c3")
    second = build.build(tmp_path / "b", "esp32-c3")
    assert first == second and first.firmware_hash == second.firmware_hash
    stored = json.loads((tmp_path / "a/manifest.json").read_text())
    assert set(stored["files"]) == {
        path.relative_to(tmp_path / "a").as_posix() for path in (tmp_path / "a").rglob("*") if path.is_file()
    } - {"manifest.json"}
    assert str(tmp_path).encode() not in b"".join(path.read_bytes() for path in (tmp_path / "a").rglob("*.mpy"))


@pytest.mark.parametrize("board", build.boards())
def test_every_board_has_a_build(board: str, tmp_path: Path) -> None:
    manifest = build.build(tmp_path, board)
    assert f"firmware/boards/{board.replace('-', '_')}.mpy" in manifest.files
    assert sum(path.startswith("firmware/boards/") for path in manifest.files) == 2
    assert manifest.flash_bytes < 150_000
    native = "firmware/crypto/field.mpy" in manifest.files
    assert native == bool(manifest.arch) and native != ("firmware/crypto/points_bigint.mpy" in manifest.files)


def test_a_source_that_does_not_compile_is_named(tmp_path: Path) -> None:
    with pytest.raises(build.BuildError, match=r"firmware/x\.mpy.*SyntaxError"):
        build.compile_text("def (", "firmware/x.mpy", tmp_path / "x.mpy", "")
    with pytest.raises(build.BuildError, match="no board 'toaster': there are esp32, "):
        build.build(tmp_path, "toaster")


SOURCES = {
    "wire": "",
    "wire.a": (
        "from wire.fields import Name\nWORDS = Name('x', 'y')\nA, B = range(2)\n_C = 3 << B\nBIG = 1 << 40\n"
        "LIST = (1, 2)\n"
        "SHADOW = 5\nASKED = 6\ndef f(SHADOW):\n    return SHADOW + _C\n"
    ),
    "firmware.b": (
        "from wire import a\nfrom wire.a import B, BIG, f\nY = a.WORDS.index('y')\nTYPE_CHECKING = False\n"
        "if TYPE_CHECKING:\n    from typing import Any\n"
        "def g():\n    return [B, Y, a.A, a._C, BIG, f(2), getattr(a, 'ASKED'), a.LIST[1]]\n"
    ),
}


def test_folding_puts_numbers_in_and_takes_names_out() -> None:
    folded = fold.fold(SOURCES)
    assert "return [1, 1, 0, 6, BIG, f(2), getattr(a, 'ASKED'), a.LIST[1]]" in folded["firmware.b"]
    assert "TYPE_CHECKING" not in folded["firmware.b"]
    bound = {node.id for node in ast.walk(ast.parse(folded["wire.a"])) if isinstance(node, ast.Name)}
    assert bound == {"BIG", "LIST", "ASKED", "SHADOW"}, "B, A, _C and WORDS are gone; SHADOW is a parameter too"


def test_folded_sources_do_the_same(micropython32: str, tmp_path: Path) -> None:
    """The same program, folded and not, on the interpreter that it is meant for."""
    answers = []
    for sources in (SOURCES, fold.fold(SOURCES)):
        script = ["import sys", "class Name:\n    def __init__(self, *n): self.n = n"]
        script.append("    def index(self, x): return self.n.index(x)")
        for name, text in sources.items():
            lines = "\n".join(line for line in text.splitlines() if not line.startswith("from "))
            lines = lines.replace("getattr(a, 'ASKED')", "ASKED").replace("a.", "")
            if name != "wire":
                script.append(lines)
        script.append("print(g())")
        path = tmp_path / f"{len(answers)}.py"
        path.write_text("\n".join(script))
        answers.append(subprocess.run([micropython32, str(path)], capture_output=True, text=True, check=True).stdout)
    assert answers[0] == answers[1] == "[1, 1, 0, 6, 1099511627776, 8, 6, 2]\n"
