"""The page over HTTP: two pages, their live streams, three scripts and a style sheet.

Owns: routes, templates, headers.
Refuses: other methods than GET, other hosts' names (a page elsewhere must not read this one through a name of its own),
scripts and styles that are not its own files, being framed.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, NamedTuple

import jinja2
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pilot.page import wording
from pilot.page.hub import Hub

HERE = Path(__file__).parent
HOSTS = ["127.0.0.1", "localhost", "[::1]"]
HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self';"
    " connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none';"
    " require-trusted-types-for 'script'; trusted-types 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}


class Page(NamedTuple):
    """`fixed` is what the template needs that never changes while the server runs."""

    name: str
    title: str
    path: str
    fixed: dict[str, Any]


class Guard:
    """The headers, on every answer."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] += [(name.encode(), value.encode()) for name, value in HEADERS.items()]
            await send(message)

        await self.app(scope, receive, send_guarded if scope["type"] == "http" else send)


def create_app(hub: Hub, pages: list[Page], site_title: str, offset_min: int) -> Starlette:
    templates = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.globals |= {"age": wording.age, "pages": pages, "site_title": site_title}

    def show(page: Page) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:  # async: views are made in the one thread that reads
            now_s = hub.now_ms() // 1_000
            html = templates.get_template(f"{page.name}.html").render(
                page=page, view=hub.view(page.name), now_s=now_s, day=wording.day(now_s, offset_min), **page.fixed
            )
            return HTMLResponse(html, headers={"cache-control": "no-store"})

        return answer

    async def live(request: Request) -> Response:
        page = request.path_params["page"]
        if page not in hub.pages:
            return PlainTextResponse("no such page", 404)
        stream: AsyncIterator[str] = hub.listen(page)
        return StreamingResponse(stream, media_type="text/event-stream", headers={"cache-control": "no-store"})

    return Starlette(
        routes=[
            *(Route(page.path, show(page), methods=["GET"]) for page in pages),
            Route("/live/{page}", live, methods=["GET"]),
            Mount("/static", StaticFiles(directory=HERE / "static")),
        ],
        middleware=[
            Middleware(Guard),
            Middleware(TrustedHostMiddleware, allowed_hosts=HOSTS, www_redirect=False),
            Middleware(GZipMiddleware, minimum_size=500),
        ],
    )
