"""The pages as any reader gets them: complete without scripts, guarded, small."""

import re
from collections.abc import Iterator

import httpx
import pytest

from tests.page.rig import Rig, Served

LIMIT_BYTES = 80_000


@pytest.fixture
def rig() -> Rig:
    rig = Rig()
    rig.afternoon()
    return rig


@pytest.fixture
def client(rig: Rig) -> Iterator[httpx.Client]:
    with Served(rig) as served, httpx.Client(base_url=served.url) as client:
        yield client


def words(html: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html)).replace("\N{NO-BREAK SPACE}", " ")


def test_the_street_is_complete_without_scripts(client: httpx.Client) -> None:
    page = words(client.get("/").text)
    for word in ("takes 3.7 kW", "gives 2.2 kW", "0.020 kWh", "4 s ago", "41 %", "No alarm", "99.700"):
        assert word in page, word


def test_the_chains_are_complete_without_scripts(client: httpx.Client) -> None:
    page = words(client.get("/chains").text)
    for word in ("0.300 tokens of anna", "12:00:04, block 1", "Block 3", "No command yet"):
        assert word in page, word


def test_what_a_board_or_ledger_says_is_text_and_never_markup(rig: Rig, client: httpx.Client) -> None:
    rig.node.down["main"] = "<script>alert(1)</script>\"'"
    html = client.get("/").text
    assert "<script>alert" not in html and "&lt;script&gt;alert(1)" in html


@pytest.mark.parametrize("path", ["/", "/chains", "/static/live.js", "/nowhere"])
def test_every_answer_forbids_what_is_not_ours(client: httpx.Client, path: str) -> None:
    headers = client.get(path).headers
    policy = dict(part.strip().split(" ", 1) for part in headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert {policy[kind] for kind in ("script-src", "style-src", "connect-src", "img-src")} == {"'self'"}
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"


def test_another_hosts_name_is_refused(client: httpx.Client) -> None:
    assert client.get("/", headers={"host": "evil.example"}).status_code == 400
    assert client.get("/", headers={"host": "localhost:9"}).status_code == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_nothing_can_be_changed_here(client: httpx.Client, method: str) -> None:
    for path in ("/", "/chains", "/live/street", "/static/live.js"):
        assert client.request(method, path).status_code == 405


def test_no_other_page_streams(client: httpx.Client) -> None:
    assert client.get("/live/elsewhere").status_code == 404


@pytest.mark.parametrize("path", ["/", "/chains"])
def test_a_first_load_is_small(client: httpx.Client, path: str) -> None:
    """Over the wire, with what the page names and what its scripts import."""
    total, waiting, seen = 0, [path], set()
    while waiting:
        one = waiting.pop()
        seen.add(one)
        with client.stream("GET", one) as reply:
            raw = b"".join(reply.iter_raw())
        assert reply.status_code == 200, one
        total += len(raw) + sum(len(name) + len(value) + 4 for name, value in reply.headers.raw)
        text = client.get(one).text
        found = re.findall(r'(?:src|href)="(/static/[^"]+)"', text)
        found += [f"/static/{name}" for name in re.findall(r'from "\./([^"]+)"', text)]
        waiting += [name for name in found if name not in seen and name not in waiting]
    assert {"/static/live.js", "/static/age.js", "/static/page.css"} <= seen
    assert total <= LIMIT_BYTES
    assert len(seen) <= 12


def test_the_stream_is_events_and_is_not_held_back(client: httpx.Client) -> None:
    with client.stream("GET", "/live/street", headers={"accept-encoding": "gzip"}) as reply:
        assert reply.headers["content-type"].startswith("text/event-stream")
        lines = reply.iter_lines()
        assert next(lines).startswith("retry: ")
        assert '"now":' in next(lines)
        assert sum(line.startswith("data: ") for _, line in zip(range(4), lines, strict=False)) == 2
