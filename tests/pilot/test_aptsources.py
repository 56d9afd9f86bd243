"""Source definitions in both forms, as Debian, Raspberry Pi OS and cloud images write them."""

from pathlib import Path

from pilot.aptsources import Source, debian_archives, parse_deb822, parse_list, read_all

DEBIAN_12 = """\
Types: deb
# an older snapshot, as container images note it
URIs: http://archive.example/debian
Suites: bookworm bookworm-updates
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://archive.example/debian-security
Suites: bookworm-security
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
"""

WITH_KEY = """\
Types: deb deb-src
URIs: mirror+file:///etc/apt/mirrors/debian.list
Suites: trixie
Components: main contrib
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 mDMEY865UxYJKwYBBAHaRw8BAQdAd7Z0srwuhlB6JKFkcf4HU4SSS
 -----END PGP PUBLIC KEY BLOCK-----
Architectures: amd64
"""


def test_the_first_stanza_of_debian_is_taken_with_another_suite() -> None:
    (archive,) = debian_archives(parse_deb822(DEBIAN_12), "bookworm")
    assert archive.with_suite("trixie") == (
        "Types: deb\nURIs: http://archive.example/debian\nSuites: trixie\nComponents: main\n"
        "Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg\nTargets: Packages\n"
    )


def test_a_key_in_the_definition_goes_on_unchanged_and_architectures_do_not() -> None:
    (archive,) = debian_archives(parse_deb822(WITH_KEY), "trixie")
    told = archive.with_suite("trixie")
    assert parse_deb822(told)[0].options == archive.options
    assert "mDMEY865UxYJKwYBBAHaRw8BAQdAd7Z0srwuhlB6JKFkcf4HU4SSS" in told
    assert "Architectures" not in told


def test_one_line_form_with_and_without_options() -> None:
    text = """\
        # deb http://old.example/debian bullseye main
        deb cdrom:[Debian_12]/ bookworm main
        deb [ arch=amd64 signed-by=/usr/share/keyrings/a.gpg trusted=yes ] file:/srv/mirror bookworm main # ours
        deb-src http://archive.example/debian bookworm main
        deb http://archive.example/debian bookworm main
    """
    disc, mirror, plain = debian_archives(parse_list(text), "bookworm")
    assert mirror.uris == ("file:/srv/mirror",)
    assert dict(mirror.options) == {"Signed-By": "/usr/share/keyrings/a.gpg", "Trusted": "yes"}
    assert plain.uris == ("http://archive.example/debian",) and plain.options == ()
    assert disc.uris[0].startswith("cdrom:")


def test_what_is_not_debians_own_is_left_alone() -> None:
    text = """\
        deb http://tools.example/apt bookworm stable
        deb http://cloud.example/apt cloud-sdk-bookworm main
        deb http://archive.example/debian bookworm-backports main
    """
    assert debian_archives(parse_list(text), "bookworm") == []
    off = parse_deb822("Enabled: no\n" + DEBIAN_12.partition("\n\n")[0])
    assert [source.enabled for source in off] == [False] and debian_archives(off, "bookworm") == []


def test_the_main_list_comes_first_and_other_files_are_no_definitions(tmp_path: Path) -> None:
    parts = tmp_path / "sources.list.d"
    parts.mkdir()
    (tmp_path / "sources.list").write_text("deb http://first.example/debian bookworm main\n")
    (parts / "raspi.list").write_text("deb http://second.example/debian bookworm main\n")
    (parts / "old.list.save").write_text("deb http://never.example/debian bookworm main\n")
    found = debian_archives(read_all(tmp_path), "bookworm")
    assert [source.uris[0] for source in found] == ["http://first.example/debian", "http://second.example/debian"]
    assert isinstance(found[0], Source)


def test_a_system_without_definitions_has_none(tmp_path: Path) -> None:
    assert read_all(tmp_path) == []
