"""Which program counts as which runtime, and what is said where none can be had."""

import sys
from pathlib import Path

import pytest

from pilot import apt, places, runtimes, unpacked
from pilot.errors import Unavailable
from pilot.runtimes import KINDS, by_arch, find, need, probe, variable


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine on which nothing is found: an empty PATH that the test may fill, and no fetched programs."""
    for name in KINDS:
        monkeypatch.delenv(variable(name), raising=False)
    monkeypatch.setattr(places, "runtime", lambda: tmp_path / ".runtime")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr(runtimes, "SERVERS", str(tmp_path / "sbin"))
    (tmp_path / "bin").mkdir()
    return tmp_path / "bin"


def program(folder: Path, name: str, says: str) -> Path:
    path = folder / name
    path.write_text(f"#!/bin/sh\necho '{says}'\n")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize(
    ("says", "wanted", "verdict"),
    [
        ("micropython 1.25.0 32", "micropython32", "1.25.0"),
        ("micropython 1.27.0 64", "micropython64", "1.27.0"),
        ("micropython 1.25.0 64", "micropython32", "not what is wanted"),
        ("micropython 1.22.1 32", "micropython32", "at least 1.25 is needed"),
        ("cpython 3.11.2 64", "micropython64", "not what is wanted"),
        ("mosquitto version 2.0.21", "mosquitto", "2.0.21"),
        ("mosquitto version 1.5.7", "mosquitto", "at least 2.0 is needed"),
        ("valgrind-3.19.0", "valgrind", "at least 3.24 is needed"),
        ("valgrind-3.24.0", "valgrind", "3.24.0"),
        ("v0.38.25", "cometbft", "0.38.25"),
        ("v0.37.4", "cometbft", "not what is wanted"),
        ("Chromium 142.0.7444.59 built on Debian", "chromium", "142.0.7444.59"),
    ],
)
def test_a_program_is_what_it_says_it_is(tmp_path: Path, says: str, wanted: str, verdict: str) -> None:
    path = program(tmp_path, "it", says)
    try:
        told = probe(KINDS[wanted], path)
    except Unavailable as lack:
        told = str(lack)
    assert verdict in told


def test_this_python_is_no_micropython() -> None:
    with pytest.raises(Unavailable, match="cpython"):
        probe(KINDS["micropython64"], Path(sys.executable))


def test_a_program_that_cannot_run_is_not_found(tmp_path: Path) -> None:
    (tmp_path / "it").write_bytes(b"\x7fELF of a machine that this is not")
    (tmp_path / "it").chmod(0o755)
    with pytest.raises(Unavailable, match="does not run"):
        probe(KINDS["mosquitto"], tmp_path / "it")


def test_the_systems_own_is_used_where_it_is_good_enough(bare: Path) -> None:
    program(bare, "micropython", "micropython 1.26.0 64")
    program(bare, "mosquitto", "mosquitto version 1.6.9")
    found = find("micropython32", "micropython64", "mosquitto")
    assert (found["micropython64"].origin, found["micropython64"].version) == ("system", "1.26.0")
    assert [found[name].origin for name in ("micropython32", "mosquitto")] == ["missing", "missing"]
    assert found.micropython() == bare / "micropython"


def test_what_the_environment_names_is_taken_or_refused_but_never_passed_over(
    bare: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(bare, "micropython", "micropython 1.26.0 64")
    monkeypatch.setenv(variable("micropython64"), str(program(bare, "other", "micropython 1.20.0 64")))
    found = need("micropython64")
    assert found["micropython64"].path is None
    with pytest.raises(Unavailable, match=r"TALLYGRID_MICROPYTHON64.*1\.20\.0"):
        found.path("micropython64")
    monkeypatch.setenv(variable("micropython64"), str(program(bare, "good", "micropython 1.25.0 64")))
    assert need("micropython64").environ()[variable("micropython64")] == str(bare / "good")


def test_without_apt_it_says_what_is_missing_and_why(bare: Path, capfd: pytest.CaptureFixture[str]) -> None:
    found = need("micropython32", "mosquitto")
    out, err = capfd.readouterr()
    assert [runtime.path for runtime in found.values()] == [None, None]
    assert out == "" and "micropython32: missing" in err and "no dpkg" in err
    with pytest.raises(Unavailable, match="mosquitto is needed and cannot be had here"):
        found.path("mosquitto")
    assert variable("mosquitto") not in found.environ()


def test_what_was_fetched_and_does_not_run_is_not_fetched_again(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wrapper = unpacked.wrapper(places.runtime(), "micropython32")
    wrapper.parent.mkdir(parents=True)
    program(wrapper.parent, wrapper.name, "cannot execute: Exec format error")
    monkeypatch.setattr(unpacked, "add", lambda *_: pytest.fail("fetched once more"))
    found = need("micropython32")
    assert found["micropython32"].path is None
    assert "may not run 32-bit programs" in found["micropython32"].reason


def test_without_go_the_engine_is_named_as_missing(bare: Path) -> None:
    found = need("cometbft")
    with pytest.raises(Unavailable, match="no Go"):
        found.path("cometbft")


@pytest.mark.parametrize(
    ("native", "expected", "without"),
    [
        ("amd64", {"i386": ["micropython32"], "amd64": ["micropython64", "mosquitto"]}, []),
        ("arm64", {"armhf": ["micropython32"], "arm64": ["micropython64", "mosquitto"]}, []),
        ("armhf", {"armhf": ["micropython32", "mosquitto"]}, ["micropython64"]),
        ("riscv64", {"riscv64": ["micropython64", "mosquitto"]}, ["micropython32"]),
    ],
)
def test_each_machine_has_its_own_narrow_sister(
    monkeypatch: pytest.MonkeyPatch, native: str, expected: dict[str, list[str]], without: list[str]
) -> None:
    monkeypatch.setattr(apt, "native_arch", lambda: native)
    troubles: dict[str, str] = {}
    assert by_arch(("micropython32", "micropython64", "mosquitto"), troubles) == expected
    assert list(troubles) == without


def test_the_real_ones_are_what_they_are_called(micropython64: str) -> None:
    assert probe(KINDS["micropython64"], Path(micropython64)) >= "1.25"
