"""Raw rows: merged by field, newest message first served, duplicates without effect."""

import msgspec
import pytest

from flows.errors import RowRefused
from flows.model.device import DEFAULT_METADATA, DeviceMetadata
from flows.model.quantities import FLAGS, QUANTITIES
from flows.model.rows import DeviceRow
from flows.physics.derive import derived_values
from flows.store.protocol import Columns, StoredReading, StoreStats

from .conftest import FOREVER, NOW, SECOND, outcome, raw

HOSTILE = [
    "a'; DROP TABLE raw; --",
    'x" OR "1"="1',
    "%_*",
    "\x00",
    "ünïcode ☃",
    "r,site=1 x=1",
    "../../etc/passwd",
    "",
]


def test_a_reading_comes_back_as_it_was_written(store):
    values = {"temp_inlet": 45.2, "voltage": 230.0, "compressor_running": True, "fan_running": False}
    store.apply(raw(NOW, 1, clock="boot", **values))
    assert store.reader.readings("site1", NOW, NOW + 1, 10) == [
        StoredReading("site1", NOW, NOW + 5, "boot", values)
    ]
    [found] = store.reader.readings("site1", NOW, NOW + 1, 10)
    assert [type(value) for value in found.values.values()] == [float, float, bool, bool]


def test_every_quantity_of_a_payload_can_be_stored_and_what_derives_from_it_is_read(store):
    sent = {q.name: (q.name in FLAGS) if q.kind == "flag" else 1.25 for q in QUANTITIES if q.origin == "payload"}
    history = [DeviceMetadata(refrigerant="R290", valid_from=NOW)]
    store.apply(raw(NOW - 1, 1, **sent), raw(NOW, 2, **sent), DeviceRow("site1", 1, metadata=history))
    expected = [sent | derived_values(sent, metadata) for metadata in (*history, DEFAULT_METADATA)]
    assert [row.values for row in store.reader.readings("site1", 0, FOREVER, 2)] == expected
    assert expected[0].keys() - expected[1].keys() >= {"t_sat_low", "condenser_approach"}
    found = store.reader.raw_columns("site1", 0, FOREVER, ["t_sat_low", "power", "delta_t"], 2).values
    assert found == {"t_sat_low": [None, expected[0]["t_sat_low"]], "power": [1.25, 1.25], "delta_t": [0.0, 0.0]}


def test_what_a_batch_gives_back_is_how_many_of_its_readings_said_nothing_new(store):
    batch = [raw(NOW + n, n + 1, voltage=200.0 + n) for n in range(5)]
    assert store.apply(*batch, batch[0]) == 1
    assert store.apply(*batch) == 5
    news = [
        raw(NOW, 9, voltage=200.0),
        raw(NOW, 10, voltage=201.0),
        raw(NOW, 11, power=1.0),
        raw(NOW + 9, 12, power=1.0),
    ]
    assert store.apply(*news) == 1


def test_a_quantity_that_comes_later_is_absent_from_earlier_rows(store):
    store.apply(raw(NOW, 1, voltage=230.0))
    store.apply(raw(NOW + 1, 2, temp_dhw=50.0))
    newest, oldest = store.reader.readings("site1", NOW, FOREVER, 10)
    assert (newest.values, oldest.values) == ({"temp_dhw": 50.0}, {"voltage": 230.0})


@pytest.mark.parametrize("together", [True, False])
def test_two_readings_of_one_time_merge_field_by_field_and_the_later_arrival_wins(store, together):
    first, second = raw(NOW, 1, voltage=230.0, power=900.0), raw(NOW, 2, voltage=231.0, current=4.0)
    for batch in [[first, second]] if together else [[first], [second]]:
        store.apply(*batch)
    assert [r.values for r in store.reader.readings("site1", NOW, FOREVER, 10)] == [
        {"voltage": 231.0, "power": 900.0, "current": 4.0}
    ]


def test_an_older_message_changes_nothing_of_a_newer_row(store):
    store.apply(raw(NOW, 5, voltage=231.0))
    store.apply(raw(NOW, 4, voltage=230.0, power=900.0))
    assert store.reader.readings("site1", NOW, FOREVER, 10)[0].values == {"voltage": 231.0}


def test_a_replayed_batch_changes_nothing(store):
    batch = [raw(NOW + n % 7, n, voltage=200.0 + n) for n in range(20)]
    store.apply(*batch)
    before = store.content()
    store.apply(*batch)
    store.apply(*batch[:5])
    assert store.content() == before
    assert store.reader.stats().total_readings == 7


def test_a_span_has_its_start_and_not_its_end(store):
    store.apply(*[raw(NOW + n, n + 1, voltage=float(n)) for n in range(5)])
    assert [r.at - NOW for r in store.reader.readings("site1", NOW + 1, NOW + 3, 10)] == [2, 1]


def test_readings_come_in_either_direction_and_no_more_than_asked(store):
    store.apply(*[raw(NOW + n, n + 1, voltage=float(n)) for n in range(5)])
    assert [r.at - NOW for r in store.reader.readings("site1", 0, FOREVER, 2)] == [4, 3]
    assert [r.at - NOW for r in store.reader.readings("site1", 0, FOREVER, 2, newest_first=False)] == [0, 1]


def test_pages_that_start_behind_the_last_row_give_every_row_once(store):
    store.apply(*[raw(NOW + 3 * n, n + 1, voltage=float(n)) for n in range(25)])
    found, start = [], NOW
    while page := store.reader.readings("site1", start, FOREVER, 4, newest_first=False):
        found += [row.at for row in page]
        start = page[-1].at + 1
    assert found == [NOW + 3 * n for n in range(25)]


@pytest.mark.parametrize(("start", "end"), [(-(10**18), 10**18), (0, 2**62), (-1, FOREVER)])
def test_no_span_reaches_into_another_devices_rows(store, start, end):
    store.apply(*[raw(NOW, n, device_id=f"site{n}", voltage=float(n)) for n in range(1, 4)])
    assert [r.values for r in store.reader.readings("site2", start, end, 10)] == [{"voltage": 2.0}]
    assert store.reader.raw_columns("site2", start, end, ["voltage"], 10).values == {"voltage": [2.0]}


def test_columns_are_oldest_first_with_none_where_a_row_has_no_value(store):
    store.apply(raw(NOW + 1, 2, voltage=230.0, fan_running=True), raw(NOW, 1, power=900.0))
    found = store.reader.raw_columns("site1", NOW, FOREVER, ["voltage", "fan_running", "temp_dhw"], 10)
    assert found == Columns(
        [NOW, NOW + 1], {"voltage": [None, 230.0], "fan_running": [None, True], "temp_dhw": [None, None]}
    )
    assert found.values["fan_running"][1] is True
    assert store.reader.raw_columns("site1", NOW, FOREVER, ["power"], 1) == Columns([NOW], {"power": [900.0]})


def test_a_device_without_rows_has_empty_columns(store):
    assert store.reader.raw_columns("nobody", 0, FOREVER, ["voltage"], 10) == Columns([], {"voltage": []})
    assert store.reader.readings("nobody", 0, FOREVER, 10) == []


@pytest.mark.parametrize("device_id", HOSTILE)
def test_any_text_is_a_name_and_never_a_query(store, device_id):
    store.apply(raw(NOW, 1, voltage=1.0), raw(NOW, 2, device_id=device_id, voltage=2.0), outcome(device_id, 3))
    assert [r.values["voltage"] for r in store.reader.readings(device_id, 0, FOREVER, 10)] == [2.0]
    assert store.reader.device(device_id).device_id == device_id
    assert store.reader.command(device_id).id == device_id
    assert store.reader.alert(device_id) is None
    assert store.reader.raw_columns("site1", 0, FOREVER, [device_id], 10).values == {device_id: [None]}
    assert store.reader.stats().total_readings == 2


@pytest.mark.parametrize(
    "culprit",
    [
        raw(-1, 2, voltage=1.0),
        raw(10**15, 2, voltage=1.0),
        raw(NOW, 2**70, voltage=1.0),
        raw(NOW, 2, device_id="\ud800", voltage=1.0),
    ],
    ids=["before 1970", "after 2248", "order beyond 64 bits", "half a character"],
)
def test_a_row_that_can_never_be_stored_is_refused_and_nothing_of_its_batch_is_written(store, culprit):
    store.apply(raw(NOW, 1, voltage=230.0))
    before = store.content()
    with pytest.raises(RowRefused):
        store.apply(raw(NOW + 1, 2, temp_dhw=50.0, device_id="site2"), culprit)
    assert store.content() == before
    store.apply(raw(NOW + 1, 2, temp_dhw=50.0, device_id="site2"))
    assert store.reader.readings("site2", 0, FOREVER, 1)[0].values == {"temp_dhw": 50.0}


def test_an_empty_store_counts_nothing_and_any_other_counts_exactly(store):
    assert store.reader.stats() == StoreStats(0, 0, None, None)
    store.apply(*[raw(NOW + n * SECOND, n + 1, device_id=f"site{n % 3}", voltage=1.0) for n in range(30)])
    store.apply(raw(NOW, 99, device_id="site0", voltage=2.0), raw(NOW - 7, 100, device_id="site4", voltage=2.0))
    assert store.reader.stats() == StoreStats(31, 0, NOW - 7, NOW + 29 * SECOND)


def test_what_was_written_is_there_after_reopening(store):
    store.apply(raw(NOW, 1, voltage=230.0))
    store.reopen()
    store.apply(raw(NOW, 2, current=4.0), raw(NOW + 1, 3, voltage=229.0))
    assert [r.values for r in store.reader.readings("site1", 0, FOREVER, 10, newest_first=False)] == [
        {"voltage": 230.0, "current": 4.0},
        {"voltage": 229.0},
    ]


def test_an_empty_batch_is_no_mistake(store):
    store.apply()
    assert store.reader.devices() == []


def test_of_two_readings_of_one_time_the_derived_values_follow_from_both(store):
    first = {"temp_inlet": 45.0, "temp_outlet": 50.0, "delta_t": 5.0, "power": 500.0}
    second = {"temp_inlet": 40.0, "phase1_power": 100.0, "power": 100.0}
    store.apply(raw(NOW, 1, **first))
    store.apply(msgspec.structs.replace(raw(NOW, 2, **second), summed=("power",)))
    (row,) = store.reader.readings("site1", 0, NOW + 1, 10)
    assert row.values == {
        "temp_inlet": 40.0, "temp_outlet": 50.0, "delta_t": 10.0, "phase1_power": 100.0, "power": 500.0,
    }  # fmt: skip


def test_an_identical_reading_changes_nothing_not_even_when_it_arrived(store):
    store.apply(raw(NOW, 1, power=1.0))
    before = store.reader.readings("site1", 0, NOW + 1, 10)
    store.apply(msgspec.structs.replace(raw(NOW, 2, power=1.0), arrived=NOW + 99))
    assert store.reader.readings("site1", 0, NOW + 1, 10) == before
