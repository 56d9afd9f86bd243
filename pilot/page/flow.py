"""The street as a tree of cables: where everything is drawn, and what flows in each cable.

Owns: the layout (rows below each other, a cable from left to right), the flow in a cable as the sum of the meters
behind it, the four states of a flow and the band in which it is still.
Refuses: to guess. A cable with a meter behind it that says nothing has an unknown flow.
Invariant: power into a place is positive; a flow keeps its state until it has clearly left it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from hardware.site.model import BUSBAR, GRID, Site

IMPORT, EXPORT, IDLE, UNKNOWN = "import", "export", "idle", "unknown"
MOVES_W, STILL_W = 50, 30

WIDTH, TOP, ROW, INDENT, LEFT = 340, 30, 56, 44, 18
WORDS = 140  # the width that a label and its words need


class Spot(NamedTuple):
    """One row of the picture."""

    key: str  # the place's or node's name
    kind: str  # grid, junction, house, station
    label: str
    x: int
    y: int
    from_x: int  # where its cable begins; x itself for the grid
    behind: frozenset[str]  # the places whose power flows through its cable


class Bar(NamedTuple):
    """A node that cables leave from."""

    x: int
    from_y: int
    until_y: int


@dataclass(frozen=True)
class Street:
    spots: tuple[Spot, ...]
    bars: tuple[Bar, ...]

    @property
    def height(self) -> int:
        return self.spots[-1].y + ROW - TOP + 8


def street(site: Site, labels: Mapping[str, str]) -> Street:
    """Cables get shorter where many hang behind each other: the words beside the last one need their room."""
    wide = _Layout(site, labels, INDENT).street()
    depth = max(spot.x - LEFT for spot in wide.spots) // INDENT
    return _Layout(site, labels, min(INDENT, (WIDTH - WORDS - LEFT) // max(depth, 1))).street()


class _Layout:
    def __init__(self, site: Site, labels: Mapping[str, str], indent: int) -> None:
        self.labels = labels
        self.indent = indent
        self.at: dict[str, list[tuple[str, str]]] = {}
        for kind, places in (("house", site.houses), ("station", site.stations)):
            for place in places:
                self.at.setdefault(place.node, []).append((kind, place.name))
        self.next: dict[str, list[str]] = {}
        for cable in site.cables:
            if cable.closed:
                self.next.setdefault(cable.start, []).append(cable.end)
                self.next.setdefault(cable.end, []).append(cable.start)
        self.spots: list[Spot] = []
        self.bars: list[Bar] = []
        self.seen = {BUSBAR}

    def street(self) -> Street:
        places = [name for found in self.at.values() for _, name in found]
        self._add(GRID, "grid", LEFT, LEFT, places)
        self._branches(BUSBAR, LEFT)
        return Street(tuple(self.spots), tuple(self.bars))

    def _add(self, key: str, kind: str, x: int, from_x: int, behind: Iterable[str]) -> None:
        y = TOP + ROW * len(self.spots)
        self.spots.append(Spot(key, kind, self.labels.get(key, key), x, y, from_x, frozenset(behind)))

    def _branches(self, node: str, x: int) -> None:
        """What hangs at this node, each on a row of its own, and the node itself as a bar beside them."""
        top, last = self.spots[-1].y, self.spots[-1].y
        for kind, name in self.at.get(node, []):
            self._add(name, kind, x + self.indent, x, [name])
            last = self.spots[-1].y
        for child in self.next.get(node, []):
            if child not in self.seen:
                self.seen.add(child)
                last = self._cable(child, x)
        if last > top:
            self.bars.append(Bar(x, top, last))

    def _cable(self, node: str, x: int) -> int:
        """A node with one place and nothing beyond it is drawn as that place."""
        places, beyond = self.at.get(node, []), [one for one in self.next[node] if one not in self.seen]
        y = TOP + ROW * len(self.spots)
        if len(places) == 1 and not beyond:
            kind, name = places[0]
            self._add(name, kind, x + self.indent, x, [name])
        else:
            place = len(self.spots)
            self._add(node, "junction", x + self.indent, x, [])
            self._branches(node, x + self.indent)
            behind = frozenset().union(*(spot.behind for spot in self.spots[place + 1 :]))
            self.spots[place] = self.spots[place]._replace(behind=behind)
        return y


def through(behind: Iterable[str], powers_w: Mapping[str, int | None]) -> int | None:
    """What flows towards these places, losses left aside."""
    known = [powers_w.get(place) for place in behind]
    return sum(power for power in known if power is not None) if known and None not in known else None


class States:
    """The state of each flow, with a memory so that none flickers."""

    def __init__(self) -> None:
        self._last: dict[str, str] = {}

    def of(self, key: str, power_w: int | None) -> str:
        if power_w is None:
            state = UNKNOWN
        else:
            towards = IMPORT if power_w > 0 else EXPORT
            band_w = STILL_W if self._last.get(key) == towards else MOVES_W
            state = towards if abs(power_w) >= band_w else IDLE
        self._last[key] = state
        return state


class Share(NamedTuple):
    """Of the bar: who, from where to where in its width of 1,000."""

    key: str
    start: int
    width: int


def balance(powers_w: Mapping[str, int]) -> tuple[int, list[Share], list[Share]]:
    """What comes in and goes out at this moment: the total, and both sides of one bar.

    `powers_w` is from the street's point of view: above 0 is taken out of it. What makes less than 2 % of the picture
    is left out of the picture.
    """
    given = {key: -power for key, power in powers_w.items() if power < 0}
    taken = {key: power for key, power in powers_w.items() if power > 0}
    total = max(sum(given.values()), sum(taken.values()))
    return total, _shares(given, total), _shares(taken, total)


def _shares(powers_w: Mapping[str, int], total: int) -> list[Share]:
    shares, at = [], 0
    for key, power_w in powers_w.items():
        width = power_w * 1_000 // total
        if width >= 20:
            shares.append(Share(key, at, width))
            at += width
    return shares
