"""devices: list, status; metadata and forgetting are commands to the flow."""

import msgspec
from fastapi import APIRouter
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from api import answers, schemas
from api.commands import ANSWERS, CommandId, carry_out
from api.deps import Context, Given
from api.params import DeviceId, NewDeviceId
from flows.errors import BadQuery
from flows.model.device import Bounds, DeviceMetadata, check_metadata
from flows.model.times import now_ms
from flows.queries import devices as queries

router = APIRouter(tags=["devices"])
_UNKNOWN: answers.Documented = {404: {"model": schemas.Problem, "description": "No such device."}}


@router.get("/api/devices", response_model=list[schemas.Device])
def devices(given: Given) -> Response:
    """List all devices by id."""
    return answers.json(queries.all_devices(given.reader, now_ms(), given.online_timeout_ms))


@router.get("/api/devices/{device_id}/status", response_model=schemas.DeviceStatus, responses=_UNKNOWN)
def status(device_id: DeviceId, given: Given) -> Response:
    """Say how a device is doing: its newest values, attributes, metadata and the limits in force."""
    return answers.json(queries.status(given.reader, device_id, given.rules, now_ms(), given.online_timeout_ms))


@router.put("/api/devices/{device_id}", response_model=schemas.Outcome, responses=ANSWERS)
async def put(device_id: NewDeviceId, metadata: schemas.Metadata, given: Given, key: CommandId = None) -> Response:
    """Store what is known of a device; what was computed with other values is computed again."""
    body = metadata.model_dump(exclude={"valid_from"})
    if metadata.valid_from is not None:
        body["valid_from"] = round(metadata.valid_from.timestamp() * 1000)
    check_metadata(msgspec.convert(body, DeviceMetadata))
    check_limits(given, metadata)
    return await carry_out(given, key, "api", "device_put", {**body, "device_id": device_id})


@router.delete("/api/devices/{device_id}", response_model=schemas.Outcome, responses=ANSWERS | _UNKNOWN)
async def forget(device_id: DeviceId, given: Given, key: CommandId = None) -> Response:
    """Delete everything that is stored of a device. If it goes on sending, it is a new one."""
    await run_in_threadpool(queries.known, given.reader, device_id)
    return await carry_out(given, key, "api", "device_forget", {"device_id": device_id})


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
