"""What is large or far apart in the server store: long texts, thousands of changes, rows of other days."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
from influxdb_client.domain.bucket_retention_rules import BucketRetentionRules

from flows.errors import RetryableStoreError, RowRefused
from flows.model.alert import Transition
from flows.model.device import DeviceMetadata
from flows.model.episode import Episode
from flows.model.rollup import Refold
from flows.model.rows import DeviceRow, LatestRow, Retain
from flows.physics.derive import derived_values
from flows.store.influx.names import quoted
from flows.store.influx.server import InfluxServer
from flows.store.retracing import body_of
from tests.folding import block_of

from .conftest import DAY, FOREVER, HOUR, MINUTE, NOW, Influx, StoreUnderTest, minute, raw, transition


@pytest.fixture
def influx(tmp_path: Path) -> Iterator[Influx]:
    """An empty server store."""
    with closing(Influx(tmp_path)) as new:
        yield new


def keep(influx: Influx, bucket: str, days: int) -> None:
    """Have a bucket keep its points no longer."""
    with closing(InfluxServer(influx.address)) as server:
        api = server.client.buckets_api()
        found = api.find_bucket_by_name(bucket)
        found.retention_rules = [BucketRetentionRules(type="expire", every_seconds=days * DAY // 1000)]
        api.update_bucket(found)


def test_minutes_between_others_that_lose_columns_stay(store: StoreUnderTest):
    ends = [NOW, NOW + 30 * HOUR]
    between = [minute(NOW + hour * HOUR, 1, voltage_mean=1.0) for hour in range(1, 30)]
    store.apply(*between, *[minute(at, 1, voltage_mean=1.0, power_mean=2.0) for at in ends])
    newer = [minute(at, 2, voltage_mean=3.0) for at in ends]
    store.apply(block_of(newer))
    assert store.reader.rollups("site1", "1m", 0, FOREVER, 99) == [newer[0], *between, newer[1]]


def test_a_device_with_a_long_history_can_be_read_and_written(store: StoreUnderTest):
    history = [DeviceMetadata(valid_from=n, name="n" * 60_000) for n in range(4)]
    store.apply(DeviceRow("site1", 1, metadata=history))
    store.reopen()
    store.apply(DeviceRow("site1", 2, online=True))
    found = store.reader.device("site1")
    assert found is not None
    assert (found.online, found.metadata) == (True, history)


def swinging(count: int) -> list[Transition]:
    """An alert that is warning and critical in turn."""
    words = [("eased", "warning"), ("escalated", "critical")]
    changes = [transition("raised", 1)]
    for n in range(1, count):
        state, level = words[n % 2]
        changes.append(transition(state, n + 1, at=NOW + n * MINUTE, level=level, message="m" * 400))
    return changes


def test_an_alert_that_swings_for_weeks_is_open_until_it_clears(store: StoreUnderTest):
    changes = swinging(3_000)
    acknowledged = transition("acknowledged", 3, at=NOW + 2 * MINUTE, by="ada")
    changes[2] = acknowledged
    for first in range(0, len(changes), 500):
        store.apply(*changes[first : first + 500])
    store.reopen()
    store.apply(changes[1], changes[-1])  # taken again
    for span in ((NOW, NOW + 1), (NOW + 100 * MINUTE, NOW + 101 * MINUTE), (NOW + 2_999 * MINUTE, FOREVER)):
        [found] = store.reader.alerts(None, *span, 9, open_only=True)
        assert (found.last, found.acknowledged_by) == (changes[-1], "ada")
    assert store.reader.alerts(None, NOW + 1, NOW + MINUTE, 9, open_only=True) == []
    cleared = transition("cleared", 9_000, at=NOW + 3_000 * MINUTE)
    store.apply(cleared)
    assert store.reader.alerts(None, 0, FOREVER, 9, open_only=True) == []
    found = store.reader.alert("site1/current/1")
    assert found is not None
    assert (found.last, found.acknowledged_by) == (cleared, "ada")
    assert store.reader.stats().total_alerts == 1
    kept = [line for line in store.content() if line.startswith("alert_transition")]
    assert len(kept) == 3_001


def test_a_late_reading_joins_one_of_another_program_that_has_fields_of_its_own(influx: Influx):
    with closing(InfluxServer(influx.address)) as server:
        theirs = f'sensor_reading,device_id=site1 temp_inlet=40,firmware="2.1.0",rssi=-61,"note"="true" {NOW}'
        server.write(influx.address.bucket, theirs.encode())
    influx.apply(raw(NOW + MINUTE, 1, voltage=230.0), raw(NOW, 2, voltage=231.0))
    [found] = influx.reader.readings("site1", NOW, NOW + 1, 9)
    assert found.values == {"temp_inlet": 40.0, "voltage": 231.0}


def test_a_newest_value_that_is_no_number_is_refused_and_the_device_can_be_read(influx: Influx):
    influx.apply(LatestRow("site1", 1, {"power": (NOW, 1.0)}))
    with pytest.raises(RowRefused, match="not finite"):
        influx.apply(LatestRow("site1", 2, {"power": (NOW, float("inf"))}))
    influx.apply(LatestRow("site1", 3, {"voltage": (NOW, 230.0)}))
    assert [device.latest for device in influx.reader.devices()] == [{"voltage": (NOW, 230.0)}]


def test_half_a_character_is_refused_like_any_row_that_can_never_be_stored(store: StoreUnderTest):
    for row in (
        DeviceRow("site1", 1, attributes={"name": "\ud800"}),
        transition("raised", 2, message="\ud800"),
        raw(NOW, 3, "\ud800", voltage=1.0),
    ):
        with pytest.raises(RowRefused):
            store.apply(row)
    store.apply(raw(NOW, 4, voltage=1.0))
    assert store.reader.stats().total_readings == 1


def test_readings_that_the_server_is_about_to_let_go_are_folded_again(influx: Influx):
    sent = {"temp_inlet": 30.0, "temp_outlet": 35.0, "flow_rate": 12.0}
    rows = [raw(NOW + n * MINUTE, n + 1, **sent, **derived_values(sent, DeviceMetadata())) for n in range(5)]
    refold = Refold("site1", 10, NOW, NOW + 5 * MINUTE, NOW + 5 * MINUTE)
    influx.apply(*rows, refold)
    keep(influx, influx.address.bucket, 30)
    glycol = DeviceMetadata(glycol_percent=25.0)
    before = influx.reader.rollup_columns("site1", "1m", 0, FOREVER, ["heat_power_mean"], 9)
    influx.apply(DeviceRow("site1", 20, metadata=[glycol]), msgspec.structs.replace(refold, order=21))
    after = influx.reader.rollup_columns("site1", "1m", 0, FOREVER, ["heat_power_mean"], 9)
    assert after.time == before.time
    assert after.values != before.values


class Forgetful(InfluxServer):
    """Deletes, and its answer is lost."""

    def delete(self, bucket: str, predicate: str, start: int, end: int) -> None:
        super().delete(bucket, predicate, start, end)
        raise RetryableStoreError("gone")


def test_minutes_of_readings_let_go_are_not_folded_of_the_rest_whenever_the_flow_ended(influx: Influx):
    rows = [raw(NOW + n * MINUTE + 20_000, n + 1, power=float(n)) for n in range(180)]
    refold = Refold("site1", 500, NOW, NOW + 3 * HOUR, NOW + 3 * HOUR)
    influx.apply(*rows, refold)
    before = influx.reader.rollups("site1", "1m", 0, FOREVER, 999)
    assert len(before) > 170
    with closing(Forgetful(influx.address)) as server:
        influx.writer._catalog.server = server
        with pytest.raises(RetryableStoreError):
            influx.apply(Retain("site1", 600, NOW + 91 * MINUTE, 0, 0))
    influx.reopen()
    influx.apply(refold)  # taken again, before the Retain is
    assert influx.reader.rollups("site1", "1m", 0, FOREVER, 999) == before


def test_text_of_another_program_where_ours_are_numbers_is_left_out(influx: Influx):
    with closing(InfluxServer(influx.address)) as server:
        theirs = f'sensor_rollup,device_id=site1 power_mean="much" {NOW}'
        server.write(influx.address.rollups("1m"), theirs.encode())
    influx.apply(minute(NOW, 1, voltage_mean=230.0))
    assert influx.reader.rollups("site1", "1m", 0, FOREVER, 9) == [minute(NOW, 1, voltage_mean=230.0)]


def test_a_point_of_which_half_is_there_yet_is_none_yet(influx: Influx):
    body = quoted(body_of(Episode("cycle", NOW, NOW + MINUTE)))
    with closing(InfluxServer(influx.address)) as server:
        halves = [
            f"dead_letter_count,device_id=site1,reason=empty order=7 {NOW}",
            f"episode,device_id=site1,kind=cycle body={body} {NOW}",
        ]
        server.write(influx.address.meta, "\n".join(halves).encode())
    assert influx.reader.dead_letter_counts(None, 0, FOREVER) == []
    assert influx.reader.episodes("site1", ["cycle"], 0, FOREVER, 9) == []


def test_state_that_the_meta_bucket_is_too_short_for_is_not_lost_in_silence(influx: Influx):
    keep(influx, influx.address.meta, 30)
    with pytest.raises(RowRefused, match="outside retention"):
        influx.apply(DeviceRow("site1", 1, online=True))
