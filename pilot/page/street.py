"""The street page: sources to strings.

Owns: who stands where on the page, the words of each card, the bar of what comes in and goes out, alarms.
Refuses: I/O; time other than the one given. Invariant: what is stale is said to be, and counts in no sum.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from hardware.site.model import GRID, Participant, Site
from pilot.page import flow, wording
from pilot.page.boards import Board, Boards, Notice, Sample, safe, sensorless
from pilot.page.chains import Chains
from pilot.page.node import Node
from pilot.page.view import Row, View
from wire.rows import CLOSED

NOTICES_SHOWN = 12
VERBS = {
    "house": ("takes", "gives"),
    "station": ("charges with", "gives"),
    "junction": ("receives", "sends"),
    "grid": ("gives", "takes"),
    "other": ("takes", "gives"),
}
LEFT = "{} more on one side: lost in the lines, or not measured at the same moment."
ARROWS = {flow.IMPORT: "→", flow.EXPORT: "←", flow.IDLE: "·", flow.UNKNOWN: "?"}


class Card(NamedTuple):
    """A participant, a meter, or both."""

    key: str  # the place where it measures, or the participant's name
    kind: str
    title: str
    subtitle: str
    board: str = ""
    account: str = ""


@dataclass
class StreetPage:
    site: Site
    boards: Boards
    board_ids: dict[str, bytes]  # by name; filled as they enrol
    node: Node
    chains: Chains
    accounts: dict[str, bytes]  # participants with keys
    speed: float  # of the site's clock
    parts: dict[str, str] = field(default_factory=dict)  # what is wrong with a part of the pilot
    alarms: list[tuple[bytes | str, str]] = field(default_factory=list)  # what stands at the gateway
    states: flow.States = field(default_factory=flow.States)

    def __post_init__(self) -> None:
        self.cards = _cards(self.site)
        self.labels = {card.key: card.title for card in self.cards} | {GRID: "the grid"}
        self.street = flow.street(self.site, self.labels)
        self.measured = {card.key: card for card in self.cards if card.board}

    # ------------------------------------------------------------ what is known

    def _board(self, card: Card) -> Board | None:
        device = self.board_ids.get(card.board)
        return self.boards.boards.get(device) if device else None

    def _powers_w(self, now_s: int) -> dict[str, int | None]:
        """Of every place with a meter; None where the value is missing or old."""
        powers: dict[str, int | None] = {}
        for key, card in self.measured.items():
            board = self._board(card)
            live = board is not None and board.last is not None and _fresh(board, now_s, self.speed) == "live"
            powers[key] = board.last.power_w if live and board and board.last else None
        if GRID not in self.measured:
            powers[GRID] = flow.through(self.street.spots[0].behind, powers)
        return powers

    # ------------------------------------------------------------ the page

    def view(self, now_s: int) -> View:
        view = View(text={"clock": wording.clock(now_s, self.site.utc_offset_min)})
        powers = self._powers_w(now_s)
        for spot in self.street.spots:
            self._spot(view, spot, powers)
        self._balance(view, powers)
        for card in self.cards:
            self._card(view, card, now_s)
        self._alarms(view, now_s)
        view.text["lines.count"] = wording.count(len(self.street.spots) - 1, "line")
        view.table["lines"] = [self._line(spot, powers) for spot in self.street.spots]
        return view

    def _spot(self, view: View, spot: flow.Spot, powers: dict[str, int | None]) -> None:
        power_w = powers.get(spot.key) if spot.kind != "junction" else flow.through(spot.behind, powers)
        state = self.states.of(spot.key, power_w)
        view.attr[f"spot.{spot.key}"] = {"data-state": state}
        view.text[f"spot.{spot.key}"] = says(spot.kind, state, power_w)
        card = self.measured.get(spot.key)
        if spot.kind == "station" and card:
            soc = _soc(self._board(card))
            view.attr[f"soc.{spot.key}"] = {
                "height": str((soc or 0) * 18 // 1_000),
                "y": str(9 - (soc or 0) * 18 // 1_000),
            }

    def _line(self, spot: flow.Spot, powers: dict[str, int | None]) -> Row:
        power_w = powers.get(spot.key) if spot.kind != "junction" else flow.through(spot.behind, powers)
        state = self.states.of(spot.key, power_w)
        way = {
            flow.IMPORT: f"towards {spot.label}",
            flow.EXPORT: f"from {spot.label}",
            flow.IDLE: "nothing flows",
            flow.UNKNOWN: "not known",
        }
        if spot.kind == "grid":
            way |= {flow.IMPORT: "from the grid", flow.EXPORT: "to the grid"}
        return Row(spot.key, (spot.label, way[state], wording.power(power_w)), state)

    def _balance(self, view: View, powers: dict[str, int | None]) -> None:
        shown = {spot.key: spot.kind for spot in self.street.spots if spot.kind != "junction"}
        known = {key: power for key, power in powers.items() if power is not None and key in shown}
        missing = [self.labels.get(key, key) for key in shown if key not in known]
        seen = {key: (-known[key] if key == GRID else known[key]) for key in shown if key in known}
        total_w, given, taken = flow.balance(seen)
        for side, shares in (("in", given), ("out", taken)):
            widths = {share.key: share for share in shares}
            for key in shown:
                share = widths.get(key)
                at = {"x": str(share.start), "width": str(share.width)} if share else {"x": "0", "width": "0"}
                view.attr[f"bar.{side}.{key}"] = at
        left_w = abs(sum(seen.values()))
        view.text["bar.left"] = LEFT.format(wording.power(left_w)) if not missing and left_w * 50 > total_w else ""
        view.text["bar.total"] = wording.power(total_w if known else None)
        view.text["bar.in"] = self._names(seen, -1) if known else wording.UNKNOWN
        view.text["bar.out"] = self._names(seen, 1) if known else wording.UNKNOWN
        names = wording.listed(missing)
        view.text["bar.missing"] = f"Not in the picture, since there is no new value: {names}." if missing else ""

    def _names(self, seen: dict[str, int], sign: int) -> str:
        found = [(power_w * sign, key) for key, power_w in seen.items() if power_w * sign > 0]
        return (
            " · ".join(f"{self.labels.get(key, key)} {wording.power(power_w)}" for power_w, key in found) or "nothing"
        )

    # ------------------------------------------------------------ cards

    def _card(self, view: View, card: Card, now_s: int) -> None:
        if card.board:
            self._measured(view, card, now_s)
        account = self._account(card)
        if account is not None:
            view.text[f"{card.key}.tokens"] = wording.amount(self.node.tokens_mt.get(account))
            view.text[f"{card.key}.rights"] = wording.energy(self.node.rights_wh.get(account))
        station = self.node.stations.get(account) if account and card.kind == "station" else None
        if card.kind == "station":
            view.text[f"{card.key}.open"] = _open(station)

    def _account(self, card: Card) -> bytes | None:
        if card.kind == "station":
            return self.board_ids.get(card.board)
        return self.accounts.get(card.account)

    def _measured(self, view: View, card: Card, now_s: int) -> None:
        board = self._board(card)
        last = board.last if board else None
        key = card.key
        power_w = last.power_w if last and not sensorless(last) else None
        fresh = _fresh(board, now_s, self.speed)
        state = self.states.of(f"card {key}", power_w)
        view.attr[f"{key}.card"] = {"data-state": state, "data-fresh": fresh}
        view.text[f"{key}.power"] = says(card.kind, state, power_w)
        view.text[f"{key}.voltage"] = wording.voltage(last.voltage_mv if last and not sensorless(last) else None)
        view.at_s[f"{key}.at"] = last.at_s or 0 if last else 0
        today = board.today_wh() if board else None
        view.text[f"{key}.in"] = wording.energy(today[0] if today else None)
        view.text[f"{key}.out"] = wording.energy(today[1] if today else None)
        readings = (board.base, last) if board and board.base and last else ()
        view.table[f"{key}.readings"] = [self._reading(sample) for sample in readings]
        if card.kind == "station":
            view.text[f"{key}.soc"] = wording.percent(_soc(board))
            view.text[f"{key}.relay"] = ("closed" if last.flags & CLOSED else "open") if last else wording.UNKNOWN

    def _reading(self, sample: Sample) -> Row:
        at = wording.clock(sample.at_s, self.site.utc_offset_min)
        cells = (at, str(sample.seq), wording.energy(sample.import_wh), wording.energy(sample.export_wh))
        return Row(str(sample.seq), cells)

    # ------------------------------------------------------------ alarms

    def _alarms(self, view: View, now_s: int) -> None:
        now = self._standing(now_s)
        view.table["alarms"] = [Row(f"{who} {words}", (who, words), "alarm") for who, words in now]
        view.attr["alarms"] = {"data-state": "alarm" if now else "quiet"}
        view.text["alarms.count"] = wording.count(len(now), "alarm") if now else "No alarm"
        notices = [*reversed(self.boards.notices), *reversed(self.chains.notices)]
        notices.sort(key=lambda notice: -notice.at_s)
        counted: dict[Notice, int] = {}
        for notice in notices:
            counted[notice] = counted.get(notice, 0) + 1
        view.table["notices"] = [self._notice(*pair) for pair in list(counted.items())[:NOTICES_SHOWN]]

    def _notice(self, notice: Notice, times: int) -> Row:
        who = self.name(notice.who) if isinstance(notice.who, bytes) else notice.who
        words = notice.words + (f" ({times} times)" if times > 1 else "")
        at = wording.clock(notice.at_s, self.site.utc_offset_min)
        return Row(f"{notice.at_s} {who} {words}", (at, who, words), "alarm" if notice.alarm else "")

    def name(self, id: bytes) -> str:
        boards = {device: board for board, device in self.board_ids.items()}
        titles = {card.board: card.title for card in self.cards if card.board}
        board = boards.get(id, "")
        return titles.get(board) or self.node.names.get(id) or board or id.hex()

    def _standing(self, now_s: int) -> list[tuple[str, str]]:
        """What is wrong at this moment."""
        found = [(part, words) for part, words in self.parts.items()]
        found += [(self.name(who) if isinstance(who, bytes) else who, words) for who, words in self.alarms]
        found += [(f"the {sort} chain", f"its node does not answer: {why}") for sort, why in self.node.down.items()]
        return found + self._wrong(now_s)

    def _wrong(self, now_s: int) -> list[tuple[str, str]]:
        """With boards; what is wrong with several is said once."""
        whose: dict[str, list[str]] = {}
        for card in self.measured.values():
            for words in _troubles(self._board(card), now_s, self.speed):
                whose.setdefault(words, []).append(card.title)
        every = len(self.measured)
        return [
            ("every board" if len(names) == every > 1 else wording.listed(names), words)
            for words, names in whose.items()
        ]


def _troubles(board: Board | None, now_s: int, speed: float) -> list[str]:
    if board is None or board.last is None:
        return ["no report yet"]
    found = []
    if safe(board.last):
        found.append("in its safe state" + (f": {board.safe_reason}" if board.safe_reason else ""))
    if sensorless(board.last):
        found.append("no values from the sensor")
    if _fresh(board, now_s, speed) == "stale":
        found.append("nothing new for a while: values are old")
    return found


def _fresh(board: Board | None, now_s: int, speed: float) -> str:
    """live, stale, or none: a value without a time is none that can be called new."""
    if board is None or board.last is None or sensorless(board.last):
        return "none"
    if board.last.at_s is None:
        return "stale"
    return "live" if now_s - board.last.at_s <= board.fresh_s(speed) else "stale"


def _soc(board: Board | None) -> int | None:
    if board is None:
        return None
    if board.last is not None and board.last.soc_milli is not None:
        return board.last.soc_milli
    return board.state.soc_milli if board.state else None


def _open(row: dict[str, object] | None) -> str:
    if row is None:
        return wording.UNKNOWN
    ways = [name for name, flag in (("buyers", row["supply"]), ("sellers", row["acquire"])) if flag]
    users = int(str(row["buyers"])) + int(str(row["sellers"]))
    served = f", serves {wording.count(users, 'order')}" if users else ""
    return (f"open for {wording.listed(ways)}" if ways else "closed") + served


def says(kind: str, state: str, power_w: int | None) -> str:
    """A flow in words, with an arrow that points as the place sees it."""
    if state == flow.UNKNOWN:
        return "no value"
    if state == flow.IDLE:
        return f"idle, {wording.power(power_w)}"
    verb = VERBS[kind][state == flow.EXPORT]
    return f"{ARROWS[state]} {verb} {wording.power(power_w)}"


def _cards(site: Site) -> list[Card]:
    """Participants that measure, as the site file has them, then what else is measured, then the others."""
    assert site.ledger is not None
    kinds = (
        {house.name: "house" for house in site.houses} | {one.name: "station" for one in site.stations} | {GRID: "grid"}
    )
    at = {board.name: board.sensors[0].at for board in site.boards if board.sensors}
    cards = [_participant(one, at, kinds) for one in site.ledger.participants]
    owned = {card.board for card in cards}
    others = [(board, place) for board, place in at.items() if board not in owned]
    cards += [Card(place, kinds.get(place, "other"), place, f"measured by {board}", board) for board, place in others]
    return sorted(cards, key=lambda card: not card.board)


def _participant(one: Participant, at: dict[str, str], kinds: dict[str, str]) -> Card:
    place = at.get(one.device or "", "")
    if not place:
        return Card(one.name, one.role, one.name, one.role, account=one.name)
    assert one.device is not None
    return Card(place, kinds.get(place, "other"), one.name, f"{place}, measured by {one.device}", one.device, one.name)
