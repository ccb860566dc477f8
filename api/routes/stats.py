"""stats: totals."""

from functools import lru_cache

from fastapi import APIRouter
from starlette.responses import Response

from api import answers, schemas
from api.deps import Context, Given
from api.needs import READ_OWN
from api.viewer import Viewing
from flows.model.times import now_ms
from flows.queries import stats as queries
from flows.store.protocol import StoreReader

router = APIRouter(tags=["stats"])


COUNTED_MS = 10_000
"""How often the readings of some devices are counted: there is no sum of theirs ready. [ms]"""


@router.get("/api/stats", response_model=schemas.Stats, dependencies=[READ_OWN])
def stats(given: Given, viewer: Viewing) -> Response:
    """Count readings, alerts and devices online."""
    own = viewer.own_ids()
    if own is None:
        return answers.json(queries.stats(given.reader, now_ms(), given.online_timeout_ms))
    return answers.json(_of_some(given, own))


def _of_some(given: Context, own: frozenset[str]) -> queries.Stats:
    period = now_ms() // COUNTED_MS
    return _counted(given.reader, given.online_timeout_ms, own, period)  # type: ignore[arg-type]


@lru_cache(maxsize=64)
def _counted(reader: StoreReader, timeout_ms: int, own: frozenset[str], period: int) -> queries.Stats:
    return queries.stats(reader, now_ms(), timeout_ms, own)
