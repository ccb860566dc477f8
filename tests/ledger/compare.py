"""Holds what a store has against the oracle."""

from collections import Counter
from collections.abc import Set
from typing import Any, NamedTuple

from tests.ledger.load import Event, Message, published
from tests.ledger.stored import Stored
from tests.oracle import alerts, rollups
from tests.oracle.readings import FLAGS, Samples, derived, samples_of

RESOLUTIONS = ("1m", "1h", "1d")


class Expected(NamedTuple):
    """What must be stored of one device. published: how many readings were sent."""

    published: int
    samples: Samples
    rollups: dict[tuple[str, int], rollups.Row]
    transitions: dict[str, list[alerts.Change]]


def expected_of(messages: list[Message]) -> dict[str, Expected]:
    """Ask the oracle, device by device."""
    found = {}
    for device_id in sorted({message.device_id for message in messages}):
        readings = published(messages, device_id)
        samples = samples_of(readings).get(device_id, {})
        changes = alerts.transitions(readings).get(device_id, {})
        found[device_id] = Expected(len(readings), samples, rollups.rows(samples), changes)
    return found


class Verdict:
    """What was compared, and every difference in a sentence.

    counts: published, distinct, stored, lost, doubled, wrong, rollup rows, transitions, events.
    """

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.differences: list[str] = []

    @property
    def equal(self) -> bool:
        """Whether the store holds exactly what it must."""
        return not self.differences

    def differs(self, sentence: str) -> None:
        """Note a difference."""
        self.differences.append(sentence)


def compare(
    store: Stored,
    expected: dict[str, Expected],
    events: list[Event],
    others: Set[str] = frozenset(),
    left: bool = False,
) -> Verdict:
    """Compare everything that must be stored with everything that is.

    others : devices that are somebody else's to compare.
    left   : the devices said at last that they go offline.
    """
    verdict = Verdict()
    for device_id in sorted(store.devices() - expected.keys() - others):
        verdict.differs(f"device {device_id} is stored, nobody published it")
    for device_id, wanted in expected.items():
        verdict.counts.update({"published": wanted.published, "distinct": len(wanted.samples)})
        _compare_raw(verdict, store, device_id, wanted.samples)
        _compare_rollups(verdict, store, device_id, wanted.rollups)
        _compare_transitions(verdict, store, device_id, wanted.transitions, left)
    _compare_events(verdict, store, events, others)
    for device_id, reason, count in store.letters():
        if device_id not in others:
            verdict.differs(f"{device_id}: {count} dead letters: {reason}")
    return verdict


def _compare_raw(verdict: Verdict, store: Stored, device_id: str, samples: Samples) -> None:
    stored = store.rows(device_id, "raw")
    verdict.counts.update({"stored": len(stored), "lost": len(samples.keys() - stored.keys())})
    verdict.counts["doubled"] += len(stored.keys() - samples.keys())
    for at in sorted(samples.keys() - stored.keys()):
        verdict.differs(f"{device_id}: the reading of {at} is lost")
    for at in sorted(stored.keys() - samples.keys()):
        verdict.differs(f"{device_id}: a reading of {at} is stored, none was published")
    for at in sorted(samples.keys() & stored.keys()):
        row = stored[at].values
        sent = samples[at].keys() - derived(samples[at]).keys()
        wrong = [name for name in sorted(row.keys() | sent) if not _same(name, row, samples[at])]
        if wrong:
            verdict.counts["wrong"] += 1
            told = ", ".join(f"{name} {row.get(name)} for {samples[at].get(name)}" for name in wrong[:3])
            verdict.differs(f"{device_id}: the reading of {at} has {told}")


def _same(name: str, row: dict[str, Any], sample: dict[str, Any]) -> bool:
    """What was sent is kept exactly; what derives from it is not kept."""
    given, wanted = row.get(name), sample.get(name)
    if given is None or wanted is None:
        return False
    if name in FLAGS:
        return given in (0, 1) and bool(given) == wanted
    return bool(given == wanted)


def _compare_rollups(
    verdict: Verdict, store: Stored, device_id: str, expected: dict[tuple[str, int], rollups.Row]
) -> None:
    for resolution in RESOLUTIONS:
        stored = store.rows(device_id, resolution)
        wanted = {start: row for (of, start), row in expected.items() if of == resolution}
        verdict.counts[f"{resolution} rows"] += len(wanted)
        for start in sorted(wanted.keys() - stored.keys()):
            verdict.differs(f"{device_id}: the {resolution} row of {start} is missing")
        for start in sorted(stored.keys() - wanted.keys()):
            verdict.differs(f"{device_id}: there is a {resolution} row of {start} that should not be")
        for start in sorted(wanted.keys() & stored.keys()):
            row = stored[start]
            for difference in rollups.differences(wanted[start], row.count, row.values, row.heat_source):
                verdict.differs(f"{device_id}: {resolution} row of {start}: {difference}")


def _compare_transitions(
    verdict: Verdict,
    store: Stored,
    device_id: str,
    expected: dict[str, list[alerts.Change]],
    left: bool,
) -> None:
    stored: dict[str, list[alerts.Change]] = {}
    for change in store.changes(device_id):
        stored.setdefault(change.alert_type, []).append(change)
    offline = [change.state for change in stored.pop("device_offline", [])]
    if offline != ["raised"] * left:
        verdict.differs(f"{device_id}: device_offline is {offline}, and it {'left' if left else 'did not leave'}")
    for alert_type in sorted(stored.keys() | expected.keys()):
        given, wanted = stored.get(alert_type, []), expected.get(alert_type, [])
        verdict.counts["transitions"] += len(wanted)
        if given != wanted:
            first = next(
                n
                for n, pair in enumerate(zip([*given, None], [*wanted, None], strict=False))
                if pair[0] != pair[1]
            )
            told = f"{given[first : first + 1]}, expected {wanted[first : first + 1]}"
            verdict.differs(f"{device_id}: {alert_type}: transition {first} of {len(wanted)} is {told}")


def _compare_events(verdict: Verdict, store: Stored, events: list[Event], others: Set[str]) -> None:
    stored = {event: count for event, count in store.events().items() if event.device_id not in others}
    verdict.counts["events"] += len(events)
    for event in sorted(stored.keys() | set(events)):
        if stored.get(event, 0) != 1 or event not in events:
            noted = stored.get(event, 0)
            verdict.differs(f"{event.device_id}: its own alert of {event.at} is noted {noted} times")
