"""alert: raise and clear by rules that are data, silence in ticks, what devices raise, acknowledgement."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.errors import ConfigError
from flows.model.cells import cells_of, matrix_of
from flows.model.command import Command
from flows.model.device import Bounds, DeviceMetadata, MetadataChanged
from flows.model.frame import Start, Tick
from flows.model.reading import ORDER_STEP, DeviceAlert, Status
from flows.model.rules import Rule, bands, noteworthy
from flows.nodes.alert import NODE, read_rules

from .conftest import NOW


@pytest.fixture
def follow(run_node, a_reading):
    """Judge one quantity's values, 10 s apart; say what changed."""

    def run(field, values, restart_every=None, **fixed):
        items = [
            a_reading(seq=n, at=NOW + n * 10_000, arrived=NOW + n * 10_000, **{field: value}, **fixed)
            for n, value in enumerate(values)
        ]
        return [(t.state, t.level, t.value) for t in run_node(NODE, items, restart_every).transitions]

    return run


def test_a_threshold_raises_escalates_eases_and_clears_with_hysteresis(follow):
    values = [244.9, 245.0, 249.0, 250.0, 248.0, 247.9, 243.0, 242.9, 244.0]
    assert follow("voltage", values, restart_every=1) == [
        ("raised", "warning", 245.0),
        ("escalated", "critical", 250.0),
        ("eased", "warning", 247.9),
        ("cleared", "warning", 242.9),
    ]


def test_a_low_rule_works_downwards_and_may_raise_critical_at_once(follow):
    assert follow("voltage", [216.0, 210.0, 217.0, 217.1]) == [
        ("raised", "critical", 210.0),
        ("eased", "warning", 217.0),
        ("cleared", "warning", 217.1),
    ]


@pytest.mark.parametrize(
    ("field", "alert_type", "warning", "critical"),
    [
        ("voltage", "voltage_high", 245.0, 250.0),
        ("voltage", "voltage_low", 215.0, 210.0),
        ("temp_compressor", "compressor_temp", 85.0, 95.0),
        ("current", "current", 12.0, 15.0),
    ],
)
def test_the_shipped_thresholds_are_the_contracts(run_node, a_reading, field, alert_type, warning, critical):
    for value, level in ((warning, "warning"), (critical, "critical")):
        (change,) = run_node(NODE, [a_reading(at=NOW, **{field: value})]).transitions
        assert (change.alert_type, change.level, change.state) == (alert_type, level, "raised")
        assert change.id == f"site1/{alert_type}/{ORDER_STEP}" and change.since == NOW


def test_pressure_counts_only_three_minutes_into_a_run_outside_defrost(run_node, a_reading):
    def at(second, low, **flags):
        return a_reading(seq=second + 1, at=NOW + second * 1000, pressure_low=low, **flags)

    items = [
        at(0, 10.0, compressor_running=False),
        at(10, 10.0, compressor_running=True),
        at(189, 10.0, compressor_running=True),
        at(190, 10.0, compressor_running=True),
        at(200, 10.0, compressor_running=True, defrost_active=True),
        at(210, 10.0, compressor_running=True, defrost_active=False),
        at(389, 10.0, compressor_running=True, defrost_active=False),
        at(390, 39.0, compressor_running=True, defrost_active=False),
        at(400, 39.0, compressor_running=False),
    ]
    changes = run_node(NODE, items, restart_every=2).transitions
    assert [(c.state, c.level, (c.at - NOW) // 1000) for c in changes] == [
        ("raised", "critical", 190),
        ("cleared", "critical", 200),
        ("raised", "warning", 390),
        ("cleared", "warning", 400),
    ]


def test_a_late_reading_changes_no_alert(run_node, a_reading):
    items = [
        a_reading(seq=1, at=NOW, voltage=230.0),
        a_reading(seq=2, at=NOW - 1, voltage=260.0),
        a_reading(seq=3, at=NOW, voltage=260.0),
    ]
    assert run_node(NODE, items).transitions == []


def test_a_missing_value_keeps_the_alert(run_node, a_reading):
    items = [a_reading(seq=1, at=NOW, voltage=260.0), a_reading(seq=2, at=NOW + 1, current=1.0)]
    assert [c.state for c in run_node(NODE, items).transitions] == ["raised"]


def test_a_devices_own_limits_win(run_node, a_reading):
    history = [DeviceMetadata(limits={"current": Bounds(warning=20.0, critical=25.0)})]
    items = [
        MetadataChanged("site1", 1, history, None),
        a_reading(seq=1, at=NOW, current=16.0),
        a_reading(seq=2, at=NOW + 1, current=21.0),
    ]
    assert [(c.level, c.value) for c in run_node(NODE, items, restart_every=1).transitions] == [("warning", 21.0)]


def test_levels_of_the_device_are_kept_apart_from_ours(run_node, a_reading):
    items = [
        a_reading(seq=n, at=NOW + n, voltage=230.0, levels={"voltage": code})
        for n, code in enumerate((0, 2, 1, 0))
    ]
    changes = run_node(NODE, items).transitions
    assert [(c.alert_type, c.state, c.level) for c in changes] == [
        ("device_voltage", "raised", "critical"),
        ("device_voltage", "eased", "warning"),
        ("device_voltage", "cleared", "warning"),
    ]


def test_an_alert_message_of_a_device_is_noted(run_node):
    (change,) = run_node(
        NODE, [DeviceAlert("site1", 8, NOW, NOW - 5, "flow", "critical", 1.5, "no flow")]
    ).transitions
    assert (change.id, change.state, change.message, change.at) == (
        "site1/device_flow/8",
        "noted",
        "no flow",
        NOW - 5,
    )


def silent(run_node, items, limit=600, restart_every=None):
    out = run_node(NODE, [Start(1, NOW, offline_ticks=limit), *items], restart_every)
    return [(c.alert_type, c.state, c.order // ORDER_STEP) for c in out.transitions]


def ticks(first, last):
    return [Tick(1000 + n, n, NOW + n * 1000) for n in range(first, last + 1)]


@pytest.mark.parametrize("restart_every", [None, 1, 7])
def test_silence_is_counted_in_ticks_and_ends_with_the_next_reading(run_node, a_reading, restart_every):
    items = [*ticks(1, 3), a_reading(seq=50, at=NOW, temp_inlet=1.0), *ticks(4, 20)]
    items.append(a_reading(seq=9000, at=NOW + 1, temp_inlet=1.0))
    assert silent(run_node, items, 10, restart_every) == [
        ("device_offline", "raised", 1013),
        ("device_offline", "cleared", 9000),
    ]


def test_hours_without_ticks_are_no_silence(run_node, a_reading):
    items = [*ticks(1, 1), a_reading(seq=50, at=NOW, temp_inlet=1.0), Tick(2000, 2, NOW + 7_200_000)]
    assert silent(run_node, items, 10) == []


def test_a_shorter_limit_at_the_next_start_counts_at_once(run_node, a_reading):
    items = [
        *ticks(1, 1),
        a_reading(seq=50, at=NOW, temp_inlet=1.0),
        *ticks(2, 20),
        Start(3000, NOW, offline_ticks=5),
    ]
    assert silent(run_node, [*items, *ticks(21, 21)]) == [("device_offline", "raised", 1021)]


def test_a_device_that_never_sent_a_reading_is_not_called_silent(run_node):
    assert silent(run_node, [Status("site1", 5, NOW, "rssi", "-60"), *ticks(1, 30)], 10) == []


def test_the_last_will_raises_at_once_and_a_live_online_clears(run_node):
    items = [
        Status("site1", 5 * ORDER_STEP, NOW, "online", False),
        Status("site1", 6 * ORDER_STEP, NOW, "online", True, retained=True),
        Status("site1", 7 * ORDER_STEP, NOW, "online", True),
    ]
    assert silent(run_node, items) == [("device_offline", "raised", 5), ("device_offline", "cleared", 7)]


def test_what_the_broker_remembers_neither_raises_nor_clears(run_node, a_reading):
    offline, remembered = Status("site1", 5 * ORDER_STEP, NOW, "online", False), []
    for order in (6, 7):
        remembered += [
            Status("site1", order * ORDER_STEP, NOW, "online", False, retained=True),
            a_reading(seq=order, at=NOW + order, temp_inlet=1.0, retained=True),
        ]
    assert silent(run_node, remembered) == []
    assert silent(run_node, [offline, *remembered]) == [("device_offline", "raised", 5)]
    back = a_reading(seq=8, at=NOW + 8, temp_inlet=1.0)
    assert silent(run_node, [offline, back, *remembered])[1:] == [("device_offline", "cleared", 8)]


def test_limits_count_from_the_day_they_are_valid(run_node, a_reading):
    history = [DeviceMetadata(valid_from=NOW + 1000, limits={"voltage_high": Bounds(warning=200.0)})]
    items = [MetadataChanged("site1", 1, history, None)]
    items += [a_reading(seq=n, at=NOW + n * 500, voltage=230.0) for n in range(1, 4)]
    assert [c.at - NOW for c in run_node(NODE, items).transitions] == [1000]


def acknowledge(seq, alert_id):
    return Command(seq, f"c{seq}", "me", NOW + seq, "alert_ack", {"alert_id": alert_id})


def test_an_open_alert_is_acknowledged_once_and_a_cleared_one_never(run_node, a_reading):
    alert_id = f"site1/current/{ORDER_STEP}"
    items = [
        a_reading(seq=1, at=NOW, current=13.0),
        acknowledge(2, alert_id),
        acknowledge(3, alert_id),
        a_reading(seq=4, at=NOW + 1, current=1.0),
        acknowledge(5, alert_id),
        acknowledge(6, "nonsense"),
    ]
    out = run_node(NODE, items, restart_every=1)
    assert [(c.state, c.by) for c in out.transitions] == [("raised", ""), ("acknowledged", "me"), ("cleared", "")]
    assert [row.outcome for row in out.rows] == ["done", "refused", "refused", "refused"]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('[x]\nquantity="nope"\ndirection="high"', "is no quantity"),
        ('[x]\nquantity="power"\ndirection="sideways"', "direction"),
        ('[x]\nquantity="power"', "direction"),
        ("[x", "cannot be used"),
    ],
)
def test_a_wrong_rule_file_is_named(tmp_path, text, sentence):
    path = tmp_path / "rules.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=sentence):
        read_rules(path)


@given(st.floats(-50, 800), st.sampled_from(read_rules()))
def test_within_its_band_a_value_reaches_no_level_and_beyond_it_some_rule_does(value, rule):
    rules = read_rules()
    reached = any(each.level(value, None) for each in rules if each.quantity == rule.quantity)
    assert noteworthy(matrix_of([cells_of({rule.quantity: value})]), bands(rules)).tolist() == [reached]


def test_a_rule_without_thresholds_has_no_band():
    assert not noteworthy(matrix_of([cells_of({"voltage": 1e9})]), bands([Rule("x", "voltage", "high")])).any()
