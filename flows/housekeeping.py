"""Once a second: publish the counters. Once a minute: trim the journal. Once a day: copy the recovery state."""

import logging
import threading
import time
from typing import Any

import msgspec

from flows import recovery
from flows.errors import NotFound
from flows.ingest.subscriber import Ingest
from flows.journal.reader import JournalReader
from flows.journal.retention import trim
from flows.journal.writer import Journal
from flows.model.times import iso, now_ms
from flows.settings import Settings
from flows.sinks.mqtt import MqttPublisher
from flows.telemetry.fleet import online_and_open
from flows.telemetry.meter import Meter, Progress
from flows.telemetry.node_text import GraphText, node_text
from flows.telemetry.past import Past
from flows.telemetry.tap import told_trace

log = logging.getLogger("heatpump.housekeeping")

TRIM_EVERY_S = 60.0
COPY_EVERY_S = 86_400.0
MB = 1_000_000


class Housekeeping:
    """The flow's thread for what waits for nobody.

    base : of the store's fence; set once that is known.
    """

    def __init__(
        self,
        settings: Settings,
        journal: Journal,
        ingest: Ingest,
        meter: Meter,
        publisher: MqttPublisher,
    ) -> None:
        self._settings, self._journal, self._ingest = settings, journal, ingest
        self._meter, self._publisher, self.base = meter, publisher, 0
        self._since, self._past = now_ms(), Past()
        self._graph = GraphText(settings.graph)
        self._oldest: int | None = None
        self._folder = settings.data / "recovery"
        self._copies = settings.data / "recovery-copies"
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="housekeeping", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End; waits for what is under way."""
        self._stop.set()
        self._thread.join(timeout=3.0)

    def pipeline(self) -> dict[str, Any]:
        """The graph with its counters, the journal's state, and the last hour."""
        counters = self._counters()
        windows = self._past.windows(counters["conservation"])
        return {**counters, "received_10s": self._past.received(), "windows": windows}

    def metrics(self) -> dict[str, Any]:
        """The counters, and what only Prometheus asks for.

        oldest_unread_s : age of the oldest durable frame that is not read, 0 where all are. [s]
        recovery        : lag: frames that a crash would have read again; copy_age_s: of the newest copy. [s]
        """
        now, progress, journal = now_ms(), self._meter.progress, self._journal
        online, alerts = online_and_open(self._meter, now, self._settings.online_timeout_s * 1000)
        copied = max(self._copy_times(), default=None)
        return {
            **self._counters(),
            "oldest_unread_s": _oldest_unread_ms(journal, progress, now) / 1000,
            "recovery": {
                "lag": max(0, progress.read - progress.committed),
                "copy_age_s": -1 if copied is None else max(0.0, time.time() - copied),
            },
            "online": online,
            "alerts": alerts,
        }

    def _counters(self) -> dict[str, Any]:
        """All but the last hour, as it is published.

        backlog : frames that are durable and not yet read; unread: those of them that are no ticks. behind_ms: how
        long ago the newest read one arrived, 0 without a backlog.
        """
        now, progress, health = now_ms(), self._meter.progress, self._ingest.health()
        backlog = max(0, self._journal.synced_seq - progress.read)
        ticks = max(0, health["seconds"] - (progress.tick or self._ingest.second_at_start))
        counters = self._meter.read()
        counters["store"]["kind"] = self._settings.store_kind
        return {
            "at": now,
            "since": iso(self._since),
            "graph": self._graph.name,
            "devices": next((n["state"].get("devices", 0) for n in counters["nodes"] if n["node"] == "device"), 0),
            "journal": {**health, **self._journal_pace(now, health)},
            "backlog": backlog,
            "unread": max(0, backlog - ticks),
            "behind_ms": max(0, now - progress.arrived) if backlog and progress.arrived else 0,
            **counters,
        }

    def _journal_pace(self, now: int, health: dict[str, Any]) -> dict[str, Any]:
        """How fast the journal grows, how far back it reaches, how long there is room for it."""
        settings, minute, hour = self._settings, self._past.written_rate(), self._past.hourly_rate()
        room = min(
            health["free_bytes"] - settings.min_free_mb * MB, settings.journal_max_mb * MB - health["bytes"]
        )
        return {
            "protocol": "MQTT 3.1.1",
            "written_per_s": None if minute is None else round(minute, 1),
            "kept_s": max(0, now - self._oldest) // 1000 if self._oldest else None,
            "kept_at_most_s": settings.journal_retention_ms // 1000,
            "room_bytes": max(0, room),
            "room_s": round(max(0, room) / hour) if hour else None,
        }

    def node(self, step_id: str) -> dict[str, Any]:
        """Say what a node is, and what passed it last; it is watched from now on. Raises NotFound."""
        tap = self._meter.taps.steps.get(step_id)
        if tap is None:
            there = ", ".join(self._meter.taps.steps)
            raise NotFound(f"no step is called {step_id[:80]!r}; there are {there}")
        step = tap.step
        return {
            "step": step_id,
            "node": step.node.name,
            **node_text(step),
            "parameters": self._graph.parameters(step),
            "items": self._meter.taps.watch(step_id),
        }

    def trace(self, device_id: str, after: int | None) -> dict[str, Any]:
        """Say how a device's newest message, or the first behind a number, went; it is followed from now on.

        head : the newest number that is durable. trace: None where none came since it is followed.
        """
        head = self._journal.synced_seq + self.base
        found = self._meter.taps.follow(device_id, after)
        if found is None:
            return {"head": head, "trace": None}
        seq, arrived = found.frame.seq - self.base, found.frame.arrived
        synced = next((at - arrived for last, at in list(self._journal.synced_at) if last >= seq), None)
        return {"head": head, "trace": told_trace(found, None if synced is None else round(max(0.0, synced), 2))}

    def health(self) -> dict[str, Any]:
        """What the pipeline adds to ingest's health."""
        progress = self._meter.progress
        return {
            "backlog": max(0, self._journal.synced_seq - progress.read),
            "store_waiting": progress.waiting,
            "stored_seq": progress.stored,
        }

    def standing(self, device_id: str, import_id: str) -> dict[str, Any]:
        """Say how far an import has come, and up to where the journal is stored."""
        return {**self._meter.standing(device_id, import_id), "stored_seq": self._meter.progress.stored}

    def _run(self) -> None:
        next_trim = next_copy = time.monotonic()
        next_copy += self._until_next_copy()
        while not self._stop.wait(1.0):
            try:
                self._tell()
            except Exception:  # what people look at must not keep the journal from being trimmed
                log.exception("the pipeline's counters cannot be told")
            try:
                now = time.monotonic()
                if now >= next_copy:
                    self._copy()
                    next_copy = now + COPY_EVERY_S
                if now >= next_trim:
                    self._trim()
                    next_trim = now + TRIM_EVERY_S
            except Exception:  # whatever it is, the next second is another try: nothing else trims the journal
                log.exception("housekeeping failed; tried again in a second")

    def _tell(self) -> None:
        """Publish the counters, keep them for the last hour, let taps rest that nobody asks about."""
        self._publisher.publish("heatpump-live/pipeline", msgspec.json.encode(self._counters()), 0)
        self._past.note(self._meter.conservation.read(), self._journal.written, self._journal.imported)
        self._meter.taps.expire()

    def _until_next_copy(self) -> float:
        """A day after the newest copy; where there is none, once the first epochs are saved. [s]"""
        times = self._copy_times()
        if not times:
            return 3 * self._settings.epoch_ms / 1000
        return max(0.0, max(times) + COPY_EVERY_S - time.time())

    def _copy_times(self) -> list[float]:
        """When each copy of the recovery state was made. [s since 1970, UTC]"""
        return [folder.stat().st_mtime for folder in self._copies.glob("*") if folder.name.isdigit()]

    def _copy(self) -> None:
        seq = recovery.copy_now(self._folder, self._copies)
        if seq is not None:
            log.info("copied the recovery state at frame %s", seq)

    def _trim(self) -> None:
        """Trim by age, never past what the recovery state or its oldest copy needs."""
        oldest = time.time() - self._settings.journal_retention_ms / 1000
        copied = recovery.prune_copies(self._copies, oldest)
        needed = self._meter.progress.committed if copied is None else min(copied, self._meter.progress.committed)
        trim(self._journal, now_ms() - self._settings.journal_retention_ms, needed)
        with JournalReader(self._journal.folder, 0) as reader:
            first = reader.read(1)
        self._oldest = first[0].arrived if first else None


def _oldest_unread_ms(journal: Journal, progress: Progress, now: int) -> float:
    """Age of the oldest durable frame that is not read. [ms]

    Where the commits that are remembered do not reach back so far, that of the newest frame read: a little more.
    """
    if journal.synced_seq <= progress.read:
        return 0.0
    commits = list(journal.synced_at)
    first = next(((last, at) for last, at in commits if last > progress.read), None)
    if first is None or (first == commits[0] and progress.arrived):
        return max(0.0, now - (progress.arrived or now))
    return max(0.0, now - first[1])
