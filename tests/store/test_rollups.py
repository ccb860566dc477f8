"""Rollup rows: whole rows by order, columns, hours and days composed of finer rows."""

import pytest

from flows.model.quantities import ENERGY_COLUMNS, QUANTITIES, rollup_columns
from flows.model.rollup import Compose, RollupRow
from flows.store.protocol import Columns
from tests.folding import compose

from .conftest import DAY, FOREVER, HOUR, MINUTE, NOW, minute, raw


def test_a_rollup_comes_back_as_it_was_written(store):
    names = [*(column for q in QUANTITIES for column in rollup_columns(q)), *ENERGY_COLUMNS]
    values = {name: n / 7 for n, name in enumerate(names)}
    rows = [
        RollupRow("site1", resolution, NOW, 3, 60, values, source)
        for resolution, source in [("1m", "measured"), ("1h", "counter"), ("1d", "")]
    ]
    store.apply(*rows)
    assert [store.reader.rollups("site1", row.resolution, NOW, NOW + 1, 10) for row in rows] == [[r] for r in rows]


def test_a_newer_row_replaces_the_whole_older_one(store):
    store.apply(minute(NOW, 1, heat="measured", voltage_mean=230.0, power_mean=900.0))
    store.apply(minute(NOW, 2, voltage_mean=231.0))
    [found] = store.reader.rollups("site1", "1m", NOW, FOREVER, 10)
    assert (found.values, found.heat_source, found.order) == ({"voltage_mean": 231.0}, "", 2)


@pytest.mark.parametrize("together", [True, False])
def test_an_older_row_changes_nothing(store, together):
    rows = [minute(NOW, 2, voltage_mean=231.0), minute(NOW, 1, power_mean=900.0)]
    for batch in [rows] if together else [[row] for row in rows]:
        store.apply(*batch)
    assert store.reader.rollups("site1", "1m", NOW, FOREVER, 10) == [rows[0]]


def test_rows_are_oldest_first_and_no_more_than_asked(store):
    store.apply(*[minute(NOW + n * MINUTE, 1, voltage_mean=float(n)) for n in reversed(range(5))])
    found = store.reader.rollups("site1", "1m", NOW + MINUTE, NOW + 4 * MINUTE, 2)
    assert [row.start - NOW for row in found] == [MINUTE, 2 * MINUTE]


def test_columns_of_rollups_have_counts_and_the_source_of_heat(store):
    store.apply(
        minute(NOW, 1, heat="estimated", heat_kwh_space=0.1),
        minute(NOW + MINUTE, 1, voltage_mean=230.0),
        minute(NOW, 1, device_id="site2", voltage_mean=1.0),
    )
    wanted = ["heat_kwh_space", "voltage_mean", "count", "heat_source", "temp_dhw_mean"]
    assert store.reader.rollup_columns("site1", "1m", NOW, FOREVER, wanted, 10) == Columns(
        [NOW, NOW + MINUTE],
        {
            "heat_kwh_space": [0.1, None],
            "voltage_mean": [None, 230.0],
            "count": [6, 6],
            "heat_source": [2, None],
            "temp_dhw_mean": [None, None],
        },
    )


def test_an_hour_is_composed_of_its_minutes_and_a_day_of_its_hours(store):
    minutes = [
        minute(NOW + n * MINUTE, 1, heat="measured", voltage_mean=230.0 + n, voltage_min=200.0 + n,
               voltage_max=250.0 + n, voltage_coverage=0.5, heat_kwh_space=n / 10, seconds_space=60.0)
        for n in range(120)
    ]  # fmt: skip
    store.apply(
        *minutes,
        Compose("site1", 7, "1d", NOW),
        Compose("site1", 5, "1h", NOW),
        Compose("site1", 6, "1h", NOW + HOUR),
    )
    hours = [compose(minutes[:60], "1h", NOW, 5), compose(minutes[60:], "1h", NOW + HOUR, 6)]
    assert store.reader.rollups("site1", "1h", NOW, FOREVER, 10) == hours
    assert store.reader.rollups("site1", "1d", NOW, FOREVER, 10) == [compose(hours, "1d", NOW, 7)]


def test_a_bucket_with_nothing_in_it_gets_no_row(store):
    store.apply(
        minute(NOW, 1, seconds_space=60.0), Compose("site1", 2, "1h", NOW + HOUR), Compose("nobody", 2, "1h", NOW)
    )
    assert store.reader.rollups("site1", "1h", 0, FOREVER, 10) == []
    assert [device.device_id for device in store.reader.devices()] == ["site1"]


def test_a_replayed_composition_changes_nothing(store):
    first = [
        minute(NOW + n * MINUTE, 1, voltage_mean=230.0, voltage_coverage=1.0, voltage_min=1.0, voltage_max=2.0)
        for n in range(60)
    ]
    batch = [*first, Compose("site1", 2, "1h", NOW), Compose("site1", 2, "1d", NOW)]
    store.apply(*batch)
    before = store.content()
    store.apply(*batch)
    assert store.content() == before
    assert store.reader.rollups("site1", "1d", NOW, NOW + DAY, 1)[0].count == 360


def test_a_day_that_closes_and_heals_in_one_batch_has_all_its_hours(store):
    from flows.model.rollup import Compose, Refold

    day, hour = 86_400_000, 3_600_000
    start = NOW // day * day
    rows = [raw(start + n * 600_000, n + 1, power=float(n)) for n in range(145)]
    store.apply(*rows[:-6], Refold("site1", 1000, start, start + 23 * hour, start + 23 * hour))
    minutes = Refold("site1", 2000, start + 23 * hour, start + day, start + day)
    heal = Refold("site1", 3000, start, start + hour, start + day)
    store.apply(
        *rows[-6:],
        minutes,
        Compose("site1", 1999, "1h", start + 23 * hour),
        Compose("site1", 1999, "1d", start),
        heal,
    )
    (whole,) = store.reader.rollups("site1", "1d", start, start + day, 10)
    hours = store.reader.rollups("site1", "1h", start, start + day, 100)
    assert len(hours) == 24 and whole.count == sum(row.count for row in hours) == 144
