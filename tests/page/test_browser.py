"""The pages in a real headless Chromium, on a phone: live, quiet, reachable by everybody.

Each test ends by looking at what the browser complained about: console, blocked by policy, asked of other hosts.
Pictures are kept under the folder that TALLYGRID_PICTURES names, where somebody wants to look at them.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, sync_playwright

from tests.page.rig import ANNA, Rig, Served
from wire import rows
from wire.command import REASONS
from wire.rows import EVENTS

N = "\N{NO-BREAK SPACE}"
PHONE = {"width": 360, "height": 740}
PATHS = ("/", "/chains")
WAIT_MS = 6_000


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def served() -> Iterator[Served]:
    rig = Rig()
    rig.afternoon()
    with Served(rig) as served:
        yield served


@dataclass
class Phone:
    """A page and all that went wrong in it."""

    page: Page
    base: str
    complaints: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)
    expected: tuple[str, ...] = ()  # parts of complaints that a test brings about itself

    def __post_init__(self) -> None:
        self.page.on("console", self._said)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", self._asked)
        report = "e => console.error('policy', e.violatedDirective, e.blockedURI)"
        self.page.add_init_script(f"addEventListener('securitypolicyviolation', {report})")

    def _said(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and not any(part in message.text for part in self.expected):
            self.complaints.append(message.text)

    def _asked(self, request: Request) -> None:
        if not request.url.startswith((self.base, "data:")):
            self.foreign.append(request.url)

    def open(self, path: str = "/") -> Page:
        self.page.goto(self.base + path)
        return self.page

    def until(self, expression: str, wait_ms: int = WAIT_MS) -> None:
        """The page's policy forbids waiting by a string in the page, so it is asked again and again from outside."""
        for _ in range(wait_ms // 50):
            if self.page.evaluate(expression):
                return
            self.page.wait_for_timeout(50)
        raise AssertionError(f"never true: {expression}")

    def text(self, key: str) -> str:
        return self.page.locator(f'[data-t="{key}"]').first.inner_text()


Open = Callable[..., Phone]


@pytest.fixture
def phone(browser: Browser, served: Served) -> Iterator[Open]:
    opened: list[Phone] = []

    def open_one(**options: Any) -> Phone:
        context = browser.new_context(**{"viewport": PHONE, **options})
        opened.append(Phone(context.new_page(), served.url))
        return opened[-1]

    yield open_one
    for one in opened:
        one.page.context.close()
        assert one.complaints == []
        assert one.foreign == []


def picture(page: Page, name: str) -> None:
    folder = os.environ.get("TALLYGRID_PICTURES")
    if folder:
        page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)


def shown(key: str) -> str:
    return f"document.querySelector('[data-t=\"{key}\"]').textContent"


# ---------------------------------------------------------------- live


def test_values_change_in_place(phone: Open, served: Served) -> None:
    one = phone()
    one.open()
    mark = "document.querySelector('[data-t=\"house-a.power\"]')"
    one.page.evaluate(f"window.kept = {mark}")
    served.rig.row("meter-a", -1_500, (1_020, 30))
    one.until(f"{shown('house-a.power')} === '← gives 1.5{N}kW'")
    assert one.page.evaluate(f"window.kept === {mark}")
    assert one.page.locator('[data-a="spot.house-a"]').first.get_attribute("data-state") == "export"
    assert one.text("house-a.out") == f"0.030{N}kWh"


def test_ages_go_on_by_themselves_and_old_values_are_dimmed(phone: Open, served: Served) -> None:
    one = phone()
    one.open()
    served.rig.wait(90)
    one.until("document.querySelector('[data-at=\"house-a.at\"]').textContent.startsWith('9')")
    assert one.page.locator('[data-a="house-a.card"]').get_attribute("data-fresh") == "stale"
    assert one.text("house-a.power") == f"→ takes 3.7{N}kW"
    assert one.text("alarms.count") == "1 alarm"
    assert one.text("bar.in") == "–"
    picture(one.page, "street-stale")


def test_rows_of_tables_come_and_stay(phone: Open, served: Served) -> None:
    one = phone()
    one.open("/chains")
    assert one.page.locator('[data-r="transfers"] tr').count() == 1
    locked = {"lock": 1, "owner": ANNA, "amount": 50}
    served.rig.block("transaction", ("lock/locked", locked))
    one.until("document.querySelectorAll('[data-r=\"transfers\"] tr').length === 2")
    first = one.page.locator('[data-r="transfers"] tr').first
    assert first.get_attribute("data-state") == "waiting"
    cells = first.locator("td")
    assert [cells.nth(place).get_attribute("data-c") for place in (2, 6)] == ["Locked", "Took"]
    assert "not yet" in cells.nth(3).inner_text()


def test_an_empty_table_says_so_and_fills(phone: Open, served: Served) -> None:
    one = phone()
    one.open()
    assert "Nothing is wrong" in (one.page.locator('[data-r="alarms"]').text_content() or "")
    row = {"flags": rows.SAFE, "event": (EVENTS.index("safe entered"), REASONS.index("door"))}
    served.rig.row("station-1", 0, (4_000, 2_015), **row)
    one.until(f"{shown('alarms.count')} === '1 alarm'")
    assert "its door is open" in one.page.locator('[data-r="alarms"]').inner_text()
    picture(one.page, "street-alarm")
    served.rig.row("station-1", 0, (4_000, 2_015), event=(EVENTS.index("safe left"), 0))
    one.until(f"{shown('alarms.count')} === 'No alarm'")
    assert "Nothing is wrong" in (one.page.locator('[data-r="alarms"]').text_content() or "")


def test_ages_are_said_in_the_same_words_as_the_server_says_them(phone: Open) -> None:
    one = phone()
    one.open()
    cases = json.loads((Path(__file__).parent / "ages.json").read_text())
    script = "async cases => { const {age} = await import('/static/age.js'); return cases.map(one => age(one[0])) }"
    said = one.page.evaluate(script, cases)
    assert [words.replace(N, " ") for words in said] == [words for _, words in cases]


# ---------------------------------------------------------------- lost, paused, hidden


def test_a_lost_server_is_a_banner_and_it_comes_back_alone(phone: Open, served: Served) -> None:
    one = phone()
    one.expected = (
        "ERR_CONNECTION_REFUSED",
        "ERR_INCOMPLETE_CHUNKED_ENCODING",
        "ERR_CONNECTION_RESET",
        "ERR_EMPTY_RESPONSE",
    )
    one.open()
    one.until(f"{shown('clock')} !== ''")
    served.stop()
    one.until("document.getElementById('lost').textContent.startsWith('No connection')", 4_000)
    assert one.text("house-a.power") == f"→ takes 3.7{N}kW", "what was known stays to be read"
    picture(one.page, "street-lost")
    served.rig.row("meter-a", 900, (1_020, 0))
    moves = "document.querySelector('.runs').style.strokeDashoffset"
    before = one.page.evaluate(moves)
    one.page.wait_for_timeout(500)
    assert one.page.evaluate(moves) == before, "what is old does not move"
    served.start()
    one.until("document.getElementById('lost').textContent === ''", 5_000)
    one.until(f"{shown('house-a.power')} === '→ takes 900{N}W'")


def test_pause_stops_everything_that_moves(phone: Open, served: Served) -> None:
    one = phone()
    one.open()
    button = one.page.get_by_role("button", name="Pause")
    button.click()
    assert button.get_attribute("aria-pressed") == "true"
    served.rig.row("meter-a", 900, (1_020, 0))
    moves = "document.querySelector('.runs').style.strokeDashoffset"
    before = one.page.evaluate(moves), one.text("clock")
    one.page.wait_for_timeout(1_200)
    assert (one.page.evaluate(moves), one.text("clock")) == before
    assert one.text("house-a.power") == f"→ takes 3.7{N}kW"
    button.click()
    one.until(f"{shown('house-a.power')} === '→ takes 900{N}W'")


def test_dashes_move_and_stand_still_for_who_asked_for_it(phone: Open) -> None:
    offset = "document.querySelector('.runs').style.strokeDashoffset"
    moving, calm = phone(), phone(reduced_motion="reduce")
    for one in (moving, calm):
        one.open()
        one.until(f"{shown('clock')} !== ''")
        one.page.wait_for_timeout(500)
    assert moving.page.evaluate(offset) != ""
    assert calm.page.evaluate(offset) == ""
    assert calm.page.evaluate("document.getAnimations().length") == 0


def test_a_hidden_page_lets_go_of_its_stream(phone: Open, served: Served) -> None:
    one = phone()
    one.open()
    listeners = served.rig.website.hub.listeners["street"]
    one.until(f"{shown('clock')} !== ''")
    assert len(listeners) == 1
    hide = "h => { Object.defineProperty(document, 'hidden', {value: h, configurable: true});"
    hide += " document.dispatchEvent(new Event('visibilitychange')) }"
    one.page.evaluate(hide, True)
    for _ in range(60):
        if not listeners:
            break
        one.page.wait_for_timeout(50)
    assert len(listeners) == 0
    one.page.evaluate(hide, False)
    served.rig.row("meter-a", 900, (1_020, 0))
    one.until(f"{shown('house-a.power')} === '→ takes 900{N}W'")


# ---------------------------------------------------------------- for everybody


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("width", [320, 360, 768, 1_280])
def test_nothing_scrolls_sideways(phone: Open, served: Served, path: str, width: int) -> None:
    served.rig.evening()
    one = phone(viewport={"width": width, "height": 640})
    page = one.open(path)
    for summary in page.locator("summary").all():
        summary.click()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    beyond = f".filter(e => e.getBoundingClientRect().right > {width + 1}).map(e => e.outerHTML.slice(0, 80))"
    assert page.evaluate(f"[...document.querySelectorAll('main *:not(thead *)')]{beyond}") == []
    picture(page, f"{path.strip('/') or 'street'}-{width}")


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 1_280])
def test_no_barrier_is_found_by_axe(phone: Open, served: Served, path: str, scheme: str, width: int) -> None:
    served.rig.evening()
    one = phone(color_scheme=scheme, viewport={"width": width, "height": 800})
    page = one.open(path)
    for summary in page.locator("summary").all():
        summary.click()
    assert barriers(page) == []
    picture(page, f"{path.strip('/') or 'street'}-{width}-{scheme}")


def test_no_barrier_with_alarms_or_a_lost_server(phone: Open, served: Served) -> None:
    one = phone(color_scheme="dark")
    one.expected = ("ERR_",)
    served.rig.row("station-1", 0, (4_000, 2_015), flags=rows.SAFE)
    served.rig.wait(60)
    page = one.open()
    one.until(f"{shown('alarms.count')} !== 'No alarm'")
    served.stop()
    one.until("document.getElementById('lost').textContent !== ''")
    assert barriers(page) == []


def barriers(page: Page) -> list[str]:
    page.evaluate(AXE_SCRIPT)
    found = page.evaluate("async () => (await axe.run()).violations")
    return [f"{one['id']} ({one['impact']}): {node['html'][:120]}" for one in found for node in one["nodes"]]


@pytest.mark.parametrize("path", PATHS)
def test_what_can_be_touched_is_large_enough(phone: Open, path: str) -> None:
    page = phone().open(path)
    small = (
        "[...document.querySelectorAll('nav a, button, summary')].filter(e => e.getBoundingClientRect().height < 44)"
    )
    assert page.evaluate(f"{small}.map(e => e.textContent)") == []


@pytest.mark.parametrize("path", PATHS)
def test_without_scripts_the_page_is_whole(phone: Open, path: str) -> None:
    page = phone(java_script_enabled=False).open(path)
    body = page.locator("main").inner_text()
    assert ("takes 3.7" if path == "/" else "0.300") in body
    assert "load it again" in page.locator("body").inner_text()
    assert page.get_by_role("button", name="Pause").count() == 0


def test_every_place_can_be_reached_by_the_keyboard(phone: Open) -> None:
    page = phone().open()
    reached = []
    for _ in range(8):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.textContent.trim()"))
    assert reached[:4] == ["To the content", "Street", "Chains", "Pause"]
    assert any("two readings" in words for words in reached)
