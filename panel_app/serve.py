"""The pages as a process."""

import asyncio
import logging
import os
import secrets
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import panel as pn
from panel.io.server import get_server
from tornado.websocket import WebSocketClosedError

from panel_app import alive, csv_file, health
from panel_app.api_client import ApiClient
from panel_app.feed import Feed
from panel_app.not_found import NotFound
from panel_app.pages import Page, all_pages
from panel_app.session import Site
from panel_app.shell import serve_page
from panel_app.watch import Watch

log = logging.getLogger("heatpump.panel")

CHECK_UNUSED_MS, UNUSED_MS = 5_000, 10_000
"""A session whose page was closed is forgotten this soon; a reload within it is another session anyway. [ms]"""


async def serve(
    host: str,
    port: int,
    api_url: str,
    api_token: str,
    version: str,
    simulator_line: str = "",
    load_demo: Callable[[], None] | None = None,
    ready: Callable[[int], None] = lambda port: None,
) -> None:
    """Serve until SIGTERM or SIGINT. Raises OSError where the port cannot be had.

    ready : called with the port once the pages can be opened.
    """
    # Bokeh's scripts come from this server, whatever the environment says: pages work without the internet.
    os.environ["BOKEH_RESOURCES"] = "server"
    pn.extension()
    for chatty in ("httpx", "tornado.access", "bokeh.server"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    feed = Feed(api_url, api_token)
    api = ApiClient(api_url, api_token)
    watch = Watch(api, feed)
    word = secrets.token_urlsafe(16)
    site = Site(api, feed, watch, simulator_line, load_demo, word)
    pages = all_pages()

    def report() -> dict[str, Any]:
        return {
            "sessions": len(server.get_sessions()),
            "devices": watch.followed,
            "tasks": len(asyncio.all_tasks()),
            "live": feed.connected,
        }

    names = {host, "127.0.0.1", "localhost"}
    server = get_server(
        {page.path or "/": _opener(site, pages, page, version) for page in pages},
        port=port,
        address=host,
        websocket_origin=[f"{name}:{port}" for name in names],
        extra_patterns=[
            (alive.PATH, alive.Alive, {"hosts": names, "word": word}),
            (csv_file.PATH, csv_file.CsvFile, {"hosts": names, "api": api}),
            (health.PATH, health.Health, {"hosts": names, "report": report}),
        ],
        default_handler_class=NotFound,
        static_dirs={"assets": str(Path(__file__).parent / "assets")},
        check_unused_sessions_milliseconds=CHECK_UNUSED_MS,
        unused_session_lifetime_milliseconds=UNUSED_MS,
        title={page.path or "/": f"{page.title} · heatpump" for page in pages},
    )
    over = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, over.set)
    loop.set_exception_handler(_handle)
    hearing = asyncio.create_task(feed.run())
    server.start()
    log.info("the pages are at http://%s:%s", host, server.port)
    ready(server.port or port)
    await over.wait()
    hearing.cancel()
    server.stop()
    await api.close()


def _handle(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Log what went wrong, but not that a page was closed while something was on its way to it."""
    if not isinstance(context.get("exception"), WebSocketClosedError):
        loop.default_exception_handler(context)


def _opener(site: Site, pages: list[Page], page: Page, version: str) -> Callable[[], Any]:
    """Make what Panel calls for each session: it must be a plain function."""
    return lambda: serve_page(site, pages, page, version)
