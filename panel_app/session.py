"""Session: one open page: what its reader chose, and what must end when it is closed."""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any
from urllib.parse import parse_qsl, urlencode

import panel as pn
import param
from panel.io import hold

from panel_app.site import Site

log = logging.getLogger("heatpump.panel")


class Selection(param.Parameterized):
    """What the reader chose; in the URL, so that a copied link shows the same.

    device : its id, "" for the first there is.
    span   : 6h, 24h, 7d, 30d, 13mo, or custom with start and end (ISO 8601).
    hide   : series not drawn, by name, separated by commas.
    node   : the step selected on the pipeline page.
    """

    device = param.String("")
    span = param.String("")
    start = param.String("")
    end = param.String("")
    hide = param.String("")
    node = param.String("")


CHOSEN = ("device", "span", "start", "end", "hide", "node")
"""What of it stands in the URL, by these names."""


class Session:
    """Made anew for each page that is opened.

    failing : what cannot be done by an error of the page's own; while there is any, it does not call itself live.
    """

    def __init__(self, site: Site) -> None:
        self.site = site
        self.selection = Selection()
        assert pn.state.curdoc is not None
        self._document = pn.state.curdoc
        self._endings: list[Callable[[], Any]] = []
        self._tasks: set[asyncio.Task[Any]] = set()
        self._due: set[Callable[[], Any]] = set()
        self.ended = self._loaded = False
        self.failing: set[Any] = set()
        pn.state.onload(self._load)
        if pn.state.location is not None:
            self._keep_in_url(pn.state.location)
        pn.state.on_session_destroyed(self._end)

    def _keep_in_url(self, location: Any) -> None:
        """Have the selection and the URL follow each other; what a URL does not name is not chosen.

        Panel's own `sync` leaves such as it was, so that Back to a URL without a span would change nothing. And it
        adds a step to the browser's history for every empty name that it writes.
        """

        def read(*_: Any) -> None:
            given = dict(parse_qsl(location.search.removeprefix("?")))
            self.selection.param.update({name: given.get(name, "") for name in CHOSEN})

        def write(*_: Any) -> None:
            chosen = {name: value for name in CHOSEN if (value := getattr(self.selection, name))}
            given = dict(parse_qsl(location.search.removeprefix("?")))
            if chosen != {name: given[name] for name in CHOSEN if name in given}:
                location.search = f"?{urlencode(chosen)}" if chosen else ""

        read()
        self.selection.param.watch(write, list(CHOSEN))
        reading = location.param.watch(read, "search")
        self.at_end(lambda: location.param.unwatch(reading))

    def at_end(self, ending: Callable[[], Any]) -> None:
        """Call `ending` when the page is closed."""
        self._endings.append(ending)

    def begin(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Run it beside the page; it is broken off when the page is closed."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._over)
        return task

    def _over(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("a page stopped following", exc_info=task.exception())
            self.failing.add(task)

    def soon(self, draw: Callable[[], object]) -> None:
        """Call `draw` where the page may be changed; asked twice before, it is called once.

        It must not wait for anything: the reader's clicks would wait too.

        Until the browser has drawn the page once it waits: what changes before can get lost there.
        """
        if self.ended or draw in self._due:
            return
        self._due.add(draw)
        if self._loaded:
            self._schedule(draw)

    def _schedule(self, draw: Callable[[], Any]) -> None:
        def do() -> None:
            self._due.discard(draw)
            if self.ended:
                return
            try:
                with hold(self._document):  # what changes together is sent together
                    draw()
            except Exception:
                if draw not in self.failing:
                    log.exception("a part of a page cannot be drawn")
                self.failing.add(draw)
            else:
                self.failing.discard(draw)

        self._document.add_next_tick_callback(do)

    def _load(self) -> None:
        self._loaded = True
        for draw in list(self._due):
            self._schedule(draw)

    def every(self, seconds: float, draw: Callable[[], Any]) -> None:
        """Call `draw` again and again where the page may be changed."""

        async def go_on() -> None:
            while True:
                await asyncio.sleep(seconds)
                self.soon(draw)

        self.begin(go_on())

    def _end(self, _: Any) -> None:
        self.ended = True
        for ending in self._endings:
            ending()
        for task in list(self._tasks):
            task.cancel()
