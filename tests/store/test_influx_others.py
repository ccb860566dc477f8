"""InfluxDB's own ways: buckets that another program filled, and programs that read ours."""

import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from flows.model.rows import Forget
from flows.model.times import iso
from flows.queries.fields import asked_fields
from flows.queries.series import plan, series
from flows.store.influx.answers import times_ms
from flows.store.influx.rowreading import read_rollups
from flows.store.influx.server import InfluxServer
from flows.store.protocol import Columns, StoredReading, StoreStats

from .conftest import FOREVER, HOUR, MINUTE, NOW, SECOND, Influx, minute, raw

OF_A_DASHBOARD = """
from(bucket: "BUCKET")
  |> range(start: -24h)
  |> filter(fn: (r) => r._measurement == "sensor_reading" and r.device_id == "site1" and r._field == "temp_inlet")
"""


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Influx]:
    """An empty store."""
    with closing(Influx(tmp_path)) as new:
        yield new


def of_others(store: Influx, *lines: str) -> None:
    """Write lines of another program."""
    with closing(InfluxServer(store.address)) as server:
        server.write(store.address.bucket, "\n".join(f"sensor_reading,{line}" for line in lines).encode())


def test_a_bucket_that_another_program_filled_is_read(store):
    of_others(
        store,
        f"device_id=site1,firmware_version=1.0 temp_inlet=40,fan_running=true {NOW}",
        f"device_id=site1,firmware_version=1.1 temp_inlet=41,temp_outlet=46 {NOW + SECOND}",
        f"device_id=site1 power=900 {NOW + SECOND}",
        f"device_id=site1,firmware_version=1.1 power=901 {NOW + 2 * SECOND}",
        f"device_id=site2 temp_inlet=20 {NOW + HOUR}",
    )
    reader = store.reader
    assert reader.readings("site1", 0, FOREVER, 10) == [
        StoredReading("site1", NOW + 2 * SECOND, NOW + 2 * SECOND, "device", {"power": 901.0}),
        StoredReading(
            "site1",
            NOW + SECOND,
            NOW + SECOND,
            "device",
            {"temp_inlet": 41.0, "temp_outlet": 46.0, "power": 900.0, "delta_t": 5.0},
        ),
        StoredReading("site1", NOW, NOW, "device", {"temp_inlet": 40.0, "fan_running": True}),
    ]
    assert [row.at for row in reader.readings("site1", 0, FOREVER, 1)] == [NOW + 2 * SECOND]
    assert [row.at for row in reader.readings("site1", 0, FOREVER, 1, newest_first=False)] == [NOW]
    times = [NOW, NOW + SECOND, NOW + 2 * SECOND]
    columns = reader.raw_columns("site1", 0, FOREVER, ["power", "fan_running"], 10)
    assert columns == Columns(times, {"power": [None, 900.0, 901.0], "fan_running": [True, None, None]})
    assert reader.raw_columns("site1", 0, FOREVER, [], 2).time == times[:2]
    assert reader.raw_columns("site1", 0, FOREVER, ["temp_dhw"], 10) == Columns(times, {"temp_dhw": [None] * 3})
    assert [device.device_id for device in reader.devices()] == ["site1", "site2"]
    assert reader.device("site1").latest == {
        "temp_inlet": (NOW + SECOND, 41.0),
        "temp_outlet": (NOW + SECOND, 46.0),
        "power": (NOW + 2 * SECOND, 901.0),
        "fan_running": (NOW, True),
    }
    assert reader.device("site2").device_id == "site2"
    assert reader.device("site3") is None
    assert reader.stats() == StoreStats(4, 0, NOW, NOW + HOUR)


def test_a_series_of_another_programs_readings_has_all_that_a_device_sent(store):
    times = [NOW + n * 10 * SECOND for n in range(5)]
    of_others(
        store,
        *(f"device_id=site1,firmware_version=1 power={n},fan_running=true {at}" for n, at in enumerate(times)),
    )
    device = store.reader.device("site1")
    span = plan(store.reader, device, asked_fields(None, device), NOW, NOW + MINUTE, None, 2_000, ZoneInfo("UTC"))
    answer = series(store.reader, span, 2_000, NOW + MINUTE)
    assert (answer.resolution, answer.time) == ("raw", [iso(at) for at in times])
    assert answer.values == {"power": [0.0, 1.0, 2.0, 3.0, 4.0], "fan_running": [True] * 5}


def test_rows_of_our_own_go_on_where_another_program_ended(store):
    of_others(store, *(f"device_id=site1,firmware_version=1 power={n},voltage=230 {NOW + n}" for n in range(5)))
    store.reopen()
    store.apply(*[raw(NOW + 5 + n, n + 1, current=float(n)) for n in range(5)])
    reader, times = store.reader, [NOW + n for n in range(10)]
    assert reader.raw_columns("site1", 0, FOREVER, ["power"], 20) == Columns(
        times, {"power": [0.0, 1.0, 2.0, 3.0, 4.0, *[None] * 5]}
    )
    assert reader.raw_columns("site1", 0, FOREVER, ["current"], 6) == Columns(
        times[:6], {"current": [*[None] * 5, 0.0]}
    )
    assert reader.raw_columns("site1", 0, FOREVER, [], 20).time == times
    assert [row.at for row in reader.readings("site1", 0, FOREVER, 7)] == times[:2:-1]
    assert reader.stats() == StoreStats(10, 0, NOW, NOW + 9)


def test_points_of_another_program_count_after_every_start_and_so_does_a_device_that_it_wrote_of_since(store):
    of_others(store, *(f"device_id=site1 power={n} {NOW + n}" for n in range(5)))
    store.apply(raw(NOW + 5, 1, current=1.0), raw(NOW, 2, "site2", current=1.0))
    of_others(store, f"device_id=site3 power=1 {NOW - 1}", f"device_id=site3 power=2 {NOW + 9}")
    for order in (3, 4):
        store.reopen()
        store.apply(raw(NOW + 5 + order, order, current=1.0))
        assert store.reader.stats() == StoreStats(7 + order, 0, NOW - 1, NOW + 9)
    store.apply(Forget("site1", 5), Forget("site3", 6))
    store.reopen()
    store.apply(raw(NOW + 1, 7, "site2", current=1.0))
    assert store.reader.stats() == StoreStats(2, 0, NOW, NOW + 1)


def test_a_start_asks_for_all_fields_of_other_programs_devices_alone(store, monkeypatch):
    of_others(store, f"device_id=site1 power=1 {NOW}")
    store.apply(raw(NOW + 1, 1, "site2", power=1.0))
    asked: list[str] = []
    stream = InfluxServer.stream
    monkeypatch.setattr(
        InfluxServer, "stream", lambda server, flux, **bound: asked.append(flux) or stream(server, flux, **bound)
    )
    store.reopen()
    store.apply(raw(NOW + 2, 2, "site2", power=1.0))
    wide = [flux for flux in asked if "first()" in flux and "_field" not in flux.partition("keep")[0]]
    assert wide and all("== p_device0)" in flux for flux in wide)


def test_what_a_dashboard_asks_of_our_bucket_is_answered_as_ever(store):
    now = time.time_ns() // 1_000_000
    times = [now - n * MINUTE for n in range(1, 6)][::-1]
    store.apply(*[raw(at, n + 1, temp_inlet=40.5 + n, fan_running=True) for n, at in enumerate(times)])
    store.apply(raw(times[0], 9, device_id="site2", temp_inlet=1.0), raw(now - 25 * HOUR, 10, temp_inlet=2.0))
    with closing(InfluxServer(store.address)) as server:
        (block,) = server.ask(OF_A_DASHBOARD.replace("BUCKET", store.address.bucket))
        assert times_ms(block.column("_time")).tolist() == times
        assert block.column("_value") == ["40.5", "41.5", "42.5", "43.5", "44.5"]
        assert set(block.names) - {"", "result", "table"} == {
            "_start", "_stop", "_time", "_value", "_field", "_measurement", "device_id",
        }  # fmt: skip
        of_field = ' and r._field == "temp_inlet"'
        pivot = '  |> pivot(rowKey: ["_time"], columnKey: ["_field"], valueColumn: "_value")'
        all_fields = OF_A_DASHBOARD.replace("BUCKET", store.address.bucket).replace(of_field, "") + pivot
        (block,) = server.ask(all_fields)
        assert block.column("temp_inlet") == ["40.5", "41.5", "42.5", "43.5", "44.5"]
        assert block.column("fan_running") == ["true"] * 5


@pytest.mark.parametrize("others", [0, 40])
def test_few_of_many_rows_are_found_wherever_they_lie(store, others):
    """Rows of a long span are counted first, those of another program not: none is missed for that."""
    at = [NOW + n * 10 * SECOND for n in range(300)]
    at += [NOW + 40 * HOUR + n * 10 * SECOND for n in range(300)] + [NOW + 90 * HOUR]
    of_others(store, *(f"device_id=site1 power={n} {at[n]}" for n in range(others)))
    store.reopen()
    store.apply(*[raw(at[n], n + 1, power=float(n)) for n in range(others, len(at))])
    reader = store.reader
    for start, end in ((0, FOREVER), (NOW - HOUR, NOW + 200 * HOUR)):
        for limit in (1, 2, 5, 299, 302, 600, 700):
            newest = reader.readings("site1", start, end, limit)
            assert [row.values["power"] for row in newest] == [*range(len(at))][::-1][:limit]
            oldest = reader.readings("site1", start, end, limit, newest_first=False)
            assert [row.at for row in oldest] == at[:limit]
            assert reader.raw_columns("site1", start, end, ["voltage"], limit).time == at[:limit]
    within = at[150], at[450]
    assert [row.at for row in reader.readings("site1", *within, 7)] == at[449:442:-1]
    assert reader.raw_columns("site1", *within, [], 7).time == at[150:157]


def test_rows_of_many_devices_are_told_apart_whatever_they_are_called(store):
    names = ["site1", "", "a b,c=d", "%", "sitë"]
    store.apply(*[minute(NOW + n * MINUTE, n + 1, name, power_mean=float(n)) for n, name in enumerate(names)])
    with closing(InfluxServer(store.address)) as server:
        found = read_rollups(server, "1m", [*names, "nobody"], 0, FOREVER)
    assert {name: table.start.tolist() for name, table in found.items()} == {
        name: [NOW + n * MINUTE] for n, name in enumerate(names)
    }


def test_a_text_that_another_program_stored_under_a_quantity_s_name_is_no_value(store):
    of_others(store, f'device_id=site1 power="much",temp_inlet=40 {NOW}')
    [found] = store.reader.readings("site1", 0, FOREVER, 10)
    assert found.values == {"temp_inlet": 40.0}
