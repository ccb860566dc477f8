"""device: the register, its commands, and retention by days."""

import pytest

from flows.model.command import Command
from flows.model.dead_letter import DeadLetter
from flows.model.device import MOST_HISTORY_BYTES, Forgotten, MetadataChanged
from flows.model.frame import Start, Tick
from flows.model.reading import ORDER_STEP, Status
from flows.model.rows import DeviceRow, Forget, Retain
from flows.model.times import DAY_MS
from flows.nodes.device import NODE

from .conftest import NOW


def command(seq, word, **body):
    return Command(seq, f"c{seq}", "me", NOW + seq, word, body)


def test_a_new_device_is_registered_at_once_and_later_sightings_once_a_tick(run_node, a_reading):
    items = [a_reading(seq=n, arrived=NOW + n, temp_inlet=1.0) for n in (1, 2, 3)]
    out = run_node(NODE, [*items, Tick(4, 1, NOW + 9), Tick(5, 2, NOW + 99)])
    assert out.rows == [
        DeviceRow("site1", ORDER_STEP, last_seen=NOW + 1),
        DeviceRow("site1", 3 * ORDER_STEP, last_seen=NOW + 3),
    ]


def test_attributes_are_written_when_they_change(run_node, a_reading):
    items = [
        Status("site1", 1, NOW, "rssi", "-60"),
        Status("site1", 2, NOW, "rssi", "-60"),
        Status("site1", 3, NOW, "rssi", "-61"),
        a_reading(seq=1, temp_inlet=1.0, version="2.0"),
    ]
    written = [row.attributes for row in run_node(NODE, items, restart_every=1).rows if row.attributes]
    assert written == [{"rssi": "-60"}, {"rssi": "-61"}, {"version": "2.0"}]


def test_online_is_written_when_it_changes_and_a_status_is_no_reading(run_node):
    items = [Status("site1", n, NOW, "online", value) for n, value in enumerate((True, True, False))]
    rows = run_node(NODE, items).rows
    assert [row.online for row in rows] == [None, True, False]
    assert {row.last_seen for row in rows} == {None}


def test_the_first_metadata_count_from_ever_and_the_next_from_now(run_node):
    items = [
        command(1, "device_put", device_id="site1", refrigerant="R32"),
        command(2, "device_put", device_id="site1", refrigerant="R290"),
    ]
    out = run_node(NODE, items, restart_every=1)
    changes = [item for item in out.items if isinstance(item, MetadataChanged)]
    assert [entry.valid_from for entry in changes[-1].history] == [0, NOW + 2]
    assert [change.recompute_from for change in changes] == [0, NOW + 2]
    assert [row.outcome for row in out.rows if hasattr(row, "outcome")] == ["done", "done"]


def test_metadata_that_are_in_force_already_are_no_new_entry_unless_a_time_is_named(run_node):
    items = [
        command(1, "device_put", device_id="site1", name="Home", group="north"),
        command(2, "device_put", device_id="site1", name="Home"),
        command(3, "device_put", device_id="site1", name="Home", valid_from=NOW),
        command(4, "device_put", device_id="site1", name="Cabin"),
        command(5, "device_put", device_id="site1", name="Home"),
    ]
    out = run_node(NODE, items)
    changes = [item for item in out.items if isinstance(item, MetadataChanged)]
    assert [[entry.valid_from for entry in change.history] for change in changes] == [
        [0],
        [0, NOW],
        [0, NOW, NOW + 4],
        [0, NOW, NOW + 4, NOW + 5],
    ]
    outcomes = [row for row in out.rows if hasattr(row, "outcome")]
    assert [row.outcome for row in outcomes] == ["done"] * 5
    assert outcomes[1].detail == "metadata of site1 are as they were"


def test_a_history_of_metadata_is_bounded_and_a_correction_of_it_is_still_taken(run_node):
    name = "x" * 100
    some = [command(n, "device_put", device_id="site1", name=name, location=str(n)) for n in range(1, 1201)]
    corrected = command(1201, "device_put", device_id="site1", name=name, location="0", valid_from=0)
    out = run_node(NODE, [*some, corrected])
    outcomes = [row for row in out.rows if hasattr(row, "outcome")]
    taken = [row.outcome for row in outcomes].index("refused")
    assert {row.outcome for row in outcomes[:taken]} == {"done"}
    assert {row.outcome for row in outcomes[taken:-1]} == {"refused"}
    assert "valid_from" in outcomes[taken].detail and str(MOST_HISTORY_BYTES) in outcomes[taken].detail
    assert outcomes[-1].outcome == "done"
    changes = [item for item in out.items if isinstance(item, MetadataChanged)]
    assert len(changes[-1].history) == taken and changes[-1].history[0].location == "0"
    assert 500 < taken < 1000


def test_a_new_name_alone_recomputes_nothing(run_node):
    (change,) = run_node(NODE, [command(1, "device_put", device_id="site1", name="Home")]).items
    assert change.recompute_from is None


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("glycol_percent", "much"),
        ("glycol_percent", 31),
        ("carnot_fraction", 0),
        ("refrigerant", "R999"),
        ("timezone", "Mars/Olympus"),
        ("timezone", "../etc/passwd"),
        ("valid_from", "yesterday"),
        ("limits", {"current": {"warning": "x"}}),
    ],
)
def test_wrong_metadata_are_refused_with_the_field(run_node, field, value):
    (row,) = run_node(NODE, [command(1, "device_put", device_id="site1", **{field: value})]).rows
    assert row.outcome == "refused" and field in row.detail


def test_a_forgotten_device_is_deleted_everywhere_and_an_unknown_one_refused(run_node, a_reading):
    items = [
        a_reading(seq=1, temp_inlet=1.0),
        command(2, "device_forget", device_id="site1"),
        command(3, "device_forget", device_id="site1"),
    ]
    out = run_node(NODE, items)
    assert Forget("site1", 2 * ORDER_STEP) in out.rows and Forgotten("site1", 2 * ORDER_STEP) in out.items
    assert [row.outcome for row in out.rows if hasattr(row, "outcome")] == ["done", "refused"]


def test_a_forgotten_device_comes_back_by_speaking_not_by_what_the_broker_remembers(run_node, a_reading):
    def remembered(order):
        return [
            a_reading(seq=order, temp_inlet=1.0, retained=True),
            Status("site1", order * ORDER_STEP, NOW, "online", False, True),
        ]

    items = [a_reading(seq=1, temp_inlet=1.0), command(2, "device_forget", device_id="site1"), *remembered(3)]
    out = run_node(NODE, items, restart_every=1)
    assert len(out.items) == 2 and not [row for row in out.rows if getattr(row, "order", 0) > 2 * ORDER_STEP]
    out = run_node(NODE, [*items, a_reading(seq=4, temp_inlet=1.0), *remembered(5)], restart_every=1)
    assert len(out.items) == 5


def test_a_retained_reading_is_no_sign_of_life(run_node, a_reading):
    items = [
        a_reading(seq=1, arrived=NOW, at=NOW, temp_inlet=1.0),
        Tick(2, 1, NOW),
        a_reading(seq=3, arrived=NOW + 9, at=NOW, temp_inlet=1.0, retained=True),
        Tick(4, 2, NOW + 10),
    ]
    assert [row.last_seen for row in run_node(NODE, items).rows] == [NOW]
    assert [row.last_seen for row in run_node(NODE, items[2:]).rows] == [None]


def test_retention_moves_by_the_day_for_every_device_and_the_dead_letters(run_node, a_reading):
    items = [a_reading(seq=n, device_id=f"site{n}", temp_inlet=1.0) for n in range(1, 8)]
    ticks = [Tick(10 + n, n, NOW + n * 1000 + (DAY_MS if n else 0)) for n in range(4)]
    rows = [row for row in run_node(NODE, [*items, *ticks]).rows if isinstance(row, Retain)]
    assert [row.device_id for row in rows] == ["", *(f"site{n}" for n in range(1, 8))]
    cutoff = (NOW // DAY_MS + 1 - 31) * DAY_MS
    assert {row.raw_before for row in rows} == {cutoff}
    assert {row.minute_before for row in rows} == {cutoff - 59 * DAY_MS}


def test_a_clock_that_jumps_a_year_takes_two_days_at_most(run_node, a_reading):
    jumped = [(n, NOW + 365 * DAY_MS + n * 1000) for n in (2, 3, 4, 60, 43_201, 43_202, 86_401)]
    ticks = [Tick(seq, n, at) for seq, (n, at) in enumerate([(1, NOW), *jumped], 1)]
    rows = run_node(NODE, ticks, restart_every=1).rows
    days = [row.raw_before // DAY_MS - (NOW // DAY_MS - 31) for row in rows]
    assert days == [1, 2]  # in the first day of ticks


def test_where_ticks_are_counted_anew_retention_goes_on(run_node, a_reading):
    ticks = [Tick(1, 900_000, NOW), Tick(2, 900_001, NOW + DAY_MS), Tick(3, 1, NOW + 2 * DAY_MS)]
    rows = run_node(NODE, ticks, restart_every=1).rows
    assert [row.raw_before // DAY_MS - NOW // DAY_MS + 31 for row in rows] == [1, 2]


def test_a_reading_that_retention_has_passed_already_is_a_dead_letter(run_node, a_reading):
    """As after raw retention was raised: `clock` lets it pass, and the store would not keep it."""
    items = [Start(1, NOW, raw_retention_ms=2 * DAY_MS), Tick(2, 1, NOW), Start(3, NOW)]
    old, young = (a_reading(seq=9, temp_inlet=1.0, at=NOW - days * DAY_MS) for days in (5, 1))
    out = run_node(NODE, [*items, old, young], restart_every=1)
    assert out.items[-1] is young and old not in out.items
    assert [row.reason for row in out.rows if isinstance(row, DeadLetter)] == ["older_than_retention"]


def test_retention_follows_the_setting_of_the_start(run_node):
    items = [Start(1, NOW, raw_retention_ms=7 * DAY_MS), Tick(2, 1, NOW), Tick(3, 2, NOW + DAY_MS)]
    (row,) = run_node(NODE, items).rows
    assert row.raw_before == (NOW // DAY_MS + 1 - 8) * DAY_MS


def test_what_a_shorter_retention_no_longer_covers_goes_at_once_where_it_is_asked(run_node, a_reading):
    known = [a_reading(seq=n, device_id=f"site{n}", temp_inlet=1.0) for n in range(1, 8)]
    before = {
        "raw_before": NOW - 3 * DAY_MS,
        "minute_before": NOW - 9 * DAY_MS,
        "dead_letter_before": NOW - 30 * DAY_MS,
    }
    asked = Command(20, "c1", "me", NOW, "retain", before)
    ticks = [Tick(30 + n, n, NOW + n * 1000) for n in range(1, 4)]
    out = run_node(NODE, [*known, Tick(10, 0, NOW), asked, *ticks], restart_every=1)
    rows = [row for row in out.rows if isinstance(row, Retain)]
    assert [row.device_id for row in rows] == ["", *(f"site{n}" for n in range(1, 8))]
    assert {(row.raw_before, row.minute_before, row.dead_letter_before) for row in rows} == {(*before.values(),)}
    late = run_node(NODE, [Tick(10, 0, NOW), asked, a_reading(seq=40, temp_inlet=1.0, at=NOW - 4 * DAY_MS)])
    assert [row.reason for row in late.rows if isinstance(row, DeadLetter)] == ["older_than_retention"]


def test_what_is_younger_than_a_day_is_never_let_go(run_node):
    for before in (
        {"raw_before": NOW, "minute_before": 0, "dead_letter_before": 0},
        {"raw_before": -1, "minute_before": 0, "dead_letter_before": 0},
        {"raw_before": 1},
        {"raw_before": "x", "minute_before": 0, "dead_letter_before": 0},
    ):
        out = run_node(NODE, [Tick(1, 1, NOW), Command(2, "c1", "me", NOW, "retain", before), Tick(3, 2, NOW)])
        assert [row.outcome for row in out.rows] == ["refused"]
