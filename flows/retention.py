"""`heatpump store retention`: what the settings no longer keep, and letting it go now.

The flow lets go daily, two days a day at most (flows/nodes/device.py), as far as the retention it was started with
goes. To let go at once is a command to it, for it alone writes the store; where none runs it is journaled, and
carried out by the next start. In InfluxDB the buckets' own retention is changed to the settings, too.
"""

import time
from contextlib import closing
from itertools import pairwise
from uuid import uuid4

import msgspec

from flows.errors import FlowDown
from flows.flow_port import FlowPort
from flows.journal.retention import frame_at
from flows.journal.segments import list_segments
from flows.journal.writer import Journal
from flows.lock import is_held, locked
from flows.model.command import CommandRequest
from flows.model.frame import FrameKind
from flows.model.influx_address import InfluxAddress
from flows.model.times import DAY_MS, now_ms
from flows.settings import Settings
from flows.store import open_reader
from flows.store.passing import Cutoffs, Passing, passing

ANSWER_S = 15.0
"""How long the outcome is waited for: some epochs. [s]"""


class Bucket(msgspec.Struct, frozen=True):
    """A bucket that keeps its points for another time than the settings say; 0: for ever. [s]"""

    name: str
    there: int
    wanted: int

    @property
    def is_shorter(self) -> bool:
        """Tell whether points go."""
        return self.wanted > 0 and (self.there == 0 or self.wanted < self.there)


class Going(msgspec.Struct, frozen=True):
    """What is to go. journal: of its own accord, within a minute of the flow."""

    cutoffs: Cutoffs
    rows: list[Passing]
    journal: Passing
    buckets: list[Bucket]


def look(settings: Settings) -> Going:
    """Say what the settings no longer keep. Raises RetryableStoreError, StoreError."""
    now = now_ms()
    cutoffs = cutoffs_at(settings, now)
    return Going(cutoffs, passing(settings.store, cutoffs), _journal(settings, now), _buckets(settings))


def cutoffs_at(settings: Settings, now: int) -> Cutoffs:
    """Compute as the daily pass does: by whole days, raw rows a day longer, for refolds at their edge."""
    raw = (now - settings.raw_retention_ms) // DAY_MS * DAY_MS - DAY_MS
    ago = raw + settings.raw_retention_ms + DAY_MS
    return Cutoffs(raw, ago - settings.minute_retention_ms, ago - settings.dead_letter_retention_ms)


def _journal(settings: Settings, now: int) -> Passing:
    """Count whole segments, oldest first, of which every frame is too old."""
    folder, before = settings.data / "journal", now - settings.journal_retention_ms
    segments = list_segments(folder)
    frames, size, oldest, newest = 0, 0, None, None
    for segment, following in pairwise(segments):
        after = frame_at(folder, following.first_seq)
        if after is None or after.arrived >= before:
            break
        first = frame_at(folder, segment.first_seq)
        frames, size = frames + following.first_seq - segment.first_seq, size + segment.size
        oldest = first.arrived if oldest is None and first else oldest
        newest = after.arrived
    return Passing("journal", frames, oldest, newest, size)


def _buckets(settings: Settings) -> list[Bucket]:
    store = settings.store
    if not isinstance(store, InfluxAddress):
        return []
    from flows.store.influx import buckets
    from flows.store.influx.server import InfluxServer

    with closing(InfluxServer(store)) as server:
        there = buckets.existing(server)
    wanted = buckets.wanted(store)
    return [
        Bucket(name, there[name], wanted[name]) for name in wanted if name in there and there[name] != wanted[name]
    ]


def apply(settings: Settings, going: Going) -> str:
    """Let it go; says what happens now. Raises FlowDown, StartRefused, RetryableStoreError, StoreError."""
    said = []
    if any(each.rows for each in going.rows):
        said.append(_ask(settings, going.cutoffs))
    if going.buckets and isinstance(settings.store, InfluxAddress):
        from flows.store.influx import buckets
        from flows.store.influx.server import InfluxServer

        with closing(InfluxServer(settings.store)) as server:
            for bucket in going.buckets:
                buckets.keep(server, bucket.name, bucket.wanted)
        names = ", ".join(bucket.name for bucket in going.buckets)
        said.append(f"InfluxDB has the new retention of {names}; it deletes by itself, whole shards at a time")
    return "; ".join(said) or "nothing to do"


def _ask(settings: Settings, cutoffs: Cutoffs) -> str:
    request = CommandRequest(
        f"retain-{uuid4()}", "heatpump store retention", "retain", msgspec.structs.asdict(cutoffs)
    )
    if not settings.flow_url and not is_held(settings.data / "lock"):
        with locked(settings.data / "lock"), closing(Journal.open(settings.data / "journal")) as journal:
            journal.append(FrameKind.COMMAND, now_ms(), payload=msgspec.json.encode(request))
            journal.commit()
        return "no flow runs: journaled, and carried out when one starts"
    FlowPort(settings).submit(request)
    deadline = time.monotonic() + ANSWER_S
    with closing(open_reader(settings.store)) as reader:
        while (outcome := reader.command(request.id)) is None and time.monotonic() < deadline:
            time.sleep(0.05)
    if outcome is None:
        return "journaled: the flow carries it out once it has taken what is before it"
    if outcome.outcome != "done":
        raise FlowDown(f"refused to: {outcome.detail}")
    return f"the flow {outcome.detail}"
