"""The flow: settings → journal, ingest, graph → Bytewax, until a signal ends it."""

import gc
import logging
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from datetime import timedelta
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from bytewax._bytewax import cli_main  # the public entry point takes epochs of whole seconds only
from bytewax.recovery import RecoveryConfig, init_db_dir

from flows import notify, recovery
from flows.build import build
from flows.errors import HeatPumpError, RetryableStoreError, StartRefused
from flows.graph import Graph, load_graph
from flows.housekeeping import Housekeeping
from flows.ingest.commands import is_ready
from flows.ingest.subscriber import Ingest
from flows.journal.reader import JournalReader, describe
from flows.journal.writer import Journal
from flows.lock import locked
from flows.model.frame import Start
from flows.model.influx_address import InfluxAddress
from flows.model.times import now_ms
from flows.rebuild import allowed_from
from flows.recovery import Position
from flows.settings import Settings
from flows.sinks.live import LiveSink
from flows.sinks.mqtt import MqttPublisher
from flows.sinks.store import LONGEST_WAIT_S, StorePartition, StoreSink
from flows.sources.journal import FrameReader, JournalPartition, JournalSource
from flows.sources.replay import Recorded
from flows.store import StoreAddress, open_writer
from flows.store.protocol import Fence, StoreWriter
from flows.telemetry.meter import Meter

if TYPE_CHECKING:
    from flows.telemetry.metrics_port import MetricsPort

log = logging.getLogger("heatpump.flow")

T = TypeVar("T")

MB = 1_000_000
SHORTEST_WAIT_S = 0.2
GC_THRESHOLDS = (50_000, 20, 100)
"""Batches come and go by reference counts; looking for cycles after every 700 objects costs 1 µs a reading."""


def run(settings: Settings) -> int:
    """Run the flow until SIGTERM or SIGINT; return the exit code. Raises ConfigError, StartRefused."""
    graph, store = load_graph(settings.graph), settings.store
    settings.data.mkdir(mode=0o700, parents=True, exist_ok=True)
    with ExitStack() as stack:
        stack.enter_context(locked(settings.data / "lock"))
        recovery.check_restored(settings.data)
        (settings.data / "run" / "flow.json").unlink(missing_ok=True)  # of one that was killed
        meter = Meter()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: setattr(meter.progress, "stop", True))
        metrics = stack.enter_context(_metrics(settings, meter))
        notify.ready()
        has_journal = any((settings.data / "journal").glob("*.seg"))
        fence, is_away = None, has_journal and not _answers(store)
        if not is_away:
            fence = _fence_when_readable(store, meter)
        journal = _open_journal(settings, fence)
        stack.callback(journal.close)
        info = describe(settings.data / "journal")
        ingest = Ingest(settings, journal, _start(settings, graph))
        publisher = MqttPublisher(settings, f"{settings.mqtt_client_id}-live")
        stack.callback(publisher.close)
        keeper = Housekeeping(settings, journal, ingest, meter, publisher)
        ingest.pipeline, ingest.extra_health = keeper.pipeline, keeper.health
        ingest.standing, ingest.node, ingest.trace = keeper.standing, keeper.node, keeper.trace
        if metrics is not None:
            metrics.begin(keeper.metrics, journal, lambda: is_ready({**ingest.health(), **keeper.health()}))
        if is_away:  # what arrives meanwhile is journaled: no broker queues for hours
            _begin(ingest, keeper, stack)
            fence = _fence_when_readable(store, meter)
        folder, copies = settings.data / "recovery", settings.data / "recovery-copies"
        recovery.prepare(folder, copies, graph, fence, info, allowed_from(settings.data))
        base = keeper.base = fence.base if fence else 0
        read = partial(JournalReader, journal)
        source = _source(read, info.journal_id, base, settings.batch_frames, meter, follow=lambda: True)
        sink = _store_sink(graph, store, info.journal_id, base, meter, settings.data)
        gc.freeze()  # what is loaded by now stays: no collection looks through it again
        gc.set_threshold(*GC_THRESHOLDS)
        if not is_away:
            _begin(ingest, keeper, stack)
        sinks = {"store": sink, "live": LiveSink(publisher, meter)}
        return _run(graph, source, sinks, meter, folder, settings.epoch_ms)


@contextmanager
def _metrics(settings: Settings, meter: Meter) -> Iterator["MetricsPort | None"]:
    """Serve metrics, where a port is set for them, from before the store is waited for."""
    if not settings.metrics_port:
        yield None
        return
    from flows.telemetry.metrics_port import MetricsPort  # its library takes time, and is for this alone

    port = MetricsPort(settings, meter)
    try:
        yield port
    finally:
        port.stop()


def _begin(ingest: Ingest, keeper: Housekeeping, stack: ExitStack) -> None:
    """Start both threads; the stack stops them."""
    ingest.start()
    stack.callback(ingest.stop)
    keeper.start()
    stack.callback(keeper.stop)


def run_journal(
    journal_folder: Path,
    store: StoreAddress,
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
    fence = _fence_when_readable(store, meter)
    base = fence.base if fence else 0
    with tempfile.TemporaryDirectory() as scratch:
        folder = recovery_folder or Path(scratch) / "recovery"
        recovery.prepare(folder, folder.with_name(f"{folder.name}-copies"), graph, fence, info, anew)
        read = partial(JournalReader, journal_folder)
        source = _source(read, info.journal_id, base, batch_frames, meter, follow=lambda: False)
        beside = store.parent if isinstance(store, Path) else journal_folder.parent
        sink = _store_sink(graph, store, info.journal_id, base, meter, beside)
        return _run(graph, source, {"store": sink}, meter, folder, epoch_ms)


def run_frames(frames: Recorded, journal_id: str, store_path: Path, settings: Settings, meter: Meter) -> int:
    """Run the graph over recorded frames, from the first to the last; return the exit code.

    journal_id : of the store's fence: what fed it, and may feed it again.
    """
    graph = load_graph(settings.graph)
    source = _source(lambda _: frames, journal_id, 0, settings.batch_frames, meter, follow=frames.more)
    sink = _store_sink(graph, store_path, journal_id, 0, meter, store_path.parent)
    with tempfile.TemporaryDirectory() as scratch:
        return _run(graph, source, {"store": sink}, meter, Path(scratch) / "recovery", settings.epoch_ms)


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
        # Bytewax wraps some errors. One of ours says all; of any other it is told where it comes from.
        ours = next((each for each in (error, error.__cause__) if isinstance(each, HeatPumpError)), None)
        rest = "the journal has everything, a restart goes on from the last epoch"
        log.error("%s; %s", ours or "the pipeline failed", rest, exc_info=None if ours else error)
        return 1
    return 0


def _answers(store: StoreAddress) -> bool:
    """Tell whether the store can be opened just now."""
    try:
        open_writer(store).close()
    except RetryableStoreError:
        return False
    return True


def _fence_when_readable(store: StoreAddress, meter: Meter) -> Fence | None:
    """Open (and migrate) the store and read its fence; wait while it is locked or away."""
    return _patiently(lambda: _fence(store, meter), meter)


def _fence(store: StoreAddress, meter: Meter) -> Fence | None:
    with closing(_open_patiently(store, meter)) as writer:
        return writer.fence()


def _open_patiently(store: StoreAddress, meter: Meter) -> StoreWriter:
    """Open the store; wait while it is locked or away. Raises StartRefused when asked to stop meanwhile."""
    return _patiently(lambda: open_writer(store), meter)


def _patiently(ask: Callable[[], T], meter: Meter) -> T:
    progress, wait = meter.progress, SHORTEST_WAIT_S
    while True:
        try:
            answer = ask()
        except RetryableStoreError as error:
            if not progress.waiting:
                log.warning("waiting for the store: %s", error)
                progress.since, progress.attempts = now_ms(), 0
            progress.attempts += 1
            progress.retries += 1
            progress.next_try = now_ms() + round(wait * 1000)
            progress.waiting = str(error)
            until = time.monotonic() + wait
            while time.monotonic() < until:
                if progress.stop:
                    raise StartRefused(f"stopped while waiting for the store: {error}") from None
                time.sleep(0.02)
            wait = min(wait * 2, LONGEST_WAIT_S)
        else:
            progress.waiting = ""
            return answer


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
        minute_retention_ms=settings.minute_retention_ms,
        dead_letter_retention_ms=settings.dead_letter_retention_ms,
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


def _store_sink(
    graph: Graph, store: StoreAddress, journal_id: str, base: int, meter: Meter, folder: Path
) -> StoreSink:
    """Make the sink. folder: where it keeps what no store takes."""
    ports = [edge.name for edge in graph.edges_to("store")]
    opened, refused = partial(_open_patiently, store, meter), folder / "refused.jsonl"
    # A server is waited for, a file is worked on: two threads would only take turns.
    behind = isinstance(store, InfluxAddress)
    return StoreSink(partial(StorePartition, opened, ports, journal_id, base, meter, refused, behind))
