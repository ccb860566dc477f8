"""What healing reads of the server store and writes into it (see flows/store/healing.py)."""

from collections.abc import Sequence

import numpy as np

from flows.model.cells import DERIVED_NAMES
from flows.model.device import DeviceMetadata
from flows.model.rollup import BUCKET_MS, Compose, Refold, Resolution
from flows.model.table import Numbers, RollupTable, Table, Times, stacked
from flows.store import healing
from flows.store.influx.answers import series
from flows.store.influx.catalog import Catalog
from flows.store.influx.columns import NOTHING, side_by_side
from flows.store.influx.events import NS_A_MS
from flows.store.influx.lines import fields_in, series_of
from flows.store.influx.names import READING, tag_of
from flows.store.influx.readingon import cut_behind, read_on
from flows.store.influx.rollups import write_rollup_table
from flows.store.influx.rowreading import RawRows, read_rollups, with_derived
from flows.store.influx.server import moment

_DERIVED = f"""
from(bucket: p_bucket)
  |> range(start: p_start, stop: p_end)
  |> filter(fn: (r) => r._measurement == p_measurement and r.device_id == p_device)
  |> filter(fn: (r) => {" or ".join(f'r._field == "{name}"' for name in DERIVED_NAMES)})
  |> keep(columns: ["_time", "_field", "_value"])
"""

ROWS_A_QUESTION = 1_500
"""How many rollup rows a question brings; each has some 60 fields."""

_EMPTY: Times = np.empty(0, dtype=np.int64)
NO_ROWS = RollupTable(_EMPTY, _EMPTY, _EMPTY, _EMPTY, (), np.empty((0, 0)))


def heal(catalog: Catalog, requests: list[Refold | Compose]) -> None:
    """Compute minutes anew, then every hour that holds one or has just closed, then every such day."""
    healing.heal(Past(catalog), requests)


class Past:
    """The points of one installation; see flows.store.healing.Past."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self.raw_before, self.minute_before = catalog.leaving.raw_before, catalog.leaving.minute_before

    def knows(self, device_id: str) -> bool:
        """Tell whether anything of a device is stored."""
        return self._catalog.devices.known(device_id)

    def history(self, device_id: str) -> list[DeviceMetadata]:
        """Give the metadata history of a device, oldest first."""
        return self._catalog.devices.history(device_id)

    def samples(self, request: Refold, start: int, history: list[DeviceMetadata]) -> Table:
        """Read raw rows from `start` to the first at or after the request's end, with what derives from each."""
        self._catalog.outgoing.flush()
        rows = read_on(self._catalog, request.device_id, start, request.end)
        table = with_derived(cut_behind(rows.table, request.end), history)
        self._derive_again(request, rows, table)
        return table

    def parts(self, resolution: Resolution, buckets: Sequence[tuple[str, int]]) -> tuple[RollupTable, Times]:
        """Read the rows of which a resolution's buckets (device, start) are composed, a bucket after the other."""
        finer, catalog = healing.FINER[resolution], self._catalog
        found: dict[tuple[str, int], RollupTable] = {}
        asked: dict[int, list[str]] = {}
        for device_id, start in buckets:
            rows = catalog.recent.take(finer, device_id, start, catalog.leaving.forgotten.get(device_id, -1))
            if rows is not None:
                found[device_id, start] = rows
            else:
                asked.setdefault(start, []).append(device_id)
        if asked:
            catalog.outgoing.flush()
        length = BUCKET_MS[resolution]
        at_once = ROWS_A_QUESTION * BUCKET_MS[finer] // length
        for start, device_ids in asked.items():
            for first in range(0, len(device_ids), at_once):
                some = device_ids[first : first + at_once]
                tables = read_rollups(catalog.server, finer, some, start, start + length)
                found.update(((device_id, start), table) for device_id, table in tables.items())
        there = [
            (place, found[bucket])
            for place, bucket in enumerate(buckets)
            if bucket in found and len(found[bucket].start)
        ]
        if not there:
            return NO_ROWS, _EMPTY
        counts = [len(table.start) for _, table in there]
        return stacked([table for _, table in there]), np.repeat([place for place, _ in there], counts)

    def write(self, resolution: Resolution, device_ids: Sequence[str], rows: RollupTable) -> None:
        """Write rows computed from what is stored; those not older replace others. device_ids: one a row."""
        write_rollup_table(self._catalog, resolution, list(device_ids), rows)

    def _derive_again(self, request: Refold, rows: RawRows, table: Table) -> None:
        """Write derived values that are not those stored any more, for others who read; of our own points alone.

        table : the first of these rows, with what derives.
        In nanoseconds: of rows that are too old for the bucket by now, though still there, nothing is refused.
        What no longer follows at all is left: InfluxDB cannot delete a field.
        """
        at = table.at
        mine = np.flatnonzero((at >= request.start) & (at < request.end) & (rows.order[: len(at)] > 0))
        names = [name for name in DERIVED_NAMES if name in table.names]
        if not len(mine) or not names:
            return
        values = table.values[mine][:, [table.names.index(name) for name in names]]
        stored = self._stored_derived(request, at[mine], names)
        changed = ~np.isnan(values) & (values != stored)
        again = np.flatnonzero(changed.any(axis=1))
        fields = fields_in(names, np.where(changed, values, np.nan)[again])
        of_device = series_of(READING, request.device_id)
        lines = [
            b"%b %b %d" % (of_device, theirs[:-1], time * NS_A_MS)
            for theirs, time in zip(fields, at[mine][again].tolist(), strict=True)
        ]
        self._catalog.outgoing.add(self._catalog.server.address.bucket, lines, "ns")

    def _stored_derived(self, request: Refold, at: Times, names: Sequence[str]) -> Numbers:
        """Read derived values as they are stored at these times; NaN where none is."""
        server = self._catalog.server
        answer = server.stream(
            _DERIVED,
            bucket=server.address.bucket,
            measurement=READING,
            device=tag_of(request.device_id),
            start=moment(int(at[0])),
            end=moment(int(at[-1]) + 1),
        )
        found = side_by_side(series(answer)).get("", NOTHING)
        out = np.full((len(at), len(names)), np.nan)
        _, mine, theirs = np.intersect1d(at, found.at, return_indices=True)
        for column, name in enumerate(names):
            if name in found.numbers:
                out[mine, column] = found.numbers[name][theirs]
        return out
