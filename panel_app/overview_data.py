"""What the Overview page knows of its device: charts of a span, figures of today; asked when due."""

import asyncio
from collections.abc import Sequence
from typing import Any

import msgspec

from flows.model.times import DAY_MS, iso
from panel_app.api_client import ApiClient
from panel_app.components.kpi_requests import Comparison, Request, cop_request, kpi_requests
from panel_app.spans import Shown

MOST_EPISODES = 1000
LONGEST_WITH_CYCLES_MS = 32 * DAY_MS
"""Beyond that single cycles cannot be seen, and there are too many of them. [ms]"""

EVER = "1970-01-01T00:00:00Z"


class Charts(msgspec.Struct, frozen=True):
    """What is drawn of a span; as /series, /episodes and /alerts answer."""

    span: Shown
    series: dict[str, Any]
    episodes: list[dict[str, Any]]
    alerts: list[dict[str, Any]]


async def ask_charts(api: ApiClient, device_id: str, span: Shown, fields: Sequence[str]) -> Charts:
    """Ask for all that is drawn of a span. Raises ApiProblem."""
    ends = {"start": iso(span.start), "end": iso(span.end)}
    device = f"/api/devices/{device_id}"
    kind = None if span.length <= LONGEST_WITH_CYCLES_MS else "change"
    series, episodes, changed, still_open = await asyncio.gather(
        api.get(f"{device}/series", fields=",".join(fields), **ends),
        api.get(f"{device}/episodes", kind=kind, limit=MOST_EPISODES, **ends),
        api.get("/api/alerts", device_id=device_id, start=ends["start"], limit=500),
        api.get("/api/alerts", device_id=device_id, start=EVER, open_only=True, limit=500),
    )
    alerts = {alert["id"]: alert for alert in (*still_open, *changed)}
    return Charts(span, series, episodes, list(alerts.values()))


async def ask_figures(api: ApiClient, device_id: str, hours: Comparison) -> dict[str, Any]:
    """Ask for today's figures and those of the week before, by the keys of kpi_requests. Raises ApiProblem."""
    return await _ask_all(api, device_id, kpi_requests(hours))


async def ask_lately(api: ApiClient, device_id: str, now_ms: int) -> dict[str, Any]:
    """Ask for the last half hour, for its COP. Raises ApiProblem."""
    request = cop_request(now_ms)
    answers = await _ask_all(api, device_id, [request])
    found: dict[str, Any] = answers[request.key]
    return found


async def nearest_reading(api: ApiClient, device_id: str, before_ms: int) -> str | None:
    """Find the newest reading before a time: its time, ISO 8601. Raises ApiProblem."""
    found = await api.get(
        f"/api/devices/{device_id}/readings", start=EVER, end=iso(before_ms), limit=1, resolution="1h"
    )
    return str(found[0]["time"]) if found else None


async def _ask_all(api: ApiClient, device_id: str, requests: Sequence[Request]) -> dict[str, Any]:
    answers = await asyncio.gather(
        *(api.get(f"/api/devices/{device_id}/{request.route}", **request.params) for request in requests)
    )
    return {request.key: answer for request, answer in zip(requests, answers, strict=True)}
