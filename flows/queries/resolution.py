"""resolution: the finest that answers a span in few enough points and still reaches back to its start."""

from functools import partial

from flows.model.rollup import BUCKET_MS
from flows.model.times import HOUR_MS
from flows.queries.pages import AnyResolution
from flows.store.protocol import StoreReader


def choose(
    reader: StoreReader, device_id: str, start: int, end: int, max_points: int, rollups_only: bool
) -> AnyResolution:
    """Choose for [start, end). [ms since 1970, UTC]

    Raw rows and minutes are not kept for ever: where hours reach further back than they do, they are passed over.
    """
    span = end - start
    if span / BUCKET_MS["1m"] <= max_points:
        # Rows are looked for from the hour's start on: after its last minute has begun, none of that hour follows.
        head = start - start % HOUR_MS
        first_minute = reader.beside(partial(reader.rollup_columns, device_id, "1m", head, end, [], 1))
        first_hour = reader.beside(partial(reader.rollup_columns, device_id, "1h", head, end, [], 1))
        times = [] if rollups_only else reader.raw_columns(device_id, start, end, [], max_points + 1).time
        hour = min(first_hour().time, default=end)
        if not rollups_only and len(times) <= max_points:
            if hour == head and not _begins_within(hour, times):
                times = reader.raw_columns(device_id, head, start, [], 1).time
            if hour == end or _begins_within(hour, times):
                return "raw"
        if hour == end or _begins_within(hour, first_minute().time):
            return "1m"
    return "1h" if span / HOUR_MS <= max_points else "1d"


def _begins_within(hour: int, times: list[int]) -> bool:
    """Tell whether the first of finer rows lies within or before the first hour that has any."""
    return bool(times) and times[0] < hour + HOUR_MS
