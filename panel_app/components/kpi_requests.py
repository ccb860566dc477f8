"""kpi_requests: what to ask the API for today so far, and the same hours of the week before."""

from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from flows.model.quantities import MODES
from flows.model.times import HOUR_MS, iso
from panel_app.words import at

MINUTE_MS = 60_000
LAST_MS = 30 * MINUTE_MS

_FIELDS = ",".join(
    [
        *(f"seconds_{mode}" for mode in MODES),
        *(f"electric_kwh_{mode}" for mode in MODES),
        *(f"heat_kwh_{mode}" for mode in MODES),
        "compressor_running_starts",
        "compressor_running_coverage",
        "defrost_active_starts",
        "power_coverage",
        "electric_energy_coverage",
        "temp_ambient_mean",
        "temp_ambient_coverage",
        "backup_power_mean",
        "backup_power_coverage",
    ]
)


class Hours(msgspec.Struct, frozen=True):
    """A span [start, end) of whole minutes. [ms since 1970, UTC]"""

    start: int
    end: int


class Comparison(msgspec.Struct, frozen=True):
    """Today so far, and the same hours by the site's clock seven days before.

    of_recording : "today" is the last day of a recording, the 24 hours to its newest reading.
    """

    today: Hours
    then: Hours
    zone: ZoneInfo
    of_recording: bool = False


class Request(msgspec.Struct, frozen=True):
    """One question: GET /api/devices/{id}/{route} with params; its answer is kept under `key`."""

    key: str
    route: str
    params: dict[str, Any]


def comparison(now_ms: int, zone: ZoneInfo) -> Comparison:
    """Say which hours are compared. now_ms: [ms since 1970, UTC]."""
    now_ms -= now_ms % MINUTE_MS
    now = at(now_ms, zone)
    midnight = datetime(now.year, now.month, now.day, tzinfo=zone)
    week = timedelta(days=7)
    return Comparison(Hours(_ms(midnight), now_ms), Hours(_ms(midnight - week), _ms(now - week)), zone)


def last_day(newest_ms: int, zone: ZoneInfo) -> Comparison:
    """Say the same of a recording: the day that ends at its newest reading. newest_ms: [ms since 1970, UTC]."""
    newest_ms -= newest_ms % MINUTE_MS
    newest, day, week = at(newest_ms, zone), timedelta(days=1), timedelta(days=7)
    return Comparison(
        Hours(_ms(newest - day), newest_ms), Hours(_ms(newest - week - day), _ms(newest - week)), zone, True
    )


def kpi_requests(hours: Comparison) -> list[Request]:
    """Name the questions; none in the day's first minute.

    Whole hours are asked as such, what is left at both ends as minutes: some hundred points, not thousands.
    """
    found = []
    for which, span in (("today", hours.today), ("then", hours.then)):
        for number, (start, end, resolution) in enumerate(_pieces(span)):
            params = {"fields": _FIELDS, "start": iso(start), "end": iso(end), "resolution": resolution}
            found.append(Request(f"{which}-{number}", "series", params))
    if found:
        found += [_cycles("cycles", hours.today), _cycles("cycles_then", hours.then)]
    return found


def cop_request(now_ms: int) -> Request:
    """Ask for the last 30 min, of which kpi_sums.cop_of gives the COP. now_ms: [ms since 1970, UTC]."""
    end = now_ms - now_ms % MINUTE_MS
    params = {"fields": _FIELDS, "start": iso(end - LAST_MS), "end": iso(end), "resolution": "1m"}
    return Request("last", "series", params)


def cycles_request(now_ms: int) -> Request:
    """Ask for the cycles of the last hour, which short_cycling judges. now_ms: [ms since 1970, UTC]."""
    return _cycles("lately", Hours(now_ms - HOUR_MS, now_ms))


def _cycles(key: str, span: Hours) -> Request:
    params = {"kind": "cycle", "start": iso(span.start), "end": iso(span.end), "limit": "1000"}
    return Request(key, "episodes", params)


def _pieces(span: Hours) -> list[tuple[int, int, str]]:
    first_hour = -(-span.start // HOUR_MS) * HOUR_MS
    last_hour = span.end // HOUR_MS * HOUR_MS
    if first_hour >= last_hour:
        return [(span.start, span.end, "1m")] if span.start < span.end else []
    pieces = [(span.start, first_hour, "1m"), (first_hour, last_hour, "1h"), (last_hour, span.end, "1m")]
    return [piece for piece in pieces if piece[0] < piece[1]]


def _ms(when: datetime) -> int:
    return round(when.timestamp() * 1_000)
