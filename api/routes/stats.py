"""stats: totals."""

from fastapi import APIRouter
from starlette.responses import Response

from api import answers, schemas
from api.deps import Given
from flows.model.times import now_ms
from flows.queries import stats as queries

router = APIRouter(tags=["stats"])


@router.get("/api/stats", response_model=schemas.Stats)
def stats(given: Given) -> Response:
    """Count readings, alerts and devices online."""
    return answers.json(queries.stats(given.reader, now_ms(), given.online_timeout_ms))
