"""Where this system gets its Debian packages from, read from its own source definitions.

Owns: both forms of definition (deb822 `.sources`, one-line `.list`), and which stanza is Debian's own.
Refuses: writing any of them, and every archive that is not the system's own.
Invariant: URIs, key and trust options are taken over unchanged; only the suite is another.
"""

import re
import shlex
from pathlib import Path
from typing import Final, NamedTuple

# Options of a definition that say how to reach and trust the archive; all others (Architectures, Targets, ...) choose
# what to read from it, and that is ours to choose.
_KEPT: Final = ("Signed-By", "Trusted", "Check-Valid-Until", "Check-Date", "Allow-Insecure", "Allow-Weak")
_RELATIVE: Final = ("stable", "oldstable", "testing")


class Source(NamedTuple):
    """One stanza: an archive, and what of it the system uses."""

    types: tuple[str, ...]
    uris: tuple[str, ...]
    suites: tuple[str, ...]
    components: tuple[str, ...]
    options: tuple[tuple[str, str], ...]
    enabled: bool = True

    def with_suite(self, suite: str) -> str:
        """The same archive with another suite, in deb822 form; only the package index is read."""
        fields = [("Types", "deb"), ("URIs", " ".join(self.uris)), ("Suites", suite), ("Components", "main")]
        return "".join(f"{name}: {value}\n" for name, value in [*fields, *self.options, ("Targets", "Packages")])


def parse_deb822(text: str) -> list[Source]:
    return [_stanza(block) for block in re.split(r"\n[ \t]*\n", text) if re.search(r"^URIs:", block, re.M | re.I)]


def _stanza(block: str) -> Source:
    fields: dict[str, str] = {}
    name = ""
    for line in block.splitlines():
        if line.startswith("#") or not line.strip():
            continue
        if line[0] in " \t":
            fields[name] += "\n" + line  # a key block spans lines; they go on unchanged
        else:
            name, _, value = line.partition(":")
            name = name.strip().lower()
            fields[name] = value.strip()
    kept = tuple((each, fields[each.lower()]) for each in _KEPT if each.lower() in fields)
    words = {each: tuple(fields.get(each, "").split()) for each in ("types", "uris", "suites", "components")}
    enabled = fields.get("enabled", "yes").lower() not in ("no", "false", "0", "off", "without", "disable")
    return Source(words["types"], words["uris"], words["suites"], words["components"], kept, enabled)


def parse_list(text: str) -> list[Source]:
    """One-line form: `deb [signed-by=FILE] URI SUITE COMPONENT...`."""
    sources = []
    for line in text.splitlines():
        found = re.match(r"\s*(deb|deb-src)\s+(?:\[([^\]]*)\]\s*)?([^#]*)", line)
        words = shlex.split(found[3]) if found else []
        if found and len(words) >= 2:
            given = dict(each.partition("=")[::2] for each in (found[2] or "").split())
            kept = tuple((name, given[name.lower()].replace(",", " ")) for name in _KEPT if name.lower() in given)
            sources.append(Source((found[1],), (words[0],), (words[1],), tuple(words[2:]), kept))
    return sources


def debian_archives(sources: list[Source], codename: str) -> list[Source]:
    """The stanzas that can be Debian's own, in order; a third party's have other suites or components."""
    suites = {codename, *_RELATIVE}
    return [
        source
        for source in sources
        if source.enabled and "deb" in source.types and "main" in source.components and suites & set(source.suites)
    ]


def read_all(etc: Path) -> list[Source]:
    """All definitions under /etc/apt in apt's order: the main list first, then the parts by name."""
    parts = sorted((etc / "sources.list.d").glob("*")) if (etc / "sources.list.d").is_dir() else []
    sources: list[Source] = []
    for path in [etc / "sources.list", *parts]:
        if path.is_file() and path.suffix in (".list", ".sources"):
            text = path.read_text(encoding="utf-8", errors="replace")
            sources += parse_list(text) if path.suffix == ".list" else parse_deb822(text)
    return sources
