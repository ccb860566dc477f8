"""pipeline: the node graph's counters, as the flow tells them."""

from typing import Any

from fastapi import APIRouter
from starlette.responses import Response

from api import schemas
from api.deps import Given

router = APIRouter(tags=["pipeline"])


@router.get(
    "/api/pipeline",
    response_model=dict[str, Any],
    responses={503: {"model": schemas.Problem, "description": "The flow is down, or a store served by itself."}},
)
def pipeline(given: Given) -> Response:
    """Give nodes with their counters, the journal's state and the conservation sum."""
    return Response(given.flow.pipeline(), media_type="application/json")
