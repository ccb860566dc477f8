"""Commands: sent to the flow, answered when their effect is stored."""

import asyncio
import secrets
import time
from typing import Annotated

import msgspec
from fastapi import Header
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from api import answers, schemas
from api.deps import Context
from flows.model.command import CommandOutcome, CommandRequest, kept_body

PATIENCE_S = 5.0
"""How long a command's effect is waited for before the answer is 202. [s]"""

ANSWERS: answers.Documented = {
    200: {"description": "Done, and its effect stored."},
    202: {"model": schemas.Outcome, "description": "Journaled; its effect was not stored within 5 s."},
    409: {"model": schemas.Outcome, "description": "Refused, and why."},
    503: {"model": schemas.Problem, "description": "The flow is down: nothing was done. Or the store is away."},
}

CommandId = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        description="The command's id, chosen by the client: sent again with the same one, it has one effect.",
        min_length=1,
        max_length=100,
        examples=["7f0c6a52-ack"],
    ),
]


async def carry_out(given: Context, key: str | None, by: str, name: str, body: dict[str, object]) -> Response:
    """Send a command and wait for its outcome. Waiting holds no thread. Raises FlowDown, StoreError."""
    request = CommandRequest(key or secrets.token_hex(16), by, name, body)
    known = await run_in_threadpool(given.reader.command, request.id)
    if known is not None:
        return _answer(known, request)
    seq = await run_in_threadpool(given.flow.submit, request)
    deadline, pause = time.monotonic() + PATIENCE_S, 0.02
    while (outcome := await run_in_threadpool(given.reader.command, request.id)) is None:
        if time.monotonic() > deadline:
            detail = f"not stored within {PATIENCE_S:.0f} s; send it again with Idempotency-Key {request.id}"
            return answers.json({"id": request.id, "seq": seq, "outcome": "pending", "detail": detail}, 202)
        await asyncio.sleep(pause)
        pause = min(pause * 1.5, 0.25)
    return _answer(outcome, request)


def _answer(outcome: CommandOutcome, request: CommandRequest) -> Response:
    if outcome.name != request.name or msgspec.json.decode(outcome.body) != kept_body(request.body):
        detail = f"Idempotency-Key {request.id} was already used for another command"
        return answers.json({"id": request.id, "seq": outcome.seq, "outcome": "refused", "detail": detail}, 409)
    body = {"id": outcome.id, "seq": outcome.seq, "outcome": outcome.outcome, "detail": outcome.detail}
    return answers.json(body, 200 if outcome.outcome == "done" else 409)
