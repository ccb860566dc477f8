"""alerts: list and acknowledge."""

from typing import Annotated

from fastapi import APIRouter, Path, Query
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from api import answers, schemas
from api.commands import ANSWERS, CommandId, carry_out
from api.deps import Context, Given
from api.needs import COMMAND_OWN, READ_OWN
from api.params import FilterDevice, Span
from api.viewer import Viewer, Viewing
from flows.errors import NotFound
from flows.queries import alerts as queries

router = APIRouter(tags=["alerts"])

Limit = Annotated[int, Query(ge=1, le=500, description="Most alerts in the answer.", examples=[50])]
OpenOnly = Annotated[bool, Query(description="Leave out those that are cleared or have no end.", examples=[True])]
AlertId = Annotated[str, Path(description="Id of the alert, as listed.", examples=["site1/voltage_high/8192"])]


@router.get("/api/alerts", response_model=list[schemas.Alert], dependencies=[READ_OWN])
def alerts(
    given: Given,
    viewer: Viewing,
    span: Span,
    device_id: FilterDevice = None,
    limit: Limit = 50,
    open_only: OpenOnly = False,
) -> Response:
    """List alerts that changed in the span, newest first."""
    return answers.json(queries.alerts(given.reader, device_id, *span, limit, open_only, viewer.own_ids()))


@router.post(
    "/api/alerts/{alert_id:path}/ack",
    response_model=schemas.Outcome,
    responses=ANSWERS | {404: {"model": schemas.Problem, "description": "No such alert."}},
    dependencies=[COMMAND_OWN],
)
async def acknowledge(
    alert_id: AlertId,
    given: Given,
    viewer: Viewing,
    by: schemas.Acknowledgement | None = None,
    key: CommandId = None,
) -> Response:
    """Acknowledge an open alert."""
    await run_in_threadpool(_check_known, given, viewer, alert_id)
    who = viewer.signed(by.by if by is not None else None)
    return await carry_out(given, key, who, "alert_ack", {"alert_id": alert_id})


def _check_known(given: Context, viewer: Viewer, alert_id: str) -> None:
    alert = given.reader.alert(alert_id)
    if alert is None or not viewer.may_see(alert.last.device_id):
        raise NotFound(f"alert {alert_id!r} is not known; GET /api/alerts lists those that are")
