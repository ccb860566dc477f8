"""The pages as a process."""

import asyncio
import gc
import logging
import os
import signal
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import panel as pn
from panel.io.server import get_server
from tornado.web import StaticFileHandler
from tornado.websocket import WebSocketClosedError

from panel_app import alive, csv_file, health, logout
from panel_app.entrance import Entrance, admitted_of, use_own_handlers
from panel_app.gate import Gate
from panel_app.not_found import NotFound
from panel_app.pages import Page, all_pages
from panel_app.shell import serve_page
from panel_app.visitors import Visitors

log = logging.getLogger("heatpump.panel")

CHECK_UNUSED_MS, UNUSED_MS = 5_000, 10_000
"""A session whose page was closed is forgotten this soon; a reload within it is another session anyway. [ms]"""

ASSETS = r"/assets/(.*)"
"""No secret, and needed by what stands in place of a page; Panel's own way asks for a log-in first."""

COMPONENTS = r"/components/.*"
"""Where Panel imports the module that an address names, whoever asks; some end the process. We need none of it."""


async def serve(
    host: str,
    port: int,
    api_url: str,
    version: str,
    origins: Iterable[str] = (),
    own_token: str = "",
    simulator_line: str = "",
    load_demo: Callable[[], None] | None = None,
    ready: Callable[[int], None] = lambda port: None,
) -> None:
    """Serve until SIGTERM or SIGINT. Raises OSError where the port cannot be had.

    host      : on loopback who is on this machine is shown all; beyond it, only who is logged in what he may see.
    origins   : web origins of ours that a request's Host does not tell.
    own_token : what the API is asked with for who is on this machine.
    ready     : called with the port once the pages can be opened.
    """
    # Bokeh's scripts come from this server, whatever the environment says: pages work without the internet.
    os.environ["BOKEH_RESOURCES"] = "server"
    pn.extension()
    for chatty in ("httpx", "tornado.access", "bokeh.server"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    gate = Gate(host, origins)
    visitors = Visitors(gate, api_url, own_token, simulator_line, load_demo)
    use_own_handlers(gate)
    pages = all_pages()

    def report() -> dict[str, Any]:
        return {"sessions": len(server.get_sessions()), "tasks": len(asyncio.all_tasks()), **visitors.report()}

    def live() -> bool:
        return visitors.live

    server = get_server(
        {page.path or "/": _opener(visitors, pages, page, version) for page in pages},
        port=port,
        address=host,
        auth_provider=Entrance(visitors),
        # What is put into the page and its WebSocket's token: no session, nothing a proxy added.
        include_cookies=["heatpump_theme", "heatpump_phone"],
        include_headers=[],
        extra_patterns=[
            (COMPONENTS, NotFound),
            (ASSETS, StaticFileHandler, {"path": str(Path(__file__).parent / "assets")}),
            (alive.PATH, alive.Alive, {"visitors": visitors}),
            (csv_file.PATH, csv_file.CsvFile, {"visitors": visitors}),
            (health.PATH, health.Health, {"gate": gate, "live": live, "report": report}),
            (logout.PATH, logout.Logout, {"gate": gate}),
        ],
        default_handler_class=NotFound,
        check_unused_sessions_milliseconds=CHECK_UNUSED_MS,
        unused_session_lifetime_milliseconds=UNUSED_MS,
        title={page.path or "/": f"{page.title} · heatpump" for page in pages},
    )
    over = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, over.set)
    loop.set_exception_handler(_handle)
    visitors.enter_own()
    gc.freeze()  # what is loaded by now stays: no page waits for a search of it
    server.start()
    log.info("the pages are at http://%s:%s", host, server.port)
    ready(server.port or port)
    await over.wait()
    server.stop()
    await visitors.close()


def _handle(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Log what went wrong, but not that a page was closed while something was on its way to it."""
    if not isinstance(context.get("exception"), WebSocketClosedError):
        loop.default_exception_handler(context)


def _opener(visitors: Visitors, pages: list[Page], page: Page, version: str) -> Callable[[], Any]:
    """Make what Panel calls for each session: it must be a plain function."""

    def open_page() -> Any:
        context = pn.state.curdoc.session_context if pn.state.curdoc is not None else None
        site = visitors.enter(admitted_of(getattr(context, "request", None)))
        pn.state.on_session_destroyed(lambda _: visitors.leave(site))
        return serve_page(site, pages, page, version)

    return open_page
