"""What routes are given: settings, the store's reader, the rules, the flow, the live feed, who may ask."""

from typing import Annotated

import msgspec
from fastapi import Depends
from starlette.requests import HTTPConnection

from api.access import Access
from api.groups import Groups
from api.live import Hub, LiveFeed
from api.login import Door
from flows.flow_port import FlowPort
from flows.model.rules import Rule
from flows.settings import Settings
from flows.store.protocol import StoreReader


class Context(msgspec.Struct):
    """One API process.

    feed : None where a store is served by itself.
    """

    settings: Settings
    reader: StoreReader
    rules: list[Rule]
    flow: FlowPort
    hub: Hub
    feed: LiveFeed | None
    access: Access
    groups: Groups
    door: Door

    @property
    def online_timeout_ms(self) -> int:
        """How long after its last reading a device counts as online. [ms]"""
        return self.settings.online_timeout_s * 1000


async def _context(connection: HTTPConnection) -> Context:
    context: Context = connection.app.state.context
    return context


Given = Annotated[Context, Depends(_context)]
