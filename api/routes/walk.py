"""walk: where the way of readings from device to page is broken, and what to do."""

from fastapi import APIRouter
from starlette.responses import Response

from api import answers, schemas
from api.deps import Context, Given
from api.params import NewDeviceId
from flows.model.times import now_ms
from flows.queries.walk import System, walk
from flows.queries.walk_facts import look, system_of

router = APIRouter(tags=["devices"])


@router.get("/api/walk", response_model=schemas.Walk)
def walk_of_any(given: Given) -> Response:
    """Walk from the broker to the page for whichever device spoke last; says what to do where none ever did."""
    return _walk(given, None)


@router.get("/api/devices/{device_id}/walk", response_model=schemas.Walk)
def walk_of_device(device_id: NewDeviceId, given: Given) -> Response:
    """Walk the way of a device's readings to the first broken link; a device that never spoke has one, too."""
    return _walk(given, device_id)


def _walk(given: Context, device_id: str | None) -> Response:
    system = System("unknown", "a store is served by itself, without broker and flow")
    if given.feed is not None:
        system = system_of(given.flow, given.feed.connected, given.settings.simulator_options)
    return answers.json(walk(device_id, *look(given.reader, device_id, system, now_ms(), given.online_timeout_ms)))
