"""Site: what all open pages of one visitor share: the API, asked with that visitor's rights and no others."""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from panel_app.account import Account, account_of
from panel_app.api_client import ApiClient, ApiProblem
from panel_app.feed import Feed
from panel_app.pipeline_watch import PipelineWatch
from panel_app.watch import Watch

log = logging.getLogger("heatpump.panel")

LOOK_EVERY_S, LOOK_AT_MOST_EVERY_S = 10.0, 2.0
"""How often it is asked whether a session still stands; and at most, where an answer says that it does not. [s]"""

REFUSED = (401, 403)


class Site:
    """Begun with a visitor's first page, ended with the last one. For the event loop's thread only.

    account        : as the API said last. ended: the API takes the session no more.
    word           : by it a page knows its server and its rights again, see alive.py.
    pages          : how many are open.
    simulator_line : a command that plays a device against this site; load_demo: has the demo loaded, None where
                     there is nobody to do it (`heatpump up` does). Both for who is on this machine alone.
    """

    def __init__(
        self,
        api_url: str,
        token: str,
        account: Account,
        simulator_line: str = "",
        load_demo: Callable[[], None] | None = None,
    ) -> None:
        self.token, self.account, self.word = token, account, ""
        self.simulator_line, self.load_demo = simulator_line, load_demo
        self.ended, self.pages = False, 0
        self.api, self.feed = ApiClient(api_url, token), Feed(api_url, token)
        self.watch = Watch(self.api, self.feed, lambda: self.account.has_all)
        self.pipeline = PipelineWatch(self.api)
        self._tasks: list[asyncio.Task[Any]] = []

    def begin(self, has_session: bool) -> None:
        """Hear what happens; of a session also whether it still stands."""
        self._tasks = [asyncio.create_task(self.feed.run())]
        if has_session:
            self._tasks.append(asyncio.create_task(self._look_after()))

    async def end(self) -> None:
        """Hear and ask no more."""
        for task in self._tasks:
            task.cancel()
        self.watch.end()
        await self.api.close()

    async def _look_after(self) -> None:
        while True:
            await asyncio.sleep(LOOK_AT_MOST_EVERY_S)
            with suppress(TimeoutError):
                await asyncio.wait_for(self.api.refused.wait(), LOOK_EVERY_S - LOOK_AT_MOST_EVERY_S)
            self.api.refused.clear()
            try:
                self.account, self.ended = account_of(await self.api.get("/api/session")), False
            except ApiProblem as problem:
                self.ended = self.ended or problem.status in REFUSED
            except (KeyError, TypeError, ValueError):
                log.exception("the API's answer about a session was not understood")
