"""Experiments 1 and 2 come out as the paper has them, but for the cells that are named; that list is exact."""

from __future__ import annotations

import asyncio
import json

import pytest

from ledger.engines.local import Rules
from pilot import cli
from pilot.experiments import cells, one, two
from pilot.experiments.cells import Cell, Outcome
from pilot.runtimes import find

QUICK = Rules(max_wait_s=0.02, max_txs=10)


def silent(_line: str) -> None:
    pass


@pytest.fixture(scope="module")
def first() -> Outcome:
    return asyncio.run(one.play("local", silent, QUICK))


@pytest.fixture(scope="module")
def second() -> Outcome:
    return asyncio.run(two.play("local", silent))


def ours(outcome: Outcome) -> dict[str, int | str]:
    return {cell.item: cell.ours for cell in outcome.cells}


def test_experiment_1(first: Outcome) -> None:
    assert first.surprises() == []
    seen = ours(first)
    assert [seen[f"figure 8 after {who}"] for who in ("Client1 T", "Client1 S", "EC T")] == [927, 73, 1000]
    assert [seen[f"figure 9 after Client1 {chain}"] for chain in "ST"] == [53, 947]
    assert [seen[f"figure 10 after EC {chain}"] for chain in "ST"] == [700, 1300]
    assert [seen[f"figure 12 record {n}"] for n in (1, 2, 3)] == ["EC→Client1 73", "Client1→Client1 20", "EC→EC 300"]
    assert "figure 11 record 4" not in seen and "figure 12 record 4" not in seen
    assert {seen[f"figure 13 record {n}"] for n in range(4, 19)} == {"not reproducible"}
    assert seen["figure 11 read by a station's key"] == seen["figure 12 read by a money-only key"] == "nothing"


def test_experiment_2(second: Outcome) -> None:
    assert second.surprises() == []
    assert len(second.differing) == 6
    seen = ours(second)
    assert seen["figure 23 records Client1→St.b"] == 14 and seen["figure 23 records St.a→Client3"] == 13
    assert seen["figure 23 record 14"] == "Client1→St.b 1" and seen["figure 23 record 15"] == "St.a→Client3 1"
    assert "figure 23 record 28" not in seen
    assert sum(cell.item.startswith("table ") for cell in second.cells) == 6 * 9


def test_experiment_2_on_cometbft(second: Outcome) -> None:
    """The same cells, whichever engine orders the transactions."""
    if find("cometbft")["cometbft"].path is None:
        pytest.skip("no cometbft here: run ./tallygrid test where Go is installed, which builds it")
    assert asyncio.run(two.play("cometbft", silent)) == second


def test_every_item_begins_with_its_figure_or_table(first: Outcome, second: Outcome) -> None:
    for cell in [*first.cells, *second.cells]:
        kind, number = cell.item.split()[:2]
        assert kind in ("figure", "table") and number.isdigit()
        assert type(cell.paper) is type(cell.ours)


@pytest.mark.parametrize("name", ["table 4 Client1 St.b", "table 5 Client1 St.a"])
def test_one_cell_more_or_fewer_is_a_failure(second: Outcome, name: str) -> None:
    """A cell that should be equal is not, or one that should differ is."""
    twisted = [
        cell._replace(ours=f"{cell.paper}" if cell.item.startswith("table 5") else "otherwise")
        if cell.item == name
        else cell
        for cell in second.cells
    ]
    assert second._replace(cells=twisted).surprises() == [name]


def test_json_and_exit_status(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for paper, status in (1, 0), (2, 1):
        outcome = Outcome(
            "a title", [Cell("figure 8 x", paper, 1), Cell("figure 9 y", "a", "b")], {"figure 9 y": "why"}
        )

        async def play(_engine: str, say: object, outcome: Outcome = outcome) -> Outcome:
            return outcome

        monkeypatch.setattr(one, "play", play)
        assert cli.main(["experiment", "1", "--json"]) == status
        rows = json.loads(capsys.readouterr().out)
        assert rows[0] == {"item": "figure 8 x", "paper": paper, "ours": 1, "equal": paper == 1}


def test_a_known_difference_names_a_cell() -> None:
    with pytest.raises(AssertionError, match="without a cell"):
        cells.Outcome("t", [Cell("figure 1 x", 1, 1)], {"figure 1 z": "why"}).surprises()
