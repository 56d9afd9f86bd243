"""Fetching and unpacking programs with a private apt, from an archive in a folder."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from pilot import apt, places, unpacked
from pilot.apt import Apt, Deb, is_whole, parse_uris
from pilot.errors import Unavailable
from tests.pilot.archive import SUITE, LocalArchive, need_apt

ARCH = "amd64"
# Stands where a C library's loader stands and does what matters here: it runs the program it is given.
LOADER = '#!/bin/sh\n[ "$1" = --library-path ] && [ -d "$2" ] || exit 9\nshift 2\nexec "$@"\n'


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalArchive]:
    need_apt()
    monkeypatch.setattr(apt, "_codename", lambda: "bookworm")
    local = LocalArchive(tmp_path, "bookworm")
    local.add("libc6", ARCH, {"usr/lib/a-triplet/ld-linux-test.so.2": LOADER})
    local.add("micropython", ARCH, {"usr/bin/micropython": "#!/bin/sh\necho one $1\n"}, "libc6, debconf")
    local.add("mosquitto", ARCH, {"usr/sbin/mosquitto": "#!/bin/sh\necho broker\n"}, "libc6, adduser (>= 3)")
    local.publish(ARCH)
    monkeypatch.setattr(unpacked, "source", lambda runtime, arch: Apt(runtime / "apt", arch, SUITE, local.etc))
    yield local


def private(archive: LocalArchive, tmp_path: Path) -> Apt:
    return Apt(tmp_path / "apt", ARCH, SUITE, archive.etc)


def files(debs: list[Deb]) -> list[str]:
    return sorted(deb.file for deb in debs)


def test_a_package_comes_with_what_it_needs_but_not_with_what_only_installing_needs(
    archive: LocalArchive, tmp_path: Path
) -> None:
    found = private(archive, tmp_path).resolve(["micropython", "mosquitto"])
    names = ["libc6_1.0-1_amd64.deb", "micropython_1.0-1_amd64.deb", "mosquitto_1.0-1_amd64.deb"]
    assert files(found) == names


def test_fetched_files_are_whole_and_damaged_ones_are_fetched_again(archive: LocalArchive, tmp_path: Path) -> None:
    ours = private(archive, tmp_path)
    debs = ours.resolve(["micropython"])
    store = tmp_path / "debs"
    ours.fetch(debs, store)
    assert all(is_whole(store / deb.file, deb) for deb in debs)
    spoilt = store / debs[0].file
    spoilt.write_bytes(spoilt.read_bytes()[:-1] + b"!")
    ours.fetch(debs, store)
    assert is_whole(spoilt, debs[0])


def test_a_file_that_is_not_what_the_index_says_is_refused(archive: LocalArchive, tmp_path: Path) -> None:
    ours = private(archive, tmp_path)
    debs = ours.resolve(["micropython"])
    changed = archive.pool / debs[0].file
    changed.write_bytes(changed.read_bytes()[:-1] + b"!")
    with pytest.raises(Unavailable):
        ours.fetch(debs, tmp_path / "debs")


def test_what_the_archive_does_not_have_is_named(archive: LocalArchive, tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="no-such-thing"):
        private(archive, tmp_path).resolve(["no-such-thing"])


def test_a_system_without_an_archive_says_so(tmp_path: Path) -> None:
    need_apt()
    with pytest.raises(Unavailable, match="names no Debian archive"):
        Apt(tmp_path / "apt", ARCH, SUITE, tmp_path / "nowhere")


def test_a_system_without_apt_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Unavailable, match="no apt-get"):
        Apt(tmp_path / "apt", ARCH, SUITE)
    with pytest.raises(Unavailable, match="no dpkg"):
        apt.native_arch()


def test_an_unpacked_program_runs_by_its_own_loader(archive: LocalArchive, tmp_path: Path) -> None:
    runtime = tmp_path / "a folder" / ".runtime"
    unpacked.add(runtime, ARCH, {"micropython64": "micropython"})
    program = unpacked.wrapper(runtime, "micropython64")
    assert subprocess.run([program, "x"], capture_output=True, text=True).stdout == "one x\n"
    moved = tmp_path / "elsewhere"
    runtime.rename(moved)
    assert subprocess.run([moved / "bin" / "micropython64"], capture_output=True, text=True).stdout == "one\n"


def test_programs_are_added_beside_those_that_are_there(archive: LocalArchive, tmp_path: Path) -> None:
    unpacked.add(tmp_path, ARCH, {"micropython64": "micropython"})
    before = unpacked.wrapper(tmp_path, "micropython64").read_text()
    unpacked.add(tmp_path, ARCH, {"mosquitto": "mosquitto"})
    outputs = [
        subprocess.run([unpacked.wrapper(tmp_path, name)], capture_output=True, text=True).stdout
        for name in ("micropython64", "mosquitto")
    ]
    assert outputs == ["one\n", "broker\n"]
    assert unpacked.wrapper(tmp_path, "micropython64").read_text() != before
    assert len(list(tmp_path.glob(f"{ARCH}-*"))) == 1, "the older root goes when nothing names it"


def test_what_an_interrupted_run_left_is_no_root_and_goes(archive: LocalArchive, tmp_path: Path) -> None:
    half = tmp_path / f".building-{ARCH}-4711"
    (half / "usr").mkdir(parents=True)
    unpacked.add(tmp_path, ARCH, {"micropython64": "micropython"})
    assert not half.exists()


def test_unpacking_that_fails_leaves_what_worked(
    archive: LocalArchive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unpacked.add(tmp_path, ARCH, {"micropython64": "micropython"})

    def torn(debs: list[Path], root: Path) -> None:
        root.mkdir(parents=True)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(apt, "unpack", torn)
    with pytest.raises(OSError, match="No space left"):
        unpacked.add(tmp_path, ARCH, {"mosquitto": "mosquitto"})
    program = unpacked.wrapper(tmp_path, "micropython64")
    assert subprocess.run([program], capture_output=True, text=True).stdout == "one\n"
    assert not unpacked.wrapper(tmp_path, "mosquitto").exists()


def test_the_programs_of_another_machine_run_in_an_emulator(
    archive: LocalArchive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(apt, "native_arch", lambda: ARCH)
    emulator = '#!/bin/sh\necho emulated\nexec "$@"\n'
    archive.add("qemu-user", ARCH, {"usr/bin/qemu-arm": emulator, "usr/bin/qemu-mips": emulator})
    archive.add("libc6", "armhf", {"usr/lib/another/ld-linux-armhf.so.3": LOADER})
    archive.add("micropython", "armhf", {"usr/bin/micropython": "#!/bin/sh\necho arm $1\n"}, "libc6")
    archive.publish(ARCH)
    archive.publish("armhf")
    unpacked.add(tmp_path, "armhf", {"micropython_armhf": "micropython"})
    program = unpacked.wrapper(tmp_path, "micropython_armhf")
    assert subprocess.run([program, "x"], capture_output=True, text=True).stdout == "emulated\narm x\n"
    assert [path.name for path in tmp_path.glob("amd64-*/usr/bin/qemu-*")] == ["qemu-arm"]
    monkeypatch.setattr(apt, "native_arch", lambda: "arm64")
    assert not unpacked.needs_runner("armhf") and not unpacked.needs_runner("arm64")


def test_pip_comes_from_a_package_where_python_has_none(archive: LocalArchive, tmp_path: Path) -> None:
    archive.add(unpacked.PIP_PACKAGE, "all", {"usr/share/python-wheels/pip-25.0-py3-none-any.whl": "a wheel"})
    archive.publish(ARCH)
    if not sorted(Path("/usr/share/python-wheels").glob("pip-*.whl")):
        assert unpacked.pip_wheel(tmp_path).read_text() == "a wheel"
    else:  # the system's own is good enough
        assert unpacked.pip_wheel(tmp_path).name.startswith("pip-")


def test_a_bundle_gives_the_same_files_and_refuses_damaged_ones(
    archive: LocalArchive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = private(archive, tmp_path)
    debs = ours.resolve(["micropython"])
    ours.fetch(debs, tmp_path / "debs")
    told = ",".join(f'{{"file": "{deb.file}", "size": {deb.size}, "sha256": "{deb.sha256}"}}' for deb in debs)
    (tmp_path / "bundle.json").write_text(f'{{"debs": {{"{ARCH}": [{told}]}}}}')
    monkeypatch.setattr(unpacked, "source", lambda runtime, arch: unpacked.Carried(tmp_path, arch))
    unpacked.add(tmp_path / "one", ARCH, {"micropython64": "micropython"})
    program = unpacked.wrapper(tmp_path / "one", "micropython64")
    assert subprocess.run([program], capture_output=True, text=True).stdout == "one\n"
    (tmp_path / "debs" / debs[0].file).write_bytes(b"torn")
    with pytest.raises(Unavailable, match="is damaged"):
        unpacked.add(tmp_path / "two", ARCH, {"micropython64": "micropython"})
    with pytest.raises(Unavailable, match="has no arm64"):
        unpacked.add(tmp_path / "three", "arm64", {"micropython64": "micropython"})


def test_a_bundle_is_found_by_name_or_around_the_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(places.BUNDLE_VARIABLE, raising=False)
    monkeypatch.setattr(places, "CHECKOUT", tmp_path / "tallygrid")
    assert places.bundle() is None
    (tmp_path / "bundle.json").write_text("{}")
    assert places.bundle() == tmp_path
    monkeypatch.setenv(places.BUNDLE_VARIABLE, str(tmp_path / "nothing"))
    with pytest.raises(Unavailable, match="no folder made by"):
        places.bundle()


def test_file_names_give_package_and_version() -> None:
    told = "'http://archive.example/libcap2_1%3a2.75_amd64.deb' libcap2_1%3a2.75_amd64.deb 28988"
    text = f"Reading package lists...\n{told} SHA256:{'0' * 64}\n"
    (deb,) = parse_uris(text)
    assert deb.package == "libcap2=1:2.75" and deb.size == 28988
