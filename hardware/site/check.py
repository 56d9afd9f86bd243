"""What the rows of a site must be to each other: references, the network's shape, parts on buses, accounts.

Owns: one function per relation, listed in `CHECKS`. Refuses: the values of single fields (`fields`).
Invariants: a check runs only on tables that could be read whole, so each problem it notes is one of its own.
"""

from collections.abc import Callable, Iterator

from . import model as m
from .lines import Path
from .read import Reading


def relations(reading: Reading) -> None:
    for needs, check in CHECKS:
        if reading.whole(*needs):
            check(reading)


def _places(reading: Reading) -> Iterator[tuple[Path, str]]:
    for rows in (m.House, m.Panels, m.Battery, m.Charger, m.Station):
        for path, row in reading.of(rows):
            yield path, row.name


def unique_names(reading: Reading) -> None:
    """Names are unique among places, cables, boards with polled devices, faults, tariffs, participants."""
    kinds: dict[str, list[tuple[Path, str]]] = {
        "place": list(_places(reading)),
        "board or polled device": [(p, r.name) for rows in (m.Board, m.Polled) for p, r in reading.of(rows)],
        **{what: [(p, r.name) for p, r in reading.of(rows)] for what, rows in
           (("cable", m.Cable), ("fault", m.Fault), ("tariff", m.Tariff), ("participant", m.Participant))},
    }
    for what, found in kinds.items():
        _unique(reading, what, found)
    for _, board in reading.of(m.Board):
        path = next(p for p, b in reading.of(m.Board) if b is board)
        found = [((*path, "sensor", i), s.name) for i, s in enumerate(board.sensors)]
        found += [((*path, "actor", i), a.name) for i, a in enumerate(board.actors)]
        _unique(reading, f"sensor or actor of {board.name}", found)


def _unique(reading: Reading, what: str, found: list[tuple[Path, str]]) -> None:
    seen: set[str] = {m.GRID, m.BUSBAR} if what == "place" else set()
    for path, name in found:
        if name in seen:
            reading.problem((*path, "name"), f"the name '{name}' is taken", f"give this {what} a name of its own")
        seen.add(name)


def network(reading: Reading) -> None:
    """Closed cables form a tree from the busbar, and everything stands on it."""
    roots: dict[str, str] = {}

    def root(node: str) -> str:
        while node in roots:
            node = roots[node]
        return node

    for path, cable in reading.of(m.Cable):
        if cable.start == cable.end:
            reading.problem((*path, "end"), f"cable '{cable.name}' ends where it starts", "lead it to another node")
        elif cable.closed and root(cable.start) == root(cable.end):
            reading.problem(
                path, f"cable '{cable.name}' closes a loop", "remove a cable of the ring, or write closed = false for one"
            )
        elif cable.closed:
            roots[root(cable.start)] = root(cable.end)
    supplied = root(m.BUSBAR)
    for rows in (m.House, m.Station):
        for path, row in reading.of(rows):
            if root(row.node) != supplied:
                reading.problem(
                    (*path, "node"), f"'{row.name}' is an island: no closed cable leads from its node '{row.node}' to the busbar",
                    f"add cables from '{m.BUSBAR}' to '{row.node}', or correct the node's name",
                )


CHECKS: tuple[tuple[tuple[type, ...], Callable[[Reading], None]], ...] = (
    ((), unique_names),
    ((m.Cable,), network),
)
