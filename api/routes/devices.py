"""devices: list, status; metadata and forgetting are commands to the flow."""

import msgspec
from fastapi import APIRouter
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from api import answers, schemas
from api.commands import ANSWERS, CommandId, carry_out
from api.deps import Context, Given
from api.needs import ADMIN_DEVICE, COMMAND_DEVICE, READ_DEVICE, READ_OWN
from api.params import DeviceId, NewDeviceId
from api.viewer import Viewer, Viewing
from flows.access.account import has_scope, includes
from flows.errors import BadQuery, Forbidden
from flows.model.device import Bounds, DeviceMetadata, check_metadata, metadata_at
from flows.model.times import now_ms
from flows.queries import devices as queries

router = APIRouter(tags=["devices"])
_UNKNOWN: answers.Documented = {404: {"model": schemas.Problem, "description": "No such device."}}


@router.get("/api/devices", response_model=list[schemas.Device], dependencies=[READ_OWN])
def devices(given: Given, viewer: Viewing) -> Response:
    """List all devices by id."""

    def sees(device_id: str, group: str) -> bool:
        return includes(viewer.account.devices, device_id, lambda _: group)

    return answers.json(queries.all_devices(given.reader, now_ms(), given.online_timeout_ms, sees))


@router.get(
    "/api/devices/{device_id}/status",
    response_model=schemas.DeviceStatus,
    responses=_UNKNOWN,
    dependencies=[READ_DEVICE],
)
def status(device_id: DeviceId, given: Given) -> Response:
    """Say how a device is doing: its newest values, attributes, metadata and the limits in force."""
    return answers.json(queries.status(given.reader, device_id, given.rules, now_ms(), given.online_timeout_ms))


@router.put(
    "/api/devices/{device_id}",
    response_model=schemas.Outcome,
    responses=ANSWERS | {404: {"model": schemas.Problem, "description": "A device of others."}},
    dependencies=[COMMAND_DEVICE],
)
async def put(
    device_id: NewDeviceId,
    metadata: schemas.Metadata,
    given: Given,
    viewer: Viewing,
    key: CommandId = None,
) -> Response:
    """Store what is known of a device; what was computed with other values is computed again."""
    body = metadata.model_dump(exclude={"valid_from"})
    if metadata.group is None or not has_scope(viewer.account, "admin"):
        del body["group"]  # the flow keeps it as it is
    if metadata.valid_from is not None:
        body["valid_from"] = round(metadata.valid_from.timestamp() * 1000)
    check_metadata(msgspec.convert(body, DeviceMetadata))
    check_limits(given, metadata)
    if metadata.group is not None and "group" not in body:
        at = body.get("valid_from", now_ms())
        await run_in_threadpool(_check_same_group, given, viewer, device_id, metadata.group, at)
    answer = await carry_out(given, key, viewer.signed(None), "device_put", {**body, "device_id": device_id})
    given.groups.changed()
    return answer


def _check_same_group(given: Context, viewer: Viewer, device_id: str, group: str, at: int) -> None:
    """Raise Forbidden where a group would change: it decides who may see the device."""
    device = given.reader.device(device_id)
    if group != (metadata_at(device.metadata, at).group if device is not None else ""):
        raise Forbidden(f"group: to change it needs the scope admin; {viewer.named} has {viewer.account.scope}")


@router.delete(
    "/api/devices/{device_id}",
    response_model=schemas.Outcome,
    responses=ANSWERS | _UNKNOWN,
    dependencies=[ADMIN_DEVICE],
)
async def forget(device_id: DeviceId, given: Given, viewer: Viewing, key: CommandId = None) -> Response:
    """Delete everything that is stored of a device. If it goes on sending, it is a new one."""
    await run_in_threadpool(queries.known, given.reader, device_id)
    answer = await carry_out(given, key, viewer.signed(None), "device_forget", {"device_id": device_id})
    given.groups.changed()
    return answer


def check_limits(given: Context, metadata: schemas.Metadata) -> None:
    """Raise BadQuery where thresholds name no rule, or warn later than they alarm."""
    rules = {rule.alert_type: rule for rule in given.rules}
    for alert_type, own in metadata.limits.items():
        rule = rules.get(alert_type)
        if rule is None:
            raise BadQuery(f"limits.{alert_type}"[:80], own.model_dump(), f"must be one of {', '.join(rules)}")
        merged = rule.overridden(Bounds(own.warning, own.critical))
        if merged.warning is None or merged.critical is None:
            continue
        if (merged.warning > merged.critical) if rule.direction == "high" else (merged.warning < merged.critical):
            raise BadQuery(
                f"limits.{alert_type}.warning",
                merged.warning,
                f"must come before critical, which is {merged.critical:g}",
            )
