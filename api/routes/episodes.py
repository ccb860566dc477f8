"""episodes: cycles, defrosts, hot-water runs, gaps and changes of a device."""

from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from api import answers, schemas
from api.deps import Given
from api.needs import READ_DEVICE
from api.params import DeviceId, Span
from flows.model.episode import KINDS
from flows.model.times import iso
from flows.queries import episodes as queries

router = APIRouter(tags=["episodes"])

Kinds = Annotated[
    str | None,
    Query(
        description=f"Only of these kinds, separated by commas: {', '.join(KINDS)}; all.",
        examples=["cycle,defrost"],
    ),
]
Limit = Annotated[
    int,
    Query(
        ge=1,
        le=1000,
        description="Most episodes in a page, and those that begin with its last one.",
        examples=[100],
    ),
]


@router.get(
    "/api/devices/{device_id}/episodes",
    response_model=list[schemas.Episode],
    responses={404: {"model": schemas.Problem, "description": "No such device."}},
    dependencies=[READ_DEVICE],
)
def episodes(
    request: Request, device_id: DeviceId, given: Given, span: Span, kind: Kinds = None, limit: Limit = 100
) -> Response:
    """List episodes that reach into the span, the one that began last first; more pages by the Link header."""
    start, end = span
    found, rest = queries.page(given.reader, device_id, queries.asked_kinds(kind), start, end, limit)
    answer = answers.json(found)
    if rest is not None:
        answer.headers.update(answers.next_page(request, start=iso(start), end=iso(rest)))
    return answer
