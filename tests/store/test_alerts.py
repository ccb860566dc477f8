"""Alerts: transitions are kept, and each alert stands as its last one says."""

from flows.store.protocol import StoredAlert

from .conftest import FOREVER, HOUR, NOW, transition


def ids(found: list[StoredAlert]) -> list[str]:
    return [alert.last.id for alert in found]


def test_an_alert_stands_as_its_last_transition_says(store):
    steps = [
        transition("raised", 10),
        transition("escalated", 20, at=NOW + 1, level="critical", value=15.5),
        transition("acknowledged", 30, at=NOW + 2, level="critical", by="ada", value=None),
        transition("cleared", 40, at=NOW + 3, level="critical", value=9.0, message="current 9.0 A"),
    ]
    for number, step in enumerate(steps):
        store.apply(step)
        found = store.reader.alert("site1/current/1")
        cleared_at, by = (NOW + 3 if number == 3 else None), ("ada" if number >= 2 else "")
        assert found == StoredAlert(step, cleared_at, by)
        assert store.reader.alerts("site1", 0, FOREVER, 10, open_only=True) == ([] if cleared_at else [found])
    assert store.reader.stats().total_alerts == 1


def test_transitions_in_one_batch_or_doubled_or_backwards_give_the_same(new_store):
    steps = [transition(state, n + 1, at=NOW + n) for n, state in enumerate(["raised", "acknowledged", "cleared"])]
    one, other = new_store(), new_store()
    for step in [*steps, steps[0]]:
        one.apply(step)
    other.apply(*reversed(steps), *steps)
    assert one.content() == other.content()


def test_an_alert_from_the_device_itself_is_noted_and_never_open(store):
    store.apply(transition("noted", 1))
    assert store.reader.alerts(None, 0, FOREVER, 10, open_only=True) == []
    [found] = store.reader.alerts(None, 0, FOREVER, 10)
    assert (found.last.state, found.cleared_at) == ("noted", None)


def test_alerts_come_last_changed_first_and_no_more_than_asked(store):
    for n in range(5):
        store.apply(transition("raised", n, at=NOW + n, alert=f"site{n % 2}/current/{n}"))
    store.apply(transition("cleared", 9, at=NOW + 9, alert="site0/current/0"))
    assert ids(store.reader.alerts(None, 0, FOREVER, 3)) == [
        "site0/current/0",
        "site0/current/4",
        "site1/current/3",
    ]
    assert ids(store.reader.alerts("site1", 0, FOREVER, 9)) == ["site1/current/3", "site1/current/1"]
    assert ids(store.reader.alerts("site1", 0, FOREVER, 9, open_only=True)) == [
        "site1/current/3",
        "site1/current/1",
    ]
    assert store.reader.alerts("nobody", 0, FOREVER, 9) == []


def test_a_span_has_the_alerts_that_changed_in_it(store):
    store.apply(transition("raised", 1, at=NOW), transition("cleared", 2, at=NOW + 5 * HOUR))
    spans = {
        "before": (0, NOW),
        "raise": (NOW, NOW + 1),
        "between": (NOW + 1, NOW + 2),
        "clear": (NOW + HOUR, FOREVER),
    }
    found = {name: len(store.reader.alerts(None, *span, 10)) for name, span in spans.items()}
    assert found == {"before": 0, "raise": 1, "between": 0, "clear": 1}


def test_a_span_ends_before_its_end(store):
    store.apply(transition("raised", 1, at=NOW))
    assert store.reader.alerts(None, NOW - HOUR, NOW, 10) == []


def test_an_unknown_alert_is_none(store):
    assert store.reader.alert("site1/current/1") is None
