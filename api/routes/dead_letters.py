"""dead_letters: what was refused, and why."""

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request
from starlette.responses import Response

from api import answers, schemas
from api.deps import Given
from api.params import FilterDevice, Span
from flows.queries import dead_letters as queries

router = APIRouter(tags=["dead letters"])

MOST_ID = (1 << 62) - 1
Reason = Annotated[
    str | None, Query(description="Only those refused for this reason.", max_length=64, examples=["not_json"])
]
Before = Annotated[
    int | None, Query(ge=0, le=MOST_ID, description="Only those with a smaller id.", examples=[8192])
]
Limit = Annotated[int, Query(ge=1, le=500, description="Most of them in a page.", examples=[50])]
LetterId = Annotated[int, Path(ge=0, le=MOST_ID, description="Id of the dead letter, as listed.", examples=[8192])]


@router.get("/api/dead-letters", response_model=list[schemas.DeadLetterLine])
def dead_letters(
    request: Request,
    given: Given,
    device_id: FilterDevice = None,
    reason: Reason = None,
    before: Before = None,
    limit: Limit = 50,
) -> Response:
    """List refused messages, newest first, without their bodies; more pages by the Link header."""
    page, rest = queries.dead_letters(given.reader, device_id, reason, before, limit)
    answer = answers.json(page)
    if rest is not None:
        answer.headers.update(answers.next_page(request, before=rest))
    return answer


@router.get("/api/dead-letters/counts", response_model=list[schemas.Refused])
def counts(given: Given, span: Span, device_id: FilterDevice = None) -> Response:
    """Count refusals by device, reason and hour, those whose bodies were not kept too."""
    return answers.json(queries.refused_by_hour(given.reader, device_id, *span))


@router.get(
    "/api/dead-letters/{letter_id}",
    response_model=schemas.DeadLetter,
    responses={404: {"model": schemas.Problem, "description": "No such dead letter."}},
)
def dead_letter(letter_id: LetterId, given: Given) -> Response:
    """Get one with its body, base64 where it is no text."""
    return answers.json(queries.dead_letter(given.reader, letter_id))
