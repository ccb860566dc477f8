"""resolution: the finest that answers a span in few enough points and still reaches back to its start."""

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
        if not rollups_only:
            times = reader.raw_columns(device_id, start, end, [], max_points + 1).time
            if len(times) <= max_points and _reaches_back(reader, device_id, start, end, times):
                return "raw"
        first = reader.rollup_columns(device_id, "1m", start, end, [], 1).time
        if _reaches_back(reader, device_id, start, end, first):
            return "1m"
    return "1h" if span / HOUR_MS <= max_points else "1d"


def _reaches_back(reader: StoreReader, device_id: str, start: int, end: int, times: list[int]) -> bool:
    """Tell whether the first of finer rows lies within or before the first hour that has any."""
    hours = reader.rollup_columns(device_id, "1h", start - start % HOUR_MS, end, [], 1).time
    return not hours or (bool(times) and times[0] < hours[0] + HOUR_MS)
