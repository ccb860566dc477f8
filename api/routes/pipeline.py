"""pipeline: the node graph as the flow tells it; a node's last items; one reading's way."""

import asyncio
import time
from functools import lru_cache
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Path, Query
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from api import answers, pipeline_schemas, schemas
from api.deps import Context, Given
from api.health import without_places
from api.needs import READ_DEVICE, READ_SYSTEM
from api.params import DeviceId
from api.viewer import Viewing
from flows.errors import StoreError
from flows.model.times import iso, now_ms
from flows.queries import devices as queries
from flows.store.protocol import StoreReader

router = APIRouter(tags=["pipeline"])

PATIENCE_S = 15.0
"""How long a device's next message is waited for. [s]"""
PAUSE_S = 0.1
COUNTED_MS = 5_000
"""How often devices are counted. [ms]"""

_DOWN: answers.Documented = {
    503: {"model": schemas.Problem, "description": "The flow is down, or a store served by itself."}
}
_NO_STEP: answers.Documented = {
    404: {"model": schemas.Problem, "description": "No such step; those there are are named."}
}
_NO_TRACE: answers.Documented = {
    404: {"model": schemas.Problem, "description": "No such device."},
    409: {"model": schemas.Problem, "description": "Nothing came of the device within 15 s, and why."},
}
Step = Annotated[str, Path(description="Id of a step of the graph.", max_length=80, examples=["validate"])]
Next = Annotated[
    bool,
    Query(description="Wait for a message that comes from now on, also if one was followed.", examples=[True]),
]
After = Annotated[
    int | None,
    Query(ge=0, lt=1 << 62, description="Wait for a message behind this `seq` of the journal.", examples=[4711]),
]


@router.get("/api/pipeline", response_model=pipeline_schemas.Pipeline, responses=_DOWN, dependencies=[READ_SYSTEM])
def pipeline(given: Given) -> Response:
    """Give nodes with their counters, the journal's state, the sinks, the last hour and the conservation sum."""
    told: dict[str, Any] = msgspec.json.decode(given.flow.pipeline())
    told["live"]["clients"] = len(given.hub.clients)
    told["devices"], newest = _told_by_store(given, told["devices"])
    told["dead_letters"] = {"since_start": told["store"]["rows"].get("DeadLetter", 0), "newest": newest}
    return answers.json(told)


def _told_by_store(given: Context, known: int) -> tuple[dict[str, int | None], str | None]:
    """Count devices and find the newest letter; while the store is away the flow's own count is all there is."""
    period = now_ms() // COUNTED_MS
    try:
        given.reader.ping()  # one that holds its answers back is found out in 2 s, by a question in 20
        known, online = _count_devices(given.reader, given.online_timeout_ms, period)  # type: ignore[arg-type]
        newest = given.reader.dead_letters(None, None, None, 1)
    except StoreError:
        return {"known": known, "online": None}, None
    return {"known": known, "online": online}, iso(newest[0].arrived) if newest else None


@lru_cache(maxsize=4)
def _count_devices(reader: StoreReader, online_timeout_ms: int, period: int) -> tuple[int, int]:
    """Count those known and online, once in a while: of 10 000 it takes a quarter of a second."""
    devices = queries.all_devices(reader, now_ms(), online_timeout_ms)
    return len(devices), sum(device.is_online for device in devices)


@router.get(
    "/api/pipeline/nodes/{step}",
    response_model=pipeline_schemas.NodeDetail,
    responses=_DOWN | _NO_STEP,
    dependencies=[READ_SYSTEM],
)
def node(step: Step, given: Given) -> Response:
    """Say what a node is and what it made of the last items; it is watched from this question on, for 10 s."""
    return Response(given.flow.node(step), media_type="application/json")


@router.get(
    "/api/pipeline/trace/{device_id}",
    response_model=pipeline_schemas.Trace,
    responses=_DOWN | _NO_TRACE,
    dependencies=[READ_DEVICE],
)
async def trace(
    device_id: DeviceId, given: Given, viewer: Viewing, next: Next = False, after: After = None
) -> Response:
    """Follow a device's message through every node: the newest since it is followed, or wait 15 s for the next."""
    device = await run_in_threadpool(queries.known, given.reader, device_id)
    until = time.monotonic() + PATIENCE_S
    answer = await run_in_threadpool(given.flow.trace, device_id, after)
    if next and after is None:
        after = answer["head"]
        answer["trace"] = None
    while not (answer["trace"] or {}).get("done"):
        if time.monotonic() > until:
            if answer["trace"]:
                break
            why = await run_in_threadpool(_silent, given, device_id, device.last_seen)
            return answers.json({"detail": why if viewer.has_all else without_places(why)}, 409)
        await asyncio.sleep(PAUSE_S)
        answer = await run_in_threadpool(given.flow.trace, device_id, after)
    return answers.json(answer["trace"])


def _silent(given: Context, device_id: str, last_seen: int) -> str:
    """Say why no message came to be followed. last_seen: [ms since 1970, UTC]"""
    told = msgspec.json.decode(given.flow.pipeline())
    if told["unread"]:
        waits = told["store"]["waiting"]
        why = f" the store waits: {waits}" if waits else " it catches up"
        return f"{told['unread']} messages wait to be read before the next one of {device_id!r};{why}"
    heard = f"last heard {iso(last_seen)}" if last_seen else "never heard"
    return f"no message of {device_id!r} came within {PATIENCE_S:.0f} s; {heard}"
