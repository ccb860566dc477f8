"""What the flow tells Prometheus: read from its counters when it is asked, so that no reading costs more.

No label is a device: what a name may have as labels is known beforehand.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from flows.journal.writer import SYNC_BOUNDS_S, Journal
from flows.model.times import now_ms
from flows.telemetry.conservation import FATES
from flows.telemetry.meter import REMOVED, Meter, Progress

Told = dict[str, Any]


class FlowMetrics(Collector):
    """All of the flow's own metrics. told: as Housekeeping.metrics; None until the journal is open."""

    def __init__(self, meter: Meter, store_kind: str) -> None:
        self._meter, self._kind = meter, store_kind
        self.told: Callable[[], Told] | None = None
        self.journal: Journal | None = None

    def collect(self) -> Iterable[Metric]:
        """Tell."""
        yield from _store(self._meter, self._kind)
        if self.told is None or self.journal is None:
            return
        told = self.told()
        yield from _readings(told["conservation"])
        yield from _nodes(told["nodes"], self._meter)
        yield from _journal(told, self.journal)
        yield from _mqtt(told["journal"])
        yield from _state(told)


def _counter(name: str, text: str, value: float) -> CounterMetricFamily:
    return CounterMetricFamily(f"heatpump_{name}", text, value=value)


def _gauge(name: str, text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"heatpump_{name}", text, value=value)


def _by(
    family: type[CounterMetricFamily] | type[GaugeMetricFamily],
    name: str,
    text: str,
    labels: tuple[str, ...],
    values: Mapping[Any, float],
) -> Metric:
    """values: by what the labels are, in their order."""
    made = family(f"heatpump_{name}", text, labels=labels)
    for label, value in values.items():
        made.add_metric(label, value)
    return made


def _readings(sums: Told) -> Iterable[Metric]:
    """The sum that must close: received = stored + duplicate + dead + dropped + in flight."""
    yield _counter("readings_received", "Readings that came, imported ones too.", sums["received"])
    yield _counter("readings_stored", "Readings that are a row of the store now.", sums["stored"])
    yield _counter("readings_duplicate", "Readings that said nothing new.", sums["duplicate"])
    yield _counter("readings_dead", "Readings kept as dead letters.", sums["dead"])
    yield _counter(
        "readings_dropped", "Readings left out by rule, as retained ones without time.", sums["dropped"]
    )
    yield _gauge("readings_in_flight", "Readings received whose fate is open.", sums["in_flight"])
    yield _gauge(
        "readings_unexplained", "What the sum leaves over; not 0: a mistake of ours.", sums["unexplained"]
    )


def _nodes(nodes: list[Told], meter: Meter) -> Iterable[Metric]:
    counter, gauge, one, two = CounterMetricFamily, GaugeMetricFamily, ("step",), ("step", "reason")

    def each(key: str, wanted: Callable[[str], bool] = lambda word: True) -> dict[Any, float]:
        """Take what the steps count by a word."""
        return {(n["step"], word): count for n in nodes for word, count in n[key].items() if wanted(word)}

    yield _by(counter, "node_in", "Items that came to a step.", one, {(n["step"],): n["in"] for n in nodes})
    yield _by(counter, "node_out", "Items that a step gave, by port.", ("step", "port"), each("out"))
    seconds = {(step.step.id,): step.seconds for step in meter.steps}
    yield _by(counter, "node_seconds", "Time that a step has worked. [s]", one, seconds)
    batches = {(step.step.id,): step.batches for step in meter.steps}
    yield _by(counter, "node_batches", "Batches of a step.", one, batches)
    dropped = {(n["step"],): n["counts"]["dropped"] for n in nodes if "dropped" in n["counts"]}
    yield _by(counter, "node_dropped", "Readings dropped by a step.", one, dropped)
    yield _by(counter, "node_dead_letters", "Dead letters of a step, by reason.", two, each("dead"))
    yield _by(counter, "node_fields_removed", "Fields left out of readings, by reason.", two, each("removed"))
    others = each("counts", lambda word: word not in REMOVED and word not in FATES)
    yield _by(counter, "node_events", "What else a step counts, by its word.", ("step", "event"), others)
    yield _by(gauge, "node_state", "What a step remembers, by kind.", ("step", "kind"), each("state"))
    saved = {(n["step"],): n["state_bytes"] for n in nodes}
    yield _by(gauge, "node_state_bytes", "Size of a step's state as last saved. [bytes]", one, saved)


def _journal(told: Told, journal: Journal) -> Iterable[Metric]:
    state = told["journal"]
    yield _gauge("journal_bytes", "Size of the journal. [bytes]", state["bytes"])
    yield _gauge("journal_room_bytes", "What the journal may still grow by. [bytes]", state["room_bytes"])
    yield _counter("journal_written_bytes", "Written to the journal. [bytes]", journal.written)
    yield _counter("journal_frames", "Frames made durable since the journal began.", state["synced_seq"])
    yield _gauge("journal_unread_frames", "Durable frames that the pipeline has not read.", told["backlog"])
    yield _gauge("journal_oldest_unread_seconds", "Age of the oldest frame not read. [s]", told["oldest_unread_s"])
    yield _gauge("journal_full", "1 while nothing is taken, since journal or disk is full.", state["full"])
    yield _gauge("journal_damaged_regions", "Places of the journal that cannot be read.", state["damaged_regions"])
    yield _gauge("journal_missing_frames", "Frames of the journal that are missing.", state["missing_frames"])
    yield _counter("journal_clock_steps", "How often the server's clock went back.", state["clock_steps"])
    buckets, total = [], 0
    for bound, count in zip((*map(str, SYNC_BOUNDS_S), "+Inf"), journal.sync_counts, strict=True):
        total += count
        buckets.append((bound, total))
    text = "Time of a commit: write and fdatasync. [s]"
    yield HistogramMetricFamily("heatpump_journal_sync_seconds", text, buckets, journal.sync_s)


def _mqtt(state: Told) -> Iterable[Metric]:
    yield _gauge("mqtt_connected", "1 while ingest is subscribed at the broker.", state["connected"])
    again = max(0, state["subscriptions"] - 1)
    yield _counter("mqtt_reconnects", "How often ingest subscribed anew after a loss.", again)
    yield _counter("mqtt_messages", "Messages journaled.", state["messages"])
    yield _counter("mqtt_oversized", "Messages larger than 256 kB.", state["oversized"])
    yield _counter("mqtt_redelivered", "Messages that the broker sent again.", state["redeliveries"])
    last = state["last_message_s"]
    yield _gauge(
        "mqtt_last_message_seconds", "Since the last message; -1: none yet. [s]", -1 if last is None else last
    )
    yield _counter("commands", "Commands journaled, chunks of imports too.", state["commands"])


def _store(meter: Meter, kind: str) -> Iterable[Metric]:
    progress, counter = meter.progress, CounterMetricFamily
    yield InfoMetricFamily("heatpump_store", "Which store is in use; always 1.", {"kind": kind})
    behind = max(0, progress.read - progress.stored)
    yield _gauge("store_lag_frames", "Frames that are read and not stored yet.", behind)
    yield _gauge("store_waiting", "1 while the store does not take what it is given.", bool(progress.waiting))
    yield _gauge(
        "store_waiting_seconds", "How long the store has not taken what it is given. [s]", _since(progress)
    )
    yield _counter("store_retries", "Tries that the store did not take.", progress.retries)
    yield _counter("store_refused_rows", "Rows that the store will never take.", meter.conservation.refused)
    rows = {(name,): float(count) for name, count in list(meter.stored_rows.items())}
    yield _by(counter, "store_rows", "Rows given to the store, by kind.", ("kind",), rows)
    yield _counter("store_writes", "Batches written.", meter.store.writes)
    yield _counter("store_write_seconds", "Time of writing batches, waits included. [s]", meter.store.seconds)
    yield _counter("live_messages", "Readings published over MQTT.", meter.live.done)


def _since(progress: Progress) -> float:
    return max(0, now_ms() - progress.since) / 1000 if progress.waiting else 0.0


def _state(told: Told) -> Iterable[Metric]:
    yield _gauge("rollups_dirty", "Minutes and spans to be computed anew.", told["dirty"])
    yield _gauge("recovery_lag_frames", "Frames read again after a crash.", told["recovery"]["lag"])
    yield _gauge(
        "recovery_copy_age_seconds", "Age of the newest copy; -1: none. [s]", told["recovery"]["copy_age_s"]
    )
    yield _gauge("devices", "Devices known.", told["devices"])
    yield _gauge("devices_online", "Devices that sent a reading lately.", told["online"])
    levels = {(level,): count for level, count in told["alerts"].items()}
    yield _by(GaugeMetricFamily, "alerts_open", "Alerts that have not cleared, by level.", ("level",), levels)
