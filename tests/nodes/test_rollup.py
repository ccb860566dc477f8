"""rollup: closed minutes in order, dirty ranges for what is not. That they heal: tests/pipeline/test_healing.py."""

import msgspec

from flows.model.device import DeviceMetadata, Forgotten, MetadataChanged
from flows.model.frame import Tick
from flows.model.reading import ORDER_STEP
from flows.model.rollup import ClosedMinutes, Compose, Refold, RollupRow
from flows.model.rows import LatestRow
from flows.nodes.rollup import NODE
from tests.folding import closed_rows

HOUR = 3_600_000
START = 1_770_000_000_000 // HOUR * HOUR


def run(run_node, a_reading, events, **options):
    """events: (seconds after START, fields) of readings, or a tick's number."""
    items = []
    for seq, event in enumerate(events, 1):
        if isinstance(event, tuple):
            items.append(a_reading(seq=seq, at=START + int(event[0] * 1000), **event[1]))
        elif isinstance(event, int):
            items.append(Tick(seq, event, START))
        else:
            items.append(event)
    return run_node(NODE, items, **options)


def of(kind, rows):
    """Items of a kind; rollup rows out of their blocks."""
    if kind is RollupRow:
        return [row for block in rows if isinstance(block, ClosedMinutes) for row in closed_rows(block)]
    return [row for row in rows if isinstance(row, kind)]


def test_a_minute_closes_with_the_first_reading_after_it(run_node, a_reading):
    out = run(run_node, a_reading, [(0, {"power": 100.0}), (30, {"power": 200.0}), (60, {"power": 0.0})])
    (row,) = of(RollupRow, out.rows)
    assert (row.resolution, row.start, row.count, row.order) == ("1m", START, 2, 3 * ORDER_STEP)
    assert row.values["power_mean"] == 150.0 and row.values["power_coverage"] == 1.0


def test_a_gap_gives_no_rows_beyond_what_is_held(run_node, a_reading):
    out = run(run_node, a_reading, [(0, {"power": 100.0}), (7200, {"power": 0.0})])
    assert [row.start - START for row in of(RollupRow, out.rows)] == [minute * 60_000 for minute in range(15)]


def test_hours_and_days_are_composed_when_they_close_the_held_one_after_too(run_node, a_reading):
    out = run(run_node, a_reading, [(0, {"power": 1.0}), (3590, {"power": 1.0}), (4 * 3600, {"power": 1.0})])
    assert [(row.resolution, row.start - START) for row in of(Compose, out.rows)] == [("1h", 0), ("1h", HOUR)]


def test_a_late_reading_dirties_what_it_can_change_and_the_open_minute_is_refolded_once_closed(
    run_node, a_reading
):
    events = [(0, {"power": 1.0}), (3000, {"power": 1.0}), (1500, {"power": 9.0}), 1, (3060, {"power": 1.0}), 2]
    refolds = of(Refold, run(run_node, a_reading, events, restart_every=1).rows)
    assert [((r.start - START) // 60_000, (r.end - START) // 60_000) for r in refolds] == [(10, 41)]
    events = [(0, {"power": 1.0}), (100, {"power": 1.0}), (90, {"power": 9.0}), 1, (130, {"power": 1.0}), 2]
    out = run(run_node, a_reading, events, restart_every=1)
    spans = [((r.start - START) // 60_000, (r.end - START) // 60_000) for r in of(Refold, out.rows)]
    assert spans == [(-14, 1), (1, 2)]
    assert [row.start - START for row in of(RollupRow, out.rows)] == [0]


def test_an_exact_repetition_of_the_newest_reading_changes_nothing(run_node, a_reading):
    out = run(run_node, a_reading, [(0, {"power": 1.0}), (0, {"power": 1.0}), 1, 2])
    assert of(Refold, out.rows) == [] and out.counts == {"repeated": 1}


def test_refolds_are_bounded_a_tick_and_the_rest_waits(run_node, a_reading):
    events = [
        (0, {"power": 1.0}),
        *((n * 700, {"power": 1.0}) for n in range(1, 20)),
        (6000, {"power": 2.0}),
        1,
        2,
        3,
    ]
    out = run(run_node, a_reading, events, restart_every=2, minutes_a_tick=20)
    minutes = [(r.end - r.start) // 60_000 for r in of(Refold, out.rows)]
    assert minutes == [20, 11] and out.logic.sizes()["dirty"] == 0


def test_the_newest_value_of_every_quantity_is_handed_on_at_most_once_a_tick(run_node, a_reading):
    events = [(0, {"power": 1.0}), (10, {"voltage": 230.0}), (5, {"power": 2.0}), 1, 2]
    first, second = of(LatestRow, run(run_node, a_reading, events).rows)
    assert first.values == {"power": (START, 1.0)}
    assert second.values == {"power": (START + 5000, 2.0), "voltage": (START + 10_000, 230.0)}


def test_a_correction_of_metadata_recomputes_from_its_beginning(run_node, a_reading):
    change = MetadataChanged("site1", 9, [DeviceMetadata(glycol_percent=20)], START + 600_000)
    events = [
        (0, {"power": 1.0}),
        (1200, {"power": 1.0}),
        change,
        1,
        (1270, {"power": 1.0}),
        2,
        (2220, {"power": 1.0}),
    ]
    out = run(run_node, a_reading, [*events, 3])
    assert [((r.start - START) // 60_000, (r.end - START) // 60_000) for r in of(Refold, out.rows)] == [
        (10, 21),
        (20, 21),
        (21, 35),  # as long as values derived before are held
    ]
    assert [(row.start - START) // 60_000 for row in of(RollupRow, out.rows)] == [*range(15), 35, 36]


def test_a_forgotten_device_leaves_nothing_dirty(run_node, a_reading):
    events = [(0, {"power": 1.0}), (3000, {"power": 1.0}), (1500, {"power": 9.0}), Forgotten("site1", 5), 1]
    out = run(run_node, a_reading, events)
    assert of(Refold, out.rows) == [] and out.logic.sizes() == {"devices": 0, "dirty": 0}


def test_a_snapshot_that_had_sums_goes_on_and_refolds_the_minute_that_was_open(run_node, a_reading):
    old = {
        "fold": {
            "held": {"power": (START + 70_000, 200.0), "fan_running": (START + 10_000, True)},
            "at": START + 70_000,
            "minute": START + 60_000,
            "count": 1,
            "numbers": {"power": [2_000_000.0, 10_000.0, 100.0, 200.0]},
            "flags": {},
            "energy": {},
            "heat": -1,
        },
        "dirty": [{"start": START - 120_000, "end": START - 60_000, "rederive": False}],
        "spoilt": 0,
        "metadata": [],
        "order": 7,
        "since": START,
    }
    encode = msgspec.msgpack.encode
    logic = NODE.recover(
        NODE.Params(), (1, encode({"dirty": {"site1": None}, "spoke": {}}), {"site1": encode(old)})
    )
    out = {port: [] for port in NODE.out}
    logic.on_items([a_reading(seq=9, at=START + 130_000, power=300.0)], out)
    logic.on_items([Tick(10, 1, START), a_reading(seq=11, at=START + 190_000, power=0.0)], out)
    refolds = [(refold.start - START, refold.end - START) for refold in of(Refold, out["rows"])]
    assert refolds == [(-120_000, -60_000), (60_000, 120_000)]
    (row,) = of(RollupRow, out["rows"])
    assert (row.start, row.values["power_mean"]) == (START + 120_000, (200.0 * 10 + 300.0 * 50) / 60)
    assert row.values["fan_running_share"] == 1.0
    assert of(LatestRow, out["rows"])[-1].values["power"] == (START + 130_000, 300.0)
