"""walk: where the way of readings from device to page is broken, and what to do."""

from collections.abc import Collection

from fastapi import APIRouter
from msgspec import structs
from starlette.responses import Response

from api import answers, schemas
from api.deps import Context, Given
from api.health import without_places
from api.needs import READ_DEVICE, READ_OWN
from api.params import NewDeviceId
from api.viewer import Viewer, Viewing
from flows.errors import StoreError
from flows.model.times import now_ms
from flows.queries.walk import System, walk
from flows.queries.walk_facts import look, system_of

router = APIRouter(tags=["devices"])


@router.get("/api/walk", response_model=schemas.Walk, dependencies=[READ_OWN])
def walk_of_any(given: Given, viewer: Viewing) -> Response:
    """Walk from the broker to the page for whichever device spoke last; says what to do where none ever did."""
    return _walk(given, viewer, None)


@router.get("/api/devices/{device_id}/walk", response_model=schemas.Walk, dependencies=[READ_DEVICE])
def walk_of_device(device_id: NewDeviceId, given: Given, viewer: Viewing) -> Response:
    """Walk the way of a device's readings to the first broken link; a device that never spoke has one, too."""
    return _walk(given, viewer, device_id)


def _walk(given: Context, viewer: Viewer, device_id: str | None) -> Response:
    system = System("unknown", "a store is served by itself, without broker and flow")
    if given.feed is not None:
        system = system_of(given.flow, given.feed.connected, given.settings.simulator_options)
    own = _own_ids(viewer)
    if own is not None:
        system = structs.replace(system, store_waits=without_places(system.store_waits))
    seen, facts = look(given.reader, device_id, system, now_ms(), given.online_timeout_ms, own)
    if own is not None:
        seen = structs.replace(seen, store_detail=without_places(seen.store_detail))
    return answers.json(walk(device_id, seen, facts))


def _own_ids(viewer: Viewer) -> Collection[str] | None:
    """List the devices that may be spoken of; while the store is away, none: it alone knows their groups."""
    try:
        return viewer.own_ids()
    except StoreError:
        return []
