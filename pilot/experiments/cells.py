"""What the paper prints and what came out here, cell by cell.

Owns: the comparison, the list of cells that are known to differ and why, the table for people.
Refuses: a paper's and our value of two types; a known difference that names no cell.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple


class Cell(NamedTuple):
    item: str  # begins with "figure N" or "table N"
    paper: int | str
    ours: int | str

    @property
    def equal(self) -> bool:
        return self.paper == self.ours

    def as_json(self) -> dict[str, Any]:
        return {"item": self.item, "paper": self.paper, "ours": self.ours, "equal": self.equal}


class Outcome(NamedTuple):
    """`differing` names every cell that has to differ, with the reason."""

    title: str
    cells: list[Cell]
    differing: Mapping[str, str]

    def surprises(self) -> list[str]:
        """Cells that differ and should not, and cells that should and do not."""
        names = [cell.item for cell in self.cells]
        assert len(set(names)) == len(names), "two cells of one name"
        assert set(self.differing) <= set(names), "a known difference without a cell"
        assert all(type(cell.paper) is type(cell.ours) for cell in self.cells), "paper and ours are of one type"
        return [cell.item for cell in self.cells if cell.equal == (cell.item in self.differing)]

    def as_expected(self) -> bool:
        return not self.surprises()

    def lines(self) -> Iterator[str]:
        width = max(len(cell.item) for cell in self.cells)
        column = max(len(str(cell.paper)) for cell in self.cells)
        yield ""
        yield self.title
        yield f"{'':{width}}  {'paper':<{column}}  ours"
        surprises = set(self.surprises())
        for cell in self.cells:
            mark = "  <- NOT EXPECTED" if cell.item in surprises else "" if cell.equal else "  (known to differ)"
            yield f"{cell.item:<{width}}  {cell.paper!s:<{column}}  {cell.ours}{mark}"
        if self.differing:
            yield ""
            yield f"{len(self.differing)} cells cannot come out equal:"
            for reason in dict.fromkeys(self.differing.values()):
                items = [item for item, why in self.differing.items() if why == reason]
                yield f"  {reason}: {items[0]} … {items[-1]} ({len(items)})"
        yield ""
        equal = sum(cell.equal for cell in self.cells)
        known = f"{len(self.differing)} known to differ, {len(surprises)} not expected"
        yield f"{equal} of {len(self.cells)} cells equal, {known}"
