"""series: values by column, for charts and sums."""

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from api import answers, schemas
from api.deps import Given
from api.needs import READ_DEVICE
from api.params import DeviceId, End, Fields, Format, Hours, Start, asked_span
from flows.model.times import iso, now_ms
from flows.queries import devices
from flows.queries import series as queries
from flows.queries.fields import asked_fields
from flows.queries.pages import zone_of
from flows.queries.series import MOST_POINTS, USUAL_POINTS

router = APIRouter(tags=["series"])

_ANSWERS: answers.Documented = {
    200: {"content": {"text/csv": {}}, "description": "The series."},
    404: {"model": schemas.Problem, "description": "No such device."},
}
Resolution = Annotated[
    Literal["auto", "raw", "1m", "1h", "1d"],
    Query(description="auto: the finest that fits max_points and reaches back to the start.", examples=["auto"]),
]
MaxPoints = Annotated[
    int | None,
    Query(
        ge=1,
        le=MOST_POINTS,
        description=f"Most points: {USUAL_POINTS} by default, {MOST_POINTS} where a resolution is named.",
        examples=[USUAL_POINTS],
    ),
]


@router.get(
    "/api/devices/{device_id}/series",
    response_model=schemas.Series,
    responses=_ANSWERS,
    dependencies=[READ_DEVICE],
)
def series(
    request: Request,
    device_id: DeviceId,
    given: Given,
    fields: Fields = None,
    hours: Hours = 24,
    start: Start = None,
    end: End = None,
    resolution: Resolution = "auto",
    max_points: MaxPoints = None,
    format: Format = None,
) -> Response:
    """Give values by column, with coverage and gaps; the newest bucket is composed as it stands."""
    device = devices.known(given.reader, device_id)
    now = now_ms()
    since, until = asked_span(hours, start, end or iso(now))
    chosen = None if resolution == "auto" else resolution
    points = max_points or (USUAL_POINTS if chosen is None else MOST_POINTS)
    span = queries.plan(
        given.reader, device, asked_fields(fields, device), since, until, chosen, points, zone_of(device, now)
    )
    if answers.wants_csv(request, format):
        return answers.csv_file(queries.table(given.reader, span), f"{device_id}-{span.resolution}")
    return answers.json(queries.series(given.reader, span, points, now))
