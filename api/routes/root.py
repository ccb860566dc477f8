"""root: what this is, and whether it is well.

Told without the threads that questions share: while each of these waits for a store that holds its answers back,
whoever looks after the processes must not take this one for dead.
"""

import asyncio
from concurrent.futures import ThreadPoolExecutor

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from api import answers, schemas
from api.deps import Given
from api.docs_page import CONTENT_SECURITY, render
from api.health import without_places
from api.needs import OPEN
from api.version import VERSION
from flows.errors import StoreError
from flows.model.times import iso, now_ms

router = APIRouter(tags=["root"])

_pings = ThreadPoolExecutor(4, "api-health")


@router.get("/", response_model=schemas.Root, dependencies=[OPEN])
async def root() -> Response:
    """Say what this is."""
    return answers.json(
        {"name": "Heat Pump Monitor", "version": VERSION, "status": "running", "documentation": "/docs"}
    )


@router.get(
    "/api/health",
    response_model=schemas.Health,
    responses={503: {"model": schemas.Health, "description": "No store."}},
    dependencies=[OPEN],
)
async def health(given: Given) -> Response:
    """Say whether the store answers and live messages come; 503 without a store."""
    problems = ["a store is served by itself, without broker and flow"]
    if given.feed is not None:
        problems = given.feed.problems
    try:
        await asyncio.get_running_loop().run_in_executor(_pings, given.reader.ping)
        has_store = True
    except StoreError as error:
        has_store = False
        why = f": {without_places(str(error))}" if given.settings.store_kind == "influxdb" else ""
        problems = [f"the store does not answer{why}; see `heatpump doctor`", *problems]
    has_mqtt = given.feed is not None and given.feed.connected
    body = {
        "status": ("healthy" if has_mqtt else "degraded") if has_store else "unhealthy",
        "influxdb_connected": has_store,
        "mqtt_connected": has_mqtt,
        "timestamp": iso(now_ms()),
        "store": given.settings.store_kind,
        "flow_running": given.feed is not None and given.feed.flow_running,
        "problems": problems,
    }
    return answers.json(body, 200 if has_store else 503)


@router.get("/docs", include_in_schema=False, dependencies=[OPEN])
def docs(request: Request) -> Response:
    """Show this interface on one page, without anything from elsewhere."""
    return HTMLResponse(render(request.app.openapi()), headers={"Content-Security-Policy": CONTENT_SECURITY})
