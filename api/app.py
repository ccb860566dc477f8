"""The app: routes, errors, guard, live feed."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware

from api.access import Access
from api.deps import Context
from api.errors import MOST_BODY, add_handlers
from api.groups import Groups
from api.guard import Guard, origins_of
from api.live import Hub, LiveFeed
from api.login import Door
from api.metrics import ApiMetrics, Counted
from api.needs import check_declared
from api.openapi import DescribedApp
from api.routes import (
    alerts,
    dead_letters,
    devices,
    episodes,
    metrics,
    pipeline,
    readings,
    root,
    series,
    session,
    stats,
    walk,
    ws,
)
from api.version import VERSION
from flows.flow_port import FlowPort
from flows.loopback import is_loopback
from flows.model.rules import SHIPPED_RULES, load_rules
from flows.settings import Settings
from flows.store.protocol import StoreReader

_ROUTES = (
    root,
    stats,
    devices,
    readings,
    series,
    episodes,
    alerts,
    pipeline,
    dead_letters,
    walk,
    session,
    metrics,
    ws,
)
_ABOUT = (
    "Readings of heat pumps, what was computed of them, and alerts. Instants are ISO 8601 in UTC with ms;"
    " units are those of docs/reference/quantities.md. Beyond loopback every route but /, /api/health, /docs,"
    " /openapi.json and /login demands `Authorization: Bearer <token>`, or the cookie of a session; it answers of"
    " the devices that the token or user may see. Live messages: WebSocket /ws."
)


def create_app(settings: Settings, reader: StoreReader, live: bool = True) -> FastAPI:
    """Build the app. Raises ConfigError.

    live : subscribe to the broker while running; False to serve a store by itself.
    """
    access = Access(settings, demands=not is_loopback(settings.api_host))
    hub = Hub()
    feed = LiveFeed(settings, hub) if live else None
    context = Context(
        settings,
        reader,
        load_rules(SHIPPED_RULES),
        FlowPort(settings if live else None),
        hub,
        feed,
        access,
        Groups(reader),
        Door(access),
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
        max_body_size=MOST_BODY,
    )
    app.state.context = context
    app.state.metrics = ApiMetrics(context)
    for module in _ROUTES:
        check_declared(module.router.routes)
        app.include_router(module.router)
    add_handlers(app)
    app.add_middleware(Guard, settings=settings, access=access)
    origins = origins_of(settings)
    if origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=origins,
            allow_methods=["GET", "POST", "PUT", "DELETE"],
            allow_headers=["Authorization", "Content-Type", "Idempotency-Key"],
            expose_headers=["Link"],
        )
    app.add_middleware(Counted, metrics=app.state.metrics)  # around all others
    return app
