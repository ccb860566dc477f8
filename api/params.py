"""Parameters that several routes share: each with its limits, a sentence and an example."""

from typing import Annotated, Literal

from fastapi import Depends, Path, Query
from pydantic import StringConstraints

from flows.errors import BadQuery
from flows.model.device import DEVICE_ID
from flows.model.reading import FUTURE_MS
from flows.model.times import HOUR_MS, now_ms
from flows.queries.times import instant

DeviceId = Annotated[str, Path(description="Id of the device, as in its MQTT topics.", examples=["site1"])]
NewDeviceId = Annotated[
    str,
    Path(
        description="Id of the device; one that has sent nothing yet, too.",
        pattern=f"^{DEVICE_ID.pattern}$",
        examples=["site1"],
    ),
]
Hours = Annotated[
    int, Query(ge=1, le=168, description="How far back from `end`, where no `start` is given. [h]", examples=[24])
]
Start = Annotated[
    str | None,
    Query(description="First instant, ISO 8601 with time zone.", examples=["2025-01-31T00:00:00Z"]),
]
End = Annotated[
    str | None,
    Query(
        description="Instant before which it ends, ISO 8601 with time zone.",
        examples=["2025-02-01T00:00:00Z"],
    ),
]
Fields = Annotated[
    str | None,
    Query(
        description="Quantities (docs/reference/quantities.md) or, of rollups, their columns"
        " (docs/reference/rollups.md), separated by commas; all that the device ever sent.",
        examples=["temp_inlet,temp_outlet,power"],
    ),
]
Format = Annotated[
    Literal["json", "csv"] | None,
    Query(description="json or csv; by default as the Accept header asks, else json.", examples=["csv"]),
]
FilterDevice = Annotated[
    str | None, Query(description="Only of this device; all.", max_length=64, examples=["site1"])
]
Actor = Annotated[str, StringConstraints(min_length=1, max_length=100, strip_whitespace=True)]


def asked_span(hours: Hours = 24, start: Start = None, end: End = None) -> tuple[int, int]:
    """Give [start, end). [ms since 1970, UTC]

    Without `end` it reaches past now by as much as a device's clock may be ahead. Raises BadQuery.
    """
    now = now_ms()
    until = now + FUTURE_MS if end is None else instant("end", end)
    since = (now if end is None else until) - hours * HOUR_MS if start is None else instant("start", start)
    if since >= until:
        raise BadQuery("start", start, "must be before end")
    return max(since, 0), until


Span = Annotated[tuple[int, int], Depends(asked_span)]
