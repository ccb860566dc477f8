"""Which rows of a batch the server refused: found by the lines that it did not take."""

from collections.abc import Iterable, Mapping

from flows.errors import RowRefused
from flows.model.rows import RawRow, StoreItem
from flows.store.influx.lines import series_of
from flows.store.influx.names import READING


class LinesRefused(RowRefused):
    """Lines of raw rows that InfluxDB never takes; all others of their requests are stored.

    lines : each with what InfluxDB said of it.
    """

    def __init__(self, lines: Mapping[bytes, RowRefused]) -> None:
        super().__init__(str(next(iter(lines.values()))))
        self.lines = lines


def named(error: LinesRefused, items: Iterable[StoreItem]) -> RowRefused:
    """Name the rows that the lines were written of; none where that is not sure: several may make one line."""
    why = {_point(line): said for line, said in error.lines.items()}
    found = [
        (item, why[point])
        for item in items
        if isinstance(item, RawRow) and (point := (series_of(READING, item.device_id), item.at)) in why
    ]
    return RowRefused(str(error), found if len(found) == len(why) else ())


def _point(line: bytes) -> tuple[bytes, int]:
    series, _, rest = line.partition(b" ")
    return series, int(rest.rpartition(b" ")[2])
