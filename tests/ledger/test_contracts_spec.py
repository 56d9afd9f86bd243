"""docs/spec-ledger.md is what the contracts do: kinds, parameters, state keys, queries, events, reasons."""

from __future__ import annotations

import re
from pathlib import Path

from ledger import contracts
from ledger.contracts.parameters import TABLE
from ledger.contracts.shelf import Shelf
from wire import chain, errors
from wire.chain import kinds
from wire.chain.kinds import EVERY

ROOT = Path(__file__).parents[2]
SPEC = (ROOT / "docs" / "spec-ledger.md").read_text()
SOURCE = "\n".join(path.read_text() for path in sorted((ROOT / "ledger" / "contracts").glob("*.py")))


def rows(heading: str) -> list[list[str]]:
    part = SPEC[SPEC.index(heading) :]
    part = part[: part.index("\n## ", 4)]
    lines = [line for line in part.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[2:]]


def test_kinds() -> None:
    wanted = [
        [
            str(kind.NUMBER),
            kind.__name__,
            ", ".join(kind.CHAINS),
            " · ".join(f"{key} {name}: {field.words}" for key, name, field in kind.FIELDS) or "–",
        ]
        for kind in kinds.KINDS
    ]
    assert [row[:4] for row in rows("## 1.")] == wanted


def test_every_kind_has_a_handler_on_its_chains_and_no_other() -> None:
    for sort in EVERY:
        handled = {number for contract in contracts.of(sort) for number in contract.handlers}
        assert handled == {kind.NUMBER for kind in kinds.KINDS if sort in kind.CHAINS}


def test_account_word() -> None:
    wanted = [[str(key), name, kind.words] for key, name, kind in kinds.AccountEnrolment.FIELDS]
    assert rows("## 2.") == wanted


def test_parameters() -> None:
    wanted = [[one.name, ", ".join(one.chains), str(one.default), f"{one.low}…{one.high}"] for one in TABLE]
    assert [row[:4] for row in rows("## 3.")] == wanted


def test_state_keys() -> None:
    used = set(re.findall(r'(?:Shelf|Counter)\("([a-z-]+)/?"', SOURCE)) | {"parameter", "purse"}
    told = {name.rstrip("/") for row in rows("## 4.") for name in row[0].split(", ")}
    assert told == used


def test_no_shelf_is_inside_another() -> None:
    prefixes = [Shelf(name, tuple).prefix for name in re.findall(r'Shelf\("([a-z-]+)"', SOURCE)]
    assert len(set(prefixes)) == len(prefixes)
    assert not [(a, b) for a in prefixes for b in prefixes if a != b and a.startswith(b)]


def test_queries_events_and_reasons() -> None:
    told = SPEC[SPEC.index("## 6.") :]
    for sort in EVERY:
        for contract in contracts.of(sort):
            for path in contract.queries:
                assert f"`{path}`" in told, path
    for event in re.findall(r'emit\(\s*"([a-z/-]+)"', SOURCE):
        start, _, what = event.partition("/")
        assert event in told or (f"{start}/" in told and f"/{what}" in told), event
    elsewhere = {*errors.REASONS, *chain.REASONS}
    for reason in re.findall(r'(?:require\([^"]+?|need\([^"]+?|Refused\()"([a-z-]+)"', SOURCE):
        start, _, what = reason.partition("-")
        said = f"`{reason}`" in told or (f"`{start}-" in told and f"`-{what}`" in told)
        assert said or reason in elsewhere, reason
