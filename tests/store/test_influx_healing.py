"""What other programs see in InfluxDB of what healed, and that it heals as the embedded store does."""

import random
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from flows.model.device import DeviceMetadata
from flows.model.episode import KINDS, TRACED, Episode, EpisodeRow, Retrace
from flows.model.rollup import Refold
from flows.model.rows import DeviceRow, RawRow, Retain
from flows.physics.derive import derived_values
from flows.store.influx.server import InfluxServer, moment

from .conftest import DAY, FOREVER, HOUR, MINUTE, NOW, SECOND, Influx, Sqlite, raw

POINTS = """
from(bucket: p_bucket)
  |> range(start: p_start, stop: p_end)
  |> filter(fn: (r) => r._measurement == p_measurement)
"""


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Influx]:
    """An empty store."""
    with closing(Influx(tmp_path)) as new:
        yield new


def fields(store: Influx, bucket: str, measurement: str) -> dict[str, list[str]]:
    """All values by field, in the order of time."""
    found: dict[str, list[str]] = {}
    bound: dict[str, Any] = {"bucket": bucket, "measurement": measurement}
    with closing(InfluxServer(store.address)) as server:
        for block in server.ask(POINTS, **bound, start=moment(0), end=moment(FOREVER)):
            for field, value in zip(block.column("_field"), block.column("_value"), strict=True):
                found.setdefault(field, []).append(value)
    return found


def test_an_episode_s_values_are_fields_and_of_one_that_is_no_more_none_are_left(store):
    rows = [raw(NOW + n * MINUTE, 1, compressor_running=n < 30, power=600.0) for n in range(60)]
    trace = Retrace("site1", 100, NOW, NOW + HOUR, TRACED, NOW)
    store.apply(*rows, trace)
    found = fields(store, store.address.meta, "episode")
    assert [float(end) for end in found["end"]] == [NOW + 30 * MINUTE]
    assert [float(kwh) for kwh in found["electric_kwh"]] == [pytest.approx(0.3)]
    assert {"order", "body"} < found.keys()
    all_on = [raw(row.at, 200, compressor_running=True, power=600.0) for row in rows]
    store.apply(*all_on, Retrace("site1", 201, NOW, NOW + HOUR, TRACED, NOW))
    assert fields(store, store.address.meta, "episode") == {"order": ["201"]}


def test_an_episode_that_says_less_than_before_leaves_nothing_of_what_it_said(store):
    first = Episode("cycle", NOW, NOW + HOUR, values={"heat_kwh": 2.0, "defrosts": 0.0})
    second = Episode("cycle", NOW, NOW + HOUR, values={"defrosts": 1.0}, detail='said "so"\n\\')
    for order, episode in enumerate((first, second), 1):
        store.apply(EpisodeRow("site1", order, episode))
    assert store.reader.episodes("site1", KINDS, 0, FOREVER, 10) == [second]
    assert fields(store, store.address.meta, "episode").keys() == {"body", "defrosts", "end", "order"}


def test_corrected_metadata_correct_what_is_stored_of_derived_quantities_too(store):
    sent = {"temp_inlet": 30.0, "temp_outlet": 35.0, "flow_rate": 12.0}
    rows = [raw(NOW + n * SECOND, n + 1, **sent, **derived_values(sent, DeviceMetadata())) for n in range(3)]
    glycol = DeviceMetadata(valid_from=NOW + SECOND, glycol_percent=25.0)
    before, after = (derived_values(sent, each)["heat_power"] for each in (DeviceMetadata(), glycol))
    assert after != before
    store.apply(*rows)
    store.apply(
        DeviceRow("site1", 10, metadata=[glycol]), Refold("site1", 10, NOW, NOW + MINUTE, NOW + 2 * SECOND)
    )
    stored = fields(store, store.address.bucket, "sensor_reading")
    assert [float(power) for power in stored["heat_power"]] == [before, after, after]
    assert stored["order"] == ["1", "2", "3"]


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_both_stores_find_the_same_episodes_whatever_comes_when(store, tmp_path, seed):
    rng = random.Random(seed)
    with closing(Sqlite(tmp_path)) as embedded:
        for batch in range(12):
            order = 100 * (batch + 1)
            at = NOW + rng.randrange(4 * DAY) // MINUTE * MINUTE
            on = rng.random() < 0.6
            every = rng.choice([MINUTE, 5 * MINUTE, 14 * MINUTE])
            rows = [
                RawRow.of(
                    "d", time, order, NOW, "device", {"compressor_running": on, "dhw_active": not on, "power": 1.0}
                )
                for time in range(at, at + rng.choice([0, HOUR, 5 * HOUR, 30 * HOUR]) + 1, every)
            ]
            trace = Retrace("d", order + 1, at, rows[-1].at, TRACED, at - rng.choice([0, 0, 2 * HOUR]))
            retain = [Retain("d", order + 2, NOW + rng.randrange(DAY), 0, 0)] if rng.random() < 0.1 else []
            for each in (store, embedded):
                each.apply(*rows, trace, *retain)
            start = NOW + rng.randrange(4 * DAY)
            for span in ((0, FOREVER), (start, start + rng.randrange(DAY))):
                found = store.reader.episodes("d", KINDS, *span, 50)
                assert found == embedded.reader.episodes("d", KINDS, *span, 50)
