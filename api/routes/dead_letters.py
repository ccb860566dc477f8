"""dead_letters: what was refused, and why; to retry or drop one is a command to the flow."""

from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from api import answers, schemas
from api.commands import ANSWERS, CommandId, carry_out
from api.deps import Given
from api.needs import COMMAND_OWN, READ_OWN
from api.params import FilterDevice, Span
from api.viewer import Viewing
from flows.model.dead_letter import MOST_ID
from flows.queries import dead_letters as queries

router = APIRouter(tags=["dead letters"])

Reason = Annotated[
    str | None, Query(description="Only those refused for this reason.", max_length=64, examples=["not_json"])
]
State = Annotated[
    Literal["open", "retried", "dropped", "all"],
    Query(description="Only those that stand so; retried: with success.", examples=["open"]),
]
Before = Annotated[
    int | None, Query(ge=0, le=MOST_ID, description="Only those with a smaller id.", examples=[8192])
]
Limit = Annotated[int, Query(ge=1, le=500, description="Most of them in a page.", examples=[50])]
LetterId = Annotated[int, Path(ge=0, le=MOST_ID, description="Id of the dead letter, as listed.", examples=[8192])]
_UNKNOWN: answers.Documented = {404: {"model": schemas.Problem, "description": "No such dead letter."}}


@router.get("/api/dead-letters", response_model=list[schemas.DeadLetterLine], dependencies=[READ_OWN])
def dead_letters(
    request: Request,
    given: Given,
    viewer: Viewing,
    device_id: FilterDevice = None,
    reason: Reason = None,
    before: Before = None,
    limit: Limit = 50,
    state: State = "open",
) -> Response:
    """List refused messages, newest first, without their bodies; more pages by the Link header."""
    chosen = None if state == "all" else state
    page, rest = queries.dead_letters(given.reader, device_id, reason, before, limit, chosen, viewer.own_ids())
    answer = answers.json(page)
    if rest is not None:
        answer.headers.update(answers.next_page(request, before=rest))
    return answer


@router.get("/api/dead-letters/counts", response_model=list[schemas.Refused], dependencies=[READ_OWN])
def counts(given: Given, viewer: Viewing, span: Span, device_id: FilterDevice = None) -> Response:
    """Count refusals by device, reason and hour, those whose bodies were not kept too."""
    return answers.json(queries.refused_by_hour(given.reader, device_id, *span, viewer.own_ids()))


@router.get(
    "/api/dead-letters/{letter_id}",
    response_model=schemas.DeadLetter,
    responses=_UNKNOWN,
    dependencies=[READ_OWN],
)
def dead_letter(letter_id: LetterId, given: Given, viewer: Viewing) -> Response:
    """Get one with its body, base64 where it is no text."""
    return answers.json(queries.dead_letter(given.reader, letter_id, viewer.may_see))


@router.post(
    "/api/dead-letters/{letter_id}/retry",
    response_model=schemas.Outcome,
    responses=ANSWERS | _UNKNOWN,
    dependencies=[COMMAND_OWN],
)
async def retry(
    letter_id: LetterId,
    given: Given,
    viewer: Viewing,
    by: schemas.Attribution | None = None,
    key: CommandId = None,
) -> Response:
    """Read it again, as of its arrival. Refused again, it stays open: the same letter, one attempt more."""
    body = await run_in_threadpool(queries.command_body, given.reader, letter_id, viewer.may_see)
    who = viewer.signed(by.by if by is not None else None)
    return await carry_out(given, key, who, "dead_letter_retry", body)


@router.delete(
    "/api/dead-letters/{letter_id}",
    response_model=schemas.Outcome,
    responses=ANSWERS | _UNKNOWN,
    dependencies=[COMMAND_OWN],
)
async def drop(letter_id: LetterId, given: Given, viewer: Viewing, key: CommandId = None) -> Response:
    """Close it unread. It stays listed with `state=dropped` until retention takes it."""
    body = await run_in_threadpool(queries.command_body, given.reader, letter_id, viewer.may_see)
    return await carry_out(given, key, viewer.signed(None), "dead_letter_drop", body)
