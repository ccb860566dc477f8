"""metrics: what Prometheus asks for."""

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from api.metrics import ApiMetrics
from api.needs import METRICS
from flows.exposition import exposed

router = APIRouter(tags=["root"])


@router.get("/metrics", include_in_schema=False, dependencies=[METRICS])
def metrics(request: Request) -> Response:
    """Tell the API's metrics; those of the flow are on a port of its own."""
    told: ApiMetrics = request.app.state.metrics
    body, content_type = exposed(told.registry, request.headers.get("accept", ""))
    return Response(body, media_type=None, headers={"Content-Type": content_type})
