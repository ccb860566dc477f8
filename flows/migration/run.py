"""Copying a store: section by section, device by device, from where an interrupted run stood.

The source may be written meanwhile. Its fence is taken first and is the target's at the end, so a flow that goes
on there replays from its journal all that came after; what of it was copied already changes nothing (every row
carries its order). Until the end the target's fence is a mark by which no flow takes it for whole.
"""

import time
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TypeVar, cast

import msgspec
import numpy as np

from flows.errors import ConfigError, RetryableStoreError
from flows.migration import progress
from flows.migration.progress import Progress
from flows.migration.tally import Tally
from flows.model.influx_address import InfluxAddress
from flows.model.rows import RawRow
from flows.model.table import rows_at
from flows.model.times import DAY_MS, now_ms
from flows.store import StoreAddress, open_writer
from flows.store.export import MARK, Exported, RollupRows, Section, StoreExport, open_export, put, units
from flows.store.protocol import StoreWriter

SAVED_EVERY_S = 2.0
PATIENCE_S = 120.0
"""How long a store may be away. [s]"""

MARGIN_MS = 600_000
"""What is about to be let go is not copied any more. [ms]"""

T = TypeVar("T")

Told = Callable[[str, int, int], None]
"""Called with what is copied, and how many of how many parts are done."""


class Migration:
    """One store on its way into another."""

    def __init__(
        self, source: StoreAddress, target: StoreAddress, file: Path, before: Callable[[], object] = lambda: None
    ) -> None:
        """Prepare. file: where the progress is kept; before: called right before the fence is taken."""
        self._source, self._target, self._file, self._before = source, target, file, before

    def begin(self) -> Progress:
        """Find out where to go on, or begin: the target must be empty then.

        Raises ConfigError, RetryableStoreError, StoreError.
        """
        if isinstance(self._source, Path) and not self._source.exists():
            raise ConfigError("--from", str(self._source), "is not there: name a store file, or influxdb")
        found = progress.read(self._file)
        names = str(self._source), str(self._target)
        if found is not None and (found.source, found.target) != names:
            way = f"from {found.source} to {found.target}"
            raise ConfigError("--to", names[1], f"cannot be filled: {self._file} tells of an unfinished way {way}")
        with closing(open_export(self._source)) as source, closing(open_writer(self._target)) as writer:
            if found is None:
                self._check_empty()
                self._before()
                fence = source.fence()
                if fence is not None and fence.journal_id.startswith(MARK):
                    raise ConfigError("--from", names[0], "is not whole: a migration into it has not ended")
                found = Progress(*names, fence)
                progress.write(self._file, found)
                if fence is not None:
                    writer.commit_fence(found.mark)
            elif found.fence is not None and writer.fence() == found.fence:
                self._file.unlink()
                raise ConfigError("--to", names[1], "is whole already: the last run ended as it was killed")
            elif writer.fence() not in (found.mark, None):
                allowed = f"is not what {self._file} tells of: delete that file, and empty the store"
                raise ConfigError("--to", names[1], allowed)
        return found

    def copy(self, way: Progress, tell: Told) -> None:
        """Copy what is not copied yet; ends with all of it durable. Raises RetryableStoreError, StoreError."""
        with closing(open_export(self._source)) as source, closing(open_writer(self._target)) as writer:
            kept = _kept_from(self._target)
            parts = [*units(source.devices())]
            first = parts.index(way.done) + 1 if way.done in parts else 0
            if not first:  # the device was forgotten meanwhile: all is copied, and counted, anew
                way.tally, way.left_out = Tally(), {}
            saved = time.monotonic()
            for number, (section, device_id) in enumerate(parts[first:], start=first):
                tell(f"{section} {device_id}", number, len(parts))
                copy = partial(self._copy_part, source, writer, way, section, device_id)
                _patiently(partial(copy, kept.get(section, 0)))
                if time.monotonic() - saved > SAVED_EVERY_S:
                    self._save(writer, way)
                    saved = time.monotonic()
            self._save(writer, way)

    def count_again(self, tell: Told) -> Tally:
        """Count what is in the target now."""
        tally = Tally()
        with closing(open_export(self._target)) as target:
            parts = [*units(target.devices())]
            for number, (section, device_id) in enumerate(parts):
                tell(f"{section} {device_id}", number, len(parts))
                tally.merge(_patiently(partial(_counted, target, section, device_id)))
        return tally

    def settled(self) -> dict[str, int]:
        """Say from which day since 1970 on retention has taken nothing while it was copied: by section."""
        days = {"raw": 0, "1m": 0, "dead_letter": 0}
        with closing(open_export(self._target)) as target:
            for batch in target.read("retained"):
                for row in batch:
                    marks = msgspec.structs.asdict(row)
                    for section, mark in zip(
                        days, ("raw_before", "minute_before", "dead_letter_before"), strict=True
                    ):
                        days[section] = max(days[section], -(-marks[mark] // DAY_MS))
        for section, kept in _kept_from(self._target).items():
            days[section] = max(days[section], kept // DAY_MS + 1)
        return {**days, "dead_letter_count": days["dead_letter"]}

    def end(self, way: Progress) -> None:
        """Say in the target that it is whole."""
        with closing(open_writer(self._target)) as writer:
            if way.fence is not None:
                writer.commit_fence(way.fence)
        self._file.unlink()

    def _check_empty(self) -> None:
        with closing(open_export(self._target)) as target:
            there = target.fence() or any(
                batch for unit in units(target.devices()) for batch in target.read(*unit)
            )
        if there:
            raise ConfigError("--to", str(self._target), "holds data already: name an empty store, or a new one")

    def _copy_part(
        self,
        source: StoreExport,
        writer: StoreWriter,
        way: Progress,
        section: Section,
        device_id: str,
        kept_from: int,
    ) -> None:
        """Copy a section of a device; counted once it is whole, for it is copied anew where it is not."""
        tally, left_out = Tally(), 0
        for batch in source.read(section, device_id):
            kept, old = _cut(batch, kept_from)
            left_out += old
            put(writer, kept)
            tally.add(section, device_id, kept)
        way.tally.merge(tally)
        if left_out:
            way.left_out[section] = way.left_out.get(section, 0) + left_out
        way.done = section, device_id

    def _save(self, writer: StoreWriter, way: Progress) -> None:
        """What is told to be copied is durable before."""
        if way.fence is not None:
            _patiently(partial(writer.commit_fence, way.mark))
        progress.write(self._file, way)


def _kept_from(target: StoreAddress) -> dict[Section, int]:
    """Say what the server's own retention takes: event times from which it keeps rows. [ms since 1970, UTC]"""
    if not isinstance(target, InfluxAddress):
        return {}
    from flows.store.influx import buckets
    from flows.store.influx.server import InfluxServer

    with closing(InfluxServer(target)) as server:
        there = buckets.existing(server)
    now = now_ms()
    kept: dict[Section, int] = {"raw": there[target.bucket], "1m": there[target.rollups("1m")]}
    return {section: now - 1000 * seconds + MARGIN_MS for section, seconds in kept.items() if seconds}


def _cut(batch: Exported, kept_from: int) -> tuple[Exported, int]:
    """Leave out what is too old; says how many rows that are."""
    if not kept_from or not batch:
        return batch, 0
    if isinstance(batch[0], RawRow):
        young = [row for row in cast(list[RawRow], batch) if row.at >= kept_from]
        return young, len(batch) - len(young)
    kept, old = [], 0
    for part in cast(list[RollupRows], batch):
        places = np.flatnonzero(part.table.start >= kept_from)
        old += len(part.table.start) - len(places)
        if len(places):
            kept.append(RollupRows(part.device_id, part.resolution, rows_at(part.table, places)))
    return kept, old


def _counted(store: StoreExport, section: Section, device_id: str) -> Tally:
    tally = Tally()
    for batch in store.read(section, device_id):
        tally.add(section, device_id, batch)
    return tally


def _patiently(do: Callable[[], T]) -> T:
    """Do; a store that is away may come back. Raises RetryableStoreError after PATIENCE_S of tries."""
    deadline, wait = 0.0, 0.1
    while True:
        try:
            return do()
        except RetryableStoreError:
            deadline = deadline or time.monotonic() + PATIENCE_S
            if time.monotonic() > deadline:
                raise
            time.sleep(wait)
            wait = min(2 * wait, 5.0)
