"""readings: rows of a device, newest first."""

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from api import answers, schemas
from api.deps import Given
from api.needs import READ_DEVICE
from api.params import DeviceId, Fields, Format, Span
from flows.model.times import iso, now_ms
from flows.queries import devices
from flows.queries import readings as queries
from flows.queries.fields import asked_fields
from flows.queries.pages import zone_of

router = APIRouter(tags=["readings"])

USUAL_ROWS = 100
_UNKNOWN: answers.Documented = {
    404: {"model": schemas.Problem, "description": "No such device, or no reading of it."}
}
_CSV: answers.Documented = {
    200: {"content": {"text/csv": {}}, "description": "The rows; a Link header names the next page."}
}

Limit = Annotated[
    int | None,
    Query(ge=1, le=1000, description="Most rows in a page, 100 by default; of CSV, in all.", examples=[100]),
]
Resolution = Annotated[
    Literal["raw", "1m", "1h", "1d"],
    Query(description="raw, or rollups: a number's mean by its own name, with _min and _max.", examples=["raw"]),
]


@router.get(
    "/api/devices/{device_id}/readings",
    response_model=list[schemas.Reading],
    responses=_UNKNOWN | _CSV,
    dependencies=[READ_DEVICE],
)
def readings(
    request: Request,
    device_id: DeviceId,
    given: Given,
    span: Span,
    limit: Limit = None,
    resolution: Resolution = "raw",
    fields: Fields = None,
    format: Format = None,
) -> Response:
    """List readings, newest first; more pages by the Link header, all at once as CSV."""
    start, end = span
    if resolution == "raw" and fields is None and not answers.wants_csv(request, format):
        # What clients in the field ask most: of a device that has rows nothing else need be looked up.
        rows, rest = queries.raw_page(given.reader, device_id, start, end, limit or USUAL_ROWS, None)
        if not rows:
            devices.known(given.reader, device_id)
    else:
        device = devices.known(given.reader, device_id)
        zone = zone_of(device, now_ms())
        chosen = asked_fields(fields, device)
        if answers.wants_csv(request, format):
            table = queries.table(given.reader, device, resolution, start, end, limit, chosen, zone)
            return answers.csv_file(table, f"{device_id}-{resolution}")
        wanted = None if fields is None else chosen
        rows, rest = queries.page(given.reader, device, resolution, start, end, limit or USUAL_ROWS, wanted, zone)
    answer = answers.json(rows)
    if rest is not None:
        answer.headers.update(answers.next_page(request, start=iso(start), end=iso(rest)))
    return answer


@router.get(
    "/api/devices/{device_id}/readings/latest",
    response_model=schemas.Reading,
    responses=_UNKNOWN,
    dependencies=[READ_DEVICE],
)
def latest(device_id: DeviceId, given: Given) -> Response:
    """Get the newest reading."""
    return answers.json(queries.latest(given.reader, device_id))
