"""Once a second: publish the counters. Once a minute: trim the journal. Once a day: copy the recovery state."""

import logging
import threading
import time
from typing import Any

import msgspec

from flows import recovery
from flows.ingest.subscriber import Ingest
from flows.journal.retention import trim
from flows.journal.writer import Journal
from flows.meter import Meter
from flows.settings import Settings
from flows.sinks.mqtt import MqttPublisher

log = logging.getLogger("heatpump.housekeeping")

TRIM_EVERY_S = 60.0
COPY_EVERY_S = 86_400.0


class Housekeeping:
    """The flow's thread for what waits for nobody."""

    def __init__(
        self, settings: Settings, journal: Journal, ingest: Ingest, meter: Meter, publisher: MqttPublisher
    ) -> None:
        self._settings, self._journal, self._ingest = settings, journal, ingest
        self._meter, self._publisher = meter, publisher
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
        """The graph with its counters, the journal's state, and how far the pipeline is behind.

        backlog : frames that are durable and not yet read. behind_ms: how long ago the newest read one arrived,
        0 without a backlog.
        """
        now, progress = time.time_ns() // 1_000_000, self._meter.progress
        backlog = max(0, self._journal.synced_seq - progress.read)
        return {
            "at": now,
            "journal": self._ingest.health(),
            "backlog": backlog,
            "behind_ms": max(0, now - progress.arrived) if backlog and progress.arrived else 0,
            **self._meter.read(),
        }

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
                self._publisher.publish("heatpump-live/pipeline", msgspec.json.encode(self.pipeline()), 0)
                now = time.monotonic()
                if now >= next_copy:
                    self._copy()
                    next_copy = now + COPY_EVERY_S
                if now >= next_trim:
                    self._trim()
                    next_trim = now + TRIM_EVERY_S
            except Exception:  # whatever it is, the next second is another try: nothing else trims the journal
                log.exception("housekeeping failed; tried again in a second")

    def _until_next_copy(self) -> float:
        """A day after the newest copy; where there is none, once the first epochs are saved. [s]"""
        times = [folder.stat().st_mtime for folder in self._copies.glob("*") if folder.name.isdigit()]
        if not times:
            return 3 * self._settings.epoch_ms / 1000
        return max(0.0, max(times) + COPY_EVERY_S - time.time())

    def _copy(self) -> None:
        seq = recovery.copy_now(self._folder, self._copies)
        if seq is not None:
            log.info("copied the recovery state at frame %s", seq)

    def _trim(self) -> None:
        """Trim by age, never past what the recovery state or its oldest copy needs."""
        oldest = time.time() - self._settings.journal_retention_ms / 1000
        copied = recovery.prune_copies(self._copies, oldest)
        needed = self._meter.progress.committed if copied is None else min(copied, self._meter.progress.committed)
        trim(self._journal, time.time_ns() // 1_000_000 - self._settings.journal_retention_ms, needed)
