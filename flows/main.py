"""The flow: settings → journal, ingest, graph → Bytewax, until a signal ends it."""

import gc
import logging
import signal
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from bytewax._bytewax import cli_main  # the public entry point takes epochs of whole seconds only
from bytewax.recovery import RecoveryConfig, init_db_dir

from flows import recovery
from flows.build import build
from flows.errors import RetryableStoreError, StartRefused
from flows.graph import Graph, load_graph
from flows.housekeeping import Housekeeping
from flows.ingest.subscriber import Ingest
from flows.journal.reader import JournalReader, describe
from flows.journal.writer import Journal
from flows.lock import locked
from flows.model.frame import Start
from flows.model.times import DAY_MS
from flows.physics.refrigerant import dew_temperature
from flows.rebuild import allowed_from
from flows.recovery import Position
from flows.settings import Settings
from flows.sinks.live import LiveSink
from flows.sinks.mqtt import MqttPublisher
from flows.sinks.store import StorePartition, StoreSink
from flows.sources.journal import FrameReader, JournalPartition, JournalSource
from flows.sources.replay import Recorded
from flows.store import open_reader, open_writer
from flows.store.protocol import Fence
from flows.telemetry.meter import Meter

log = logging.getLogger("heatpump.flow")

MB = 1_000_000
GC_THRESHOLDS = (50_000, 20, 100)
"""Batches come and go by reference counts; looking for cycles after every 700 objects costs 1 µs a reading."""


def run(settings: Settings) -> int:
    """Run the flow until SIGTERM or SIGINT; return the exit code. Raises ConfigError, StartRefused."""
    graph = load_graph(settings.graph)
    settings.data.mkdir(mode=0o700, parents=True, exist_ok=True)
    with locked(settings.data / "lock"):
        meter = Meter()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: setattr(meter.progress, "stop", True))
        fence = _fence_when_readable(settings.store_path, meter)
        journal = _open_journal(settings, fence)
        info = describe(settings.data / "journal")
        folder, copies = settings.data / "recovery", settings.data / "recovery-copies"
        recovery.prepare(folder, copies, graph, fence, info, allowed_from(settings.data))
        ingest = Ingest(settings, journal, _start(settings, graph))
        publisher = MqttPublisher(settings, f"{settings.mqtt_client_id}-live")
        base = fence.base if fence else 0
        keeper = Housekeeping(settings, journal, ingest, meter, publisher, base)
        read = partial(JournalReader, journal)
        source = _source(read, info.journal_id, base, settings.batch_frames, meter, follow=lambda: True)
        store = _store_sink(graph, settings.store_path, info.journal_id, base, meter)
        ingest.pipeline, ingest.extra_health = keeper.pipeline, keeper.health
        ingest.standing, ingest.node, ingest.trace = keeper.standing, keeper.node, keeper.trace
        _warm_up(settings.store_path)
        gc.freeze()  # what is loaded by now stays: no collection looks through it again
        gc.set_threshold(*GC_THRESHOLDS)
        ingest.start()
        keeper.start()
        try:
            return _run(
                graph,
                source,
                {"store": store, "live": LiveSink(publisher, meter)},
                meter,
                folder,
                settings.epoch_ms,
            )
        finally:
            keeper.stop()
            ingest.stop()
            publisher.close()
            journal.close()


def run_journal(
    journal_folder: Path,
    store_path: Path,
    recovery_folder: Path | None = None,
    batch_frames: int = 8_000,
    epoch_ms: int = 5_000,
    graph_path: Path | None = None,
    meter: Meter | None = None,
    anew: Position | None = None,
) -> int:
    """Run the graph over a finished journal, to its end; return the exit code.

    recovery_folder : where to resume from and save to; None: from the beginning, nothing saved.
    meter           : counts what passes, for somebody who watches meanwhile.
    anew            : where a rebuild allowed to begin without the past.
    """
    graph = load_graph(graph_path or Path(__file__).parent / "graphs" / "heat_pump.toml")
    info, meter = describe(journal_folder), meter or Meter()
    writer = open_writer(store_path)
    fence = writer.fence()
    writer.close()
    base = fence.base if fence else 0
    with tempfile.TemporaryDirectory() as scratch:
        folder = recovery_folder or Path(scratch) / "recovery"
        recovery.prepare(folder, folder.with_name(f"{folder.name}-copies"), graph, fence, info, anew)
        read = partial(JournalReader, journal_folder)
        source = _source(read, info.journal_id, base, batch_frames, meter, follow=lambda: False)
        store = _store_sink(graph, store_path, info.journal_id, base, meter)
        return _run(graph, source, {"store": store}, meter, folder, epoch_ms)


def run_frames(frames: Recorded, journal_id: str, store_path: Path, settings: Settings, meter: Meter) -> int:
    """Run the graph over recorded frames, from the first to the last; return the exit code.

    journal_id : of the store's fence: what fed it, and may feed it again.
    """
    graph = load_graph(settings.graph)
    source = _source(lambda _: frames, journal_id, 0, settings.batch_frames, meter, follow=frames.more)
    store = _store_sink(graph, store_path, journal_id, 0, meter)
    with tempfile.TemporaryDirectory() as scratch:
        return _run(graph, source, {"store": store}, meter, Path(scratch) / "recovery", settings.epoch_ms)


def _run(
    graph: Graph, source: JournalSource, sinks: dict[str, Any], meter: Meter, folder: Path, epoch_ms: int
) -> int:
    if not folder.exists():
        folder.mkdir(mode=0o700, parents=True)
        init_db_dir(folder, 1)
    flow = build(graph, source, sinks, meter)
    try:
        cli_main(
            flow, epoch_interval=timedelta(milliseconds=epoch_ms), recovery_config=RecoveryConfig(str(folder))
        )
    except Exception as error:
        if meter.progress.stop:
            log.warning("stopped: %s", error.__cause__ or error)
            return 0
        log.exception("the pipeline failed; the journal has everything, a restart goes on from the last epoch")
        return 1
    return 0


def _warm_up(path: Path) -> None:
    """Load what takes seconds the first time, before a reading would wait for it: CoolProp, where it is needed."""
    with closing(open_reader(path)) as reader:
        known = {entry.refrigerant for device in reader.devices() for entry in device.metadata}
    for refrigerant in known - {""}:
        dew_temperature(100.0, refrigerant)


def _fence_when_readable(path: Path, meter: Meter) -> Fence | None:
    """Open (and migrate) the store and read its fence; wait while somebody locks it."""
    told = False
    while True:
        try:
            writer = open_writer(path)
            try:
                return writer.fence()
            finally:
                writer.close()
        except RetryableStoreError as error:
            if meter.progress.stop:
                raise StartRefused(f"stopped while waiting for the store: {error}") from None
            if not told:
                log.warning("waiting for the store: %s", error)
            told = True
            time.sleep(0.2)


def _open_journal(settings: Settings, fence: Fence | None) -> Journal:
    folder = settings.data / "journal"
    if fence is not None and not any(folder.glob("*.seg")):
        raise StartRefused(
            f"the journal in {folder} is gone, but the store was fed from it up to frame {fence.seq}: "
            "put it back, or run `heatpump rebuild` to go on with a new one"
        )
    return Journal.open(
        folder,
        segment_bytes=settings.journal_segment_mb * MB,
        max_bytes=settings.journal_max_mb * MB,
        min_free_bytes=settings.min_free_mb * MB,
    )


def _start(settings: Settings, graph: Graph) -> Start:
    return Start(
        seq=0,
        arrived=0,
        version=version("heat-pump-monitor"),
        graph=graph.hash,
        raw_retention_ms=settings.raw_retention_ms,
        minute_retention_ms=90 * DAY_MS,
        dead_letter_retention_ms=90 * DAY_MS,
        offline_ticks=settings.offline_ticks,
    )


def _source(
    read: Callable[[int], FrameReader],
    journal_id: str,
    base: int,
    batch_frames: int,
    meter: Meter,
    follow: Callable[[], bool],
) -> JournalSource:
    def open_after(seq: int) -> JournalPartition:
        return JournalPartition(read, journal_id, base, batch_frames, meter.progress, follow, seq)

    return JournalSource(open_after)


def _store_sink(graph: Graph, path: Path, journal_id: str, base: int, meter: Meter) -> StoreSink:
    ports = [edge.name for edge in graph.edges_to("store")]
    refused = path.with_name("refused.jsonl")
    return StoreSink(partial(StorePartition, partial(open_writer, path), ports, journal_id, base, meter, refused))
