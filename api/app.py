"""The app: routes, errors, guard, live feed."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware

from api.deps import Context
from api.errors import add_handlers
from api.guard import Guard, origins_of, token_for
from api.live import Hub, LiveFeed
from api.openapi import DescribedApp
from api.routes import alerts, dead_letters, devices, episodes, pipeline, readings, root, series, stats, walk, ws
from api.version import VERSION
from flows.flow_port import FlowPort
from flows.model.rules import SHIPPED_RULES, load_rules
from flows.settings import Settings
from flows.store.protocol import StoreReader

_ROUTES = (root, stats, devices, readings, series, episodes, alerts, pipeline, dead_letters, walk, ws)
_ABOUT = (
    "Readings of heat pumps, what was computed of them, and alerts. Instants are ISO 8601 in UTC with ms;"
    " units are those of docs/reference/quantities.md. Beyond loopback every route but /, /api/health, /docs and"
    " /openapi.json demands `Authorization: Bearer <token>`. Live messages: WebSocket /ws."
)


def create_app(settings: Settings, reader: StoreReader, live: bool = True) -> FastAPI:
    """Build the app. Raises ConfigError.

    live : subscribe to the broker while running; False to serve a store by itself.
    """
    hub = Hub()
    feed = LiveFeed(settings, hub) if live else None
    context = Context(
        settings, reader, load_rules(SHIPPED_RULES), FlowPort(settings if live else None), hub, feed
    )

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        if feed is not None:
            feed.start(asyncio.get_running_loop())
        yield
        if feed is not None:
            feed.stop()

    app = DescribedApp(
        title="Heat Pump Monitor",
        version=VERSION,
        description=_ABOUT,
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
    )
    app.state.context = context
    for module in _ROUTES:
        app.include_router(module.router)
    add_handlers(app)
    app.add_middleware(Guard, settings=settings, token=token_for(settings))
    origins = origins_of(settings)
    if origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=origins,
            allow_methods=["GET", "POST", "PUT", "DELETE"],
            allow_headers=["Authorization", "Content-Type", "Idempotency-Key"],
            expose_headers=["Link"],
        )
    return app
